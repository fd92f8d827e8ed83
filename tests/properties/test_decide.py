"""P1, P4, P6 and P7 as far as one decision can keep them, for arbitrary groups and questions."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec import structs

from agbot.rules import health, ids, window
from agbot.rules.decide import Grant, Wait, decide
from agbot.rules.facts import Ask, Member, Node, NodeType, Policy
from agbot.rules.group import Group
from agbot.rules.ids import NodeId
from agbot.rules.lease import Claim, Kind, Lease, State
from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause, Code, Reason
from agbot.rules.records import Turn, Waiter
from agbot.rules.rulebook import FINAL, RULES
from agbot.rules.window import Window
from tests.properties import strategies as facts
from tests.support.examples import examples
from tests.support.values import GROUP, NOW, SERVICE, case, why_not

MANY = settings(max_examples=examples(100))
PLAIN = Policy(id=facts.SUBJECTS[0], revision="r1", service=SERVICE)
ALL_FINE = {(kind, subject): PLAIN for kind in Kind for subject in facts.SUBJECTS}


@st.composite
def questions(draw: st.DrawFn) -> tuple[Ask, Group]:
    """Draw a group and a question of it, such that a yes is not too rare: half of them are quiet groups with all policies read."""
    group, ask = draw(facts.groups), draw(facts.asks)
    if draw(st.booleans()):
        group = structs.replace(
            group, policies=ALL_FINE, doubts=(), brakes=(), holds=(), limits=replace(group.limits, windows=())
        )
    if draw(st.booleans()):
        group = structs.replace(group, lease=replace(group.lease, state=State.FREE, tenure=None))
    return ask, group


@MANY
@given(questions())
def test_every_question_gets_the_same_answer_twice_and_every_wait_its_reasons(question: tuple[Ask, Group]) -> None:
    answer = decide(case(*question))

    assert answer == decide(case(*question))
    if isinstance(answer, Wait):
        assert answer.reasons
        assert all(reason.text.strip() for reason in answer.reasons)
        assert answer.is_remembered is not bool({reason.code for reason in answer.reasons} & FINAL)


@MANY
@given(questions())
def test_all_reasons_are_given_and_each_in_its_place(question: tuple[Ask, Group]) -> None:
    answer = decide(case(*question))
    spoken = tuple(reason for rule in RULES if (reason := rule.check(case(*question))) is not None)

    assert why_not(*question) == spoken
    assert isinstance(answer, Grant) or answer.reasons == spoken


def may_be_granted(ask: Ask, group: Group) -> dict[str, bool]:
    """Say, promise by promise, whether a new grant would keep it.

    Written from DESIGN section 5, not from the code.
    """
    policy = group.policies.get(ask.subject)
    tenure = group.lease.tenure
    holder = group.members.get(tenure.claim.holder) if tenure else None
    others = [member for node, member in group.members.items() if node != ask.node]
    bound = ask.claim.kind is Kind.SERVICE and ask.agreement_bound
    taken_over = (
        group.lease.state is State.SUSPECT
        and bound
        and holder is not None
        and holder.node.id != ask.node
        and health.why_offline(holder.node, group.limits, NOW) is not None
    )
    at_stake = health.services_at_stake(group.members.get(ask.node))
    available = sum(
        health.why_unavailable(each, group.limits, NOW, group.deferrals.get(each.node.id), at_stake) is None
        for each in others
    )
    scopes = {"*", ids.org_of(group.id), group.id}
    windows = group.limits.windows
    return {
        "nothing is granted in doubt": not group.doubts,
        "only members": ask.node in group.members,
        "no cluster node takes a lease": ask.node not in group.members
        or group.members[ask.node].node.node_type is NodeType.DEVICE,
        "a deferred node finishes first": ask.node not in group.deferrals,
        "a policy that exists and is enabled": isinstance(policy, Policy) and policy.enabled,
        "one lease": group.lease.state is State.FREE or taken_over,
        "no brake of this revision": not any(
            (each.kind, each.subject) == ask.subject and isinstance(policy, Policy) and each.revision == policy.revision
            for each in group.brakes
        ),
        "no pause": not any(
            each.scope in scopes and (each.until is None or each.until > NOW.wall) for each in group.holds
        ),
        "an open window": not windows or any(window.is_open(each, NOW.wall) for each in windows),
        "enough peers": bound or not others or available >= min(group.limits.min_available, len(others)),
    }


@settings(MANY, max_examples=examples(250))
@given(questions())
def test_a_new_grant_keeps_every_promise(question: tuple[Ask, Group]) -> None:
    answer = decide(case(*question))
    event(f"{type(answer).__name__}")

    if answer == Grant():
        assert [promise for promise, kept in may_be_granted(*question).items() if not kept] == []


@MANY
@given(questions())
def test_a_repeated_yes_is_the_holders_alone(question: tuple[Ask, Group]) -> None:
    ask, group = question
    answer = decide(case(ask, group))

    if isinstance(answer, Grant) and answer.repeated:
        assert group.lease.is_held_for(ask.claim)
    if group.lease.is_held_for(ask.claim):
        assert isinstance(answer, Wait) or answer.repeated


@MANY
@given(questions())
def test_no_one_is_exempt_but_cluster_nodes_and_the_deferred(question: tuple[Ask, Group]) -> None:
    ask, group = question
    answer = decide(case(ask, group))

    if isinstance(answer, Grant) and answer.exempt is not None:
        deferral = group.deferrals.get(ask.node)
        is_cluster = group.members[ask.node].node.node_type is NodeType.CLUSTER
        assert is_cluster or (deferral is not None and (Kind.AGENT, deferral.subject) == ask.subject)
        assert not group.doubts


@MANY
@given(questions(), facts.reasons)
def test_doubt_turns_every_new_grant_into_a_wait(question: tuple[Ask, Group], doubt: Reason) -> None:
    """P4."""
    ask, group = question
    answer = decide(case(ask, structs.replace(group, doubts=(doubt,))))

    assert isinstance(answer, Wait) or answer.repeated


def all_others_offline(ask: Ask, group: Group) -> Group:
    def off(member: Member) -> Member:
        return replace(member, node=structs.replace(member.node, heartbeat_at=None))

    return structs.replace(
        group, members={key: each if key == ask.node else off(each) for key, each in group.members.items()}
    )


@MANY
@given(questions())
def test_offline_peers_never_block_a_service_under_agreement(question: tuple[Ask, Group]) -> None:
    """P6.

    The rest after an upgrade is left out: that one waits for its member, for a bounded time, on
    purpose.
    """
    ask, group = question
    ask = replace(ask, agreement_bound=True, claim=replace(ask.claim, kind=Kind.SERVICE))
    asker = Member(node=Node(id=ask.node, group=group.id, heartbeat_at=NOW.wall))
    group = structs.replace(
        group,
        lease=replace(group.lease, last_end=None),
        members={**group.members, ask.node: asker},
        policies=ALL_FINE,
        doubts=(),
        limits=replace(group.limits, windows=()),
    )
    before, after = (decide(case(ask, facts)) for facts in (group, all_others_offline(ask, group)))

    event(f"{type(before).__name__} before")
    assert isinstance(after, Grant) or isinstance(before, Wait)


@MANY
@given(st.lists(facts.waiters, min_size=1, max_size=5), st.lists(facts.marks, max_size=5), facts.groups)
def test_of_those_who_wait_and_could_go_at_least_one_is_granted(
    waiters: list[Waiter], marks: list[Turn], group: Group
) -> None:
    """Yielding never ends in a circle in which everybody waits for everybody."""
    healthy = {node: Member(node=Node(id=node, group=group.id, heartbeat_at=NOW.wall)) for node in facts.NODES}
    group = structs.replace(
        group,
        members=healthy,
        lease=replace(group.lease, state=State.FREE, tenure=None, last_end=None),
        waiters=tuple(replace(waiter, asked_at=max(waiter.asked_at, NOW.seen)) for waiter in waiters),
        turns={each.node: each for each in marks},
        policies=ALL_FINE,
        doubts=(),
    )
    eligible = [
        waiter.ask
        for waiter in group.waiters
        if {reason.code for reason in why_not(waiter.ask, group, NOW)} <= {Code.TURN}
    ]

    event(f"{min(len(eligible), 2)} or more eligible")
    assert not eligible or any(isinstance(decide(case(ask, group)), Grant) for ask in eligible)


@settings(MANY, max_examples=examples(100))
@given(st.permutations(facts.NODES), st.lists(st.integers(0, 4), min_size=5, max_size=60))
def test_no_one_is_served_twice_while_another_waits(order: list[NodeId], script: list[int]) -> None:
    """Nodes ask in any order, every yes is an upgrade that succeeds at once, and whoever was served asks again."""
    members = {node: Member(node=Node(id=node, group=GROUP, heartbeat_at=NOW.wall)) for node in order}
    group = Group(id=GROUP, members=members, lease=Lease(group=GROUP), limits=Limits(), policies=ALL_FINE)
    grants: list[tuple[NodeId, int]] = []
    for step, choice in enumerate(script):
        now = NOW + timedelta(seconds=step)
        ask = Ask(group=group.id, claim=Claim(holder=order[choice], kind=Kind.AGENT, subject=facts.SUBJECTS[0]))
        waiting = {waiter.ask.node: waiter for waiter in group.waiters}
        if isinstance(decide(case(ask, group, now)), Grant):
            owed = [node for node, waiter in waiting.items() if node != ask.node and _owed(ask.node, waiter, grants)]
            assert owed == []
            grants.append((ask.node, step))
            waiting.pop(ask.node, None)
            mark = Turn(group=group.id, node=ask.node, until=now.seen, cause=Cause.SUCCEEDED)
            group = structs.replace(group, turns={**group.turns, ask.node: mark})
        else:
            since = waiting[ask.node].since if ask.node in waiting else now.seen
            waiting[ask.node] = Waiter(ask=ask, since=since, asked_at=now.seen)
        group = structs.replace(group, waiters=tuple(waiting.values()))


def _owed(asker: NodeId, waiter: Waiter, grants: list[tuple[NodeId, int]]) -> bool:
    """Whether this waiter began to wait before the asker was last served."""
    last = max((step for node, step in grants if node == asker), default=None)
    return last is not None and waiter.since <= NOW.seen + timedelta(seconds=last)


@MANY
@given(st.lists(facts.windows, max_size=3).map(tuple), facts.years)
def test_the_next_opening_is_open_and_not_past(windows: tuple[Window, ...], now: datetime) -> None:
    opening = window.next_opening(windows, now)

    if opening is None:
        assert not any(each.weekdays for each in windows)
    else:
        assert opening >= now
        assert any(window.is_open(each, opening) for each in windows)


@MANY
@given(facts.members(), facts.limits, st.sets(st.sampled_from((SERVICE, "o1/else", "o1/third"))))
def test_what_an_asker_runs_decides_nothing_about_a_peer_that_lacks_no_service(
    members: dict[NodeId, Member], limits: Limits, at_stake: set[str]
) -> None:
    for member in members.values():
        if not health.may_lack_a_service(member, limits, NOW):
            assert health.why_not_running(member, limits, NOW, at_stake) is None
            assert health.why_not_running(member, limits, NOW, None) is None
