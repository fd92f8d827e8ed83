"""The plan of reads, over any group: it names nothing that is fresh, lacks nothing that an answer rests on, and is of one group."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import structs

from agbot.exchange import resources
from agbot.fleet import occasions, plan
from agbot.fleet.changes import Read, What
from agbot.fleet.picture import Picture
from agbot.fleet.plan import Activity
from agbot.fleet.policies import policy_read
from agbot.fleet.reads import Ages, Wanted
from agbot.rules.facts import Member, Node, Policy, Sight
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId, name_of
from agbot.rules.lease import Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.seen_time import Now
from tests.properties import strategies
from tests.support.examples import examples
from tests.support.values import GROUP, NOW

ORG = OrgId("o1")
AGES = Ages(
    heartbeat=timedelta(seconds=30),
    statuses=timedelta(seconds=60),
    services=timedelta(seconds=300),
    rest=timedelta(seconds=3),
)
ROUNDS = 4
"""A group's list shows its members, a member what is to be read of it, and that what it is waited
for."""


@dataclass
class Exchange:
    """What is true of an organisation with one group, and stays true."""

    members: dict[NodeId, Member]

    def answer(self, read: Read, picture: Picture, now: Now) -> None:
        """Read one thing."""
        node, begun = NodeId(read.id), picture.begin()
        member = self.members.get(node) or Member(node=Node(id=node))
        agreements = () if isinstance(member.agreements, Sight) else member.agreements
        match read.what:
            case What.GROUP:
                picture.learn_group(GROUP, tuple(self.members), begun=begun, now=now)
            case What.NODE:
                picture.learn_node(node, member.node, begun=begun, now=now)
            case What.STATUSES:
                picture.learn_statuses(node, member.statuses, begun=begun, now=now)
            case What.AGREEMENTS:
                picture.learn_agreements(node, agreements, begun=begun, now=now)
            case What.PROPERTIES:
                picture.learn_properties(node, member.properties, begun=begun, now=now)
            case What.MANAGEMENT_POLICY | What.DEPLOYMENT_POLICY:
                picture.policies.learn(read, Policy(id=PolicyId(read.id), revision="r1"), begun=begun, now=now)

    def everything(self) -> list[Read]:
        of_nodes = (What.NODE, What.STATUSES, What.AGREEMENTS, What.PROPERTIES)
        return [
            Read(what=What.GROUP, id=GROUP),
            *(Read(what=what, id=node) for node in strategies.NODES for what in of_nodes),
            *(policy_read(kind, subject) for kind in Kind for subject in strategies.SUBJECTS),
        ]


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    members = draw(strategies.members())
    # a group of one is looked at twice, a while apart: one look is not enough for that
    assume(len(members) != 1)
    return Exchange(members=members)


@st.composite
def pictures(draw: st.DrawFn, exchange: Exchange) -> Picture:
    """Draw a picture of which each part was read at some time, or never, and of which changes have outdated some."""
    picture = Picture()
    for read in exchange.everything():
        age = draw(st.none() | st.sampled_from((0, 2, 9, 10, 29, 31, 61, 239, 241, 301)))
        if age is not None:
            exchange.answer(read, picture, NOW - timedelta(seconds=age))
    for node in draw(st.lists(strategies.nodes_ids, max_size=2)):
        resource = draw(st.sampled_from(("node", "nodemgmtpolstatus", "nodeagreements", "nodepolicies")))
        picture.apply(resources.change(ORG, resource, name_of(node), "modified"), NOW)
    return picture


activities = st.builds(
    Activity,
    group=st.just(GROUP),
    limits=strategies.limits,
    lease=strategies.free | strategies.occupied,
    waiters=st.lists(strategies.waiters, max_size=3).map(tuple),
    deferrals=st.lists(strategies.deferrals, max_size=2).map(tuple),
    brakes=st.lists(strategies.brakes, max_size=2).map(tuple),
    expected=st.lists(strategies.asks, max_size=2).map(tuple),
    has_joined=st.booleans(),
)


def due(activity: Activity, picture: Picture) -> list[Wanted]:
    return [each for each in plan.of_group(activity, picture, AGES, NOW) if each.is_due(picture, NOW.seen)]


def carry_out(activity: Activity, exchange: Exchange, picture: Picture) -> None:
    for _round in range(ROUNDS):
        for each in due(activity, picture):
            exchange.answer(each.read, picture, NOW)


@settings(max_examples=examples(100))
@given(st.data(), exchanges(), activities)
def test_what_was_read_in_this_moment_is_not_read_again(data: st.DataObject, exchange: Exchange, on: Activity) -> None:
    picture = data.draw(pictures(exchange))

    carry_out(on, exchange, picture)

    assert [(each.why, each.read) for each in due(on, picture)] == []


@settings(max_examples=examples(100))
@given(st.data(), exchanges(), activities)
def test_when_the_plan_was_carried_out_nothing_is_missing_for_the_question_of_a_waiter_or_of_one_who_is_expected(
    data: st.DataObject, exchange: Exchange, on: Activity
) -> None:
    picture = data.draw(pictures(exchange))
    questions = [*on.expected, *(waiter.ask for waiter in on.waiters)]
    assume(questions)

    carry_out(on, exchange, picture)

    assert plan.missing(GROUP, picture, on.limits) == []
    for ask in questions:
        has_policy = ask.claim.kind is not Kind.HOST
        assert not has_policy or picture.is_current(policy_read(ask.claim.kind, ask.claim.subject))
        services = occasions.services_for(ask, on.lease, picture, on.limits, ages=AGES, now=NOW)
        assert [each.read for each in services if each.is_due(picture, NOW.seen)] == []


@settings(max_examples=examples(100))
@given(st.data(), exchanges(), strategies.limits)
def test_a_group_in_which_nothing_goes_on_has_an_empty_plan(
    data: st.DataObject, exchange: Exchange, limits: Limits
) -> None:
    picture = data.draw(pictures(exchange))
    idle = Activity(group=GROUP, limits=limits, lease=Lease(group=GROUP))

    assert plan.of_group(idle, picture, AGES, NOW) == []


@settings(max_examples=examples(100))
@given(st.data(), exchanges(), activities)
def test_the_plan_of_a_group_names_only_what_is_in_it_or_is_named_by_what_goes_on_in_it(
    data: st.DataObject, exchange: Exchange, on: Activity
) -> None:
    picture = data.draw(pictures(exchange))
    lease = on.lease
    nodes = {*picture.members(GROUP), *(each.node for each in on.deferrals)}
    nodes |= {lease.tenure.claim.holder} if lease.tenure is not None else set()
    nodes |= {lease.last_end.claim.holder} if lease.last_end is not None else set()

    read = {each.read.id for each in plan.of_group(on, picture, AGES, NOW)}

    assert read <= {GROUP, *nodes, *strategies.SUBJECTS}


@settings(max_examples=examples(100))
@given(st.data(), exchanges(), activities)
def test_what_goes_on_in_another_group_changes_nothing_in_the_plan(
    data: st.DataObject, exchange: Exchange, on: Activity
) -> None:
    picture = data.draw(pictures(exchange))
    before = plan.of_group(on, picture, AGES, NOW)
    stranger = NodeId("o1/stranger")
    theirs = structs.replace(next(iter(exchange.members.values()), Member(node=Node(id=stranger))).node, id=stranger)

    picture.learn_node(stranger, structs.replace(theirs, group=GroupId("o1/fans")), begun=picture.begin(), now=NOW)

    assert plan.of_group(on, picture, AGES, NOW) == before
