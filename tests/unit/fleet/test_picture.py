"""The picture of the fleet: what is known, what is out of date, and that it keeps no more than it needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from agbot.exchange import resources
from agbot.fleet.absence import CONFIRM_AFTER
from agbot.fleet.changes import Read, What
from agbot.fleet.picture import Picture
from agbot.fleet.policies import policy_read
from agbot.rules import health
from agbot.rules.facts import Member, Node, NodeType, Policy, Sight
from agbot.rules.ids import GroupId, NodeId, OrgId, name_of
from agbot.rules.lease import Kind
from agbot.rules.limits import Limits
from agbot.rules.seen_time import Now
from tests.support.values import (
    ANNA,
    BERT,
    CARL,
    DEPLOYMENT,
    GROUP,
    NMP,
    NOW,
    agreement,
    at,
    deployment,
    node,
    policy,
    status,
)

ORG = OrgId("o1")
LATER = NOW + CONFIRM_AFTER
FANS = GroupId("o1/fans")
STRANGER = NodeId("o1/stranger")


def learnt(*nodes: Node, groups: Mapping[GroupId, Iterable[NodeId]] | None = None) -> Picture:
    """Make a picture of one organisation, read as a whole.

    Its groups are those of its nodes unless a test says otherwise.
    """
    picture = Picture()
    listed: dict[GroupId, list[NodeId]] = {}
    for each in nodes:
        if each.group is not None:
            listed.setdefault(each.group, []).append(each.id)
    learn(picture, *nodes, groups=listed if groups is None else groups)
    return picture


def learn(picture: Picture, *nodes: Node, groups: Mapping[GroupId, Iterable[NodeId]], now: Now = NOW) -> None:
    picture.learn_org(ORG, groups, {each.id: each for each in nodes}, begun=picture.begin(), now=now)


def learn_twice(picture: Picture, *nodes: Node, groups: Mapping[GroupId, Iterable[NodeId]]) -> None:
    """Read an organisation, and once more a while later: one look without something is no evidence."""
    learn(picture, *nodes, groups=groups)
    learn(picture, *nodes, groups=groups, now=LATER)


def report(picture: Picture, resource: str, name: str, operation: str = "modified", ago: float | None = None) -> None:
    moment = None if ago is None else at(ago)
    picture.apply(resources.change(ORG, resource, name_of(name), operation, at=moment), NOW)


def reads(*pairs: tuple[What, str]) -> set[Read]:
    return {Read(what=what, id=name) for what, name in pairs}


def test_before_anything_was_read_everything_is_unread() -> None:
    picture = Picture()

    assert (picture.orgs(), picture.groups(), dict(picture.members(GROUP))) == ((), (), {})
    assert picture.node(ANNA) is Sight.UNREAD
    assert picture.member(ANNA) is Sight.UNREAD
    assert picture.statuses(ANNA) is Sight.UNREAD
    assert picture.status(ANNA, NMP) is Sight.UNREAD
    assert picture.agreements(ANNA) is Sight.UNREAD
    assert picture.policies.get(Kind.AGENT, NMP) is Sight.UNREAD
    assert picture.org_read_at(ORG) is None
    assert picture.node_read_at(ANNA) is None


def test_an_organisation_read_as_a_whole_shows_its_groups_and_members() -> None:
    picture = learnt(node(ANNA), node(BERT), node(CARL, group=FANS))

    assert picture.orgs() == (ORG,)
    assert picture.org_read_at(ORG) == NOW.seen
    assert picture.groups() == (FANS, GROUP)
    assert list(picture.members(GROUP)) == [ANNA, BERT]
    assert picture.node(CARL) == node(CARL, group=FANS)


def test_a_group_without_members_exists() -> None:
    picture = learnt(groups={GROUP: []})

    assert picture.groups() == (GROUP,)
    assert dict(picture.members(GROUP)) == {}


def test_a_group_is_missed_only_where_its_organisation_was_read() -> None:
    picture = learnt(node(ANNA))
    learn_twice(picture, node(ANNA, group=FANS), groups={FANS: [ANNA]})
    never_seen, elsewhere = GroupId("o1/never"), GroupId("o2/pumps")

    assert [picture.why_missing(group) for group in (FANS, GROUP, never_seen)] == [None, Sight.ABSENT, Sight.ABSENT]
    assert picture.why_missing(elsewhere) is Sight.UNREAD


def test_nodes_outside_groups_are_not_kept() -> None:
    assert learnt(node(STRANGER, group=None)).node(STRANGER) is Sight.UNREAD


def test_a_node_that_was_asked_about_is_kept_and_followed_into_its_group() -> None:
    picture = Picture()
    picture.learn_node(STRANGER, node(STRANGER, group=None), begun=picture.begin(), now=NOW)
    learn(picture, node(STRANGER), groups={GROUP: [STRANGER]})

    assert list(picture.members(GROUP)) == [STRANGER]


def test_a_member_of_a_groups_list_that_the_organisation_does_not_have_is_gone_at_the_second_look() -> None:
    """It was deleted between the reading of the group and that of the organisation.

    Or the list was cut.
    """
    picture = Picture()
    picture.learn_group(GROUP, (ANNA, BERT), begun=picture.begin(), now=NOW)
    picture.learn_nodes(ORG, {ANNA: node(ANNA)}, begun=picture.begin(), now=NOW)

    assert list(picture.members(GROUP)) == [ANNA, BERT]
    assert picture.node(BERT) is Sight.UNREAD

    picture.learn_nodes(ORG, {ANNA: node(ANNA)}, begun=picture.begin(), now=LATER)

    assert list(picture.members(GROUP)) == [ANNA]
    assert picture.node(BERT) is Sight.ABSENT


def test_a_node_of_a_groups_list_that_says_it_is_in_none_is_in_none_when_it_says_so_again() -> None:
    picture = Picture()
    learn(picture, node(ANNA, group=None), groups={GROUP: [ANNA]})

    assert list(picture.members(GROUP)) == [ANNA]
    assert not picture.is_current(Read(what=What.NODE, id=ANNA))

    picture.learn_node(ANNA, node(ANNA, group=None), begun=picture.begin(), now=LATER)

    assert dict(picture.members(GROUP)) == {}


def test_a_resync_removes_what_is_gone_and_only_in_that_organisation() -> None:
    other = GroupId("o2/pumps")
    picture = learnt(node(ANNA), node(BERT))
    picture.learn_group(other, (NodeId("o2/anna"),), begun=picture.begin(), now=NOW)
    learn_twice(picture, node(ANNA, group=None), groups={})

    assert picture.groups() == (other,)
    assert dict(picture.members(GROUP)) == {}
    assert picture.node(BERT) is Sight.ABSENT
    assert picture.node(ANNA) == node(ANNA, group=None)
    assert list(picture.members(other)) == ["o2/anna"]


def test_a_late_resync_does_not_bring_back_what_has_been_read_since() -> None:
    picture = learnt(node(ANNA), node(BERT))
    report(picture, "ha_group", GROUP)
    early = picture.begin()
    picture.learn_node(BERT, node(BERT, group=None), begun=picture.begin(), now=NOW)
    picture.learn_org(ORG, {GROUP: [ANNA, BERT]}, {ANNA: node(ANNA), BERT: node(BERT)}, begun=early, now=NOW)

    assert list(picture.members(GROUP)) == [ANNA]


def test_a_group_that_lists_a_node_moves_it_there_at_once() -> None:
    """Membership is effective immediately, also where only the group's list has reported it."""
    picture = learnt(node(ANNA), node(BERT, group=None))
    picture.learn_node(BERT, node(BERT, group=None), begun=picture.begin(), now=NOW)
    picture.learn_group(FANS, (ANNA, BERT), begun=picture.begin(), now=NOW)

    assert list(picture.members(FANS)) == [ANNA, BERT]
    assert dict(picture.members(GROUP)) == {}
    assert picture.node(ANNA) == node(ANNA, group=FANS)


def test_a_deleted_group_leaves_its_members_in_none() -> None:
    picture = learnt(node(ANNA), node(BERT))
    report(picture, "ha_group", GROUP, "deleted")
    picture.learn_group(GROUP, Sight.ABSENT, begun=picture.begin(), now=NOW)

    assert picture.groups() == ()
    assert picture.node(ANNA) == node(ANNA, group=None)


def test_a_node_that_names_a_group_we_hold_for_deleted_makes_us_look_again() -> None:
    picture = learnt(node(ANNA))
    report(picture, "ha_group", GROUP, "deleted")
    picture.learn_group(GROUP, Sight.ABSENT, begun=picture.begin(), now=NOW)
    picture.learn_node(ANNA, node(ANNA), begun=picture.begin(), now=NOW)

    assert not picture.is_current(Read(what=What.GROUP, id=GROUP))
    assert Read(what=What.GROUP, id=GROUP) in picture.unread(GROUP)


def test_a_node_naming_a_deleted_group_does_not_make_a_later_change_of_it_forgotten() -> None:
    picture = learnt(node(ANNA))
    report(picture, "ha_group", GROUP, "deleted")
    picture.learn_group(GROUP, Sight.ABSENT, begun=picture.begin(), now=NOW)
    node_begun, group_begun = picture.begin(), picture.begin()
    report(picture, "ha_group", GROUP, "created")
    picture.learn_node(ANNA, node(ANNA), begun=node_begun, now=NOW)
    picture.learn_group(GROUP, Sight.ABSENT, begun=group_begun, now=NOW)

    assert not picture.is_current(Read(what=What.GROUP, id=GROUP))


def test_a_member_has_its_statuses_as_far_as_they_were_read() -> None:
    picture = learnt(node(ANNA))
    assert picture.member(ANNA) == Member(node=node(ANNA))

    picture.learn_statuses(ANNA, {NMP: status("initiated")}, begun=picture.begin(), now=NOW)

    assert picture.member(ANNA) == Member(node=node(ANNA), statuses={NMP: status("initiated")})
    assert picture.status(ANNA, NMP) == status("initiated")
    assert picture.status(ANNA, DEPLOYMENT) is Sight.ABSENT
    assert picture.statuses_read_at(ANNA) == NOW.seen


def test_agreements_and_policies_are_kept_by_kind() -> None:
    picture = Picture()
    picture.learn_agreements(ANNA, (agreement("a1"),), begun=picture.begin(), now=NOW)
    published, deployed = policy(revised_at=at(60)), replace(deployment(), revised_at=at(60))
    picture.policies.learn(policy_read(Kind.AGENT, NMP), published, begun=picture.begin(), now=NOW)
    picture.policies.learn(policy_read(Kind.SERVICE, DEPLOYMENT), deployed, begun=picture.begin(), now=NOW)

    assert picture.agreements(ANNA) == (agreement("a1"),)
    assert picture.agreements_read_at(ANNA) == NOW.seen
    assert picture.policies.get(Kind.AGENT, NMP) == published
    assert picture.policies.get(Kind.SERVICE, NMP) is Sight.UNREAD
    assert picture.policies.get(Kind.SERVICE, DEPLOYMENT) == deployed


def whole() -> Picture:
    """Make a picture in which everything about one group is current."""
    picture = learnt(node(ANNA), node(BERT, node_type=NodeType.CLUSTER))
    picture.learn_statuses(ANNA, {}, begun=picture.begin(), now=NOW)
    picture.policies.learn(policy_read(Kind.AGENT, NMP), policy(), begun=picture.begin(), now=NOW)
    return picture


def test_before_a_group_can_be_decided_on_itself_and_every_member_must_be_read() -> None:
    picture = Picture()
    assert set(picture.unread(GROUP)) == reads((What.GROUP, GROUP))

    picture.learn_group(GROUP, (ANNA, BERT), begun=picture.begin(), now=NOW)
    assert set(picture.unread(GROUP)) == reads(
        (What.NODE, ANNA), (What.STATUSES, ANNA), (What.NODE, BERT), (What.STATUSES, BERT)
    )

    picture.learn_node(BERT, node(BERT, node_type=NodeType.CLUSTER), begun=picture.begin(), now=NOW)
    assert set(picture.unread(GROUP)) == reads((What.NODE, ANNA), (What.STATUSES, ANNA))
    assert whole().unread(GROUP) == ()


@pytest.mark.parametrize(
    ("resource", "name", "missing"),
    [
        ("ha_group", GROUP, [(What.GROUP, GROUP)]),
        ("node", ANNA, [(What.NODE, ANNA)]),
        ("node", BERT, [(What.NODE, BERT)]),
        ("nodemgmtpolstatus", ANNA, [(What.STATUSES, ANNA)]),
        ("nodemgmtpolstatus", BERT, []),
        ("nodeagreements", ANNA, []),
        ("mgmtpolicy", NMP, []),
        ("ha_group", FANS, []),
        ("node", CARL, []),
    ],
)
def test_a_change_outdates_what_it_is_about_and_nothing_else(
    resource: str, name: str, missing: list[tuple[What, str]]
) -> None:
    picture = whole()
    report(picture, resource, name)

    assert set(picture.unread(GROUP)) == reads(*missing)


@pytest.mark.parametrize(
    ("resource", "read"),
    [("mgmtpolicy", policy_read(Kind.AGENT, NMP)), ("nodeagreements", Read(what=What.AGREEMENTS, id=ANNA))],
)
def test_a_change_of_what_is_read_on_demand_outdates_it_too(resource: str, read: Read) -> None:
    picture = whole()
    picture.learn_agreements(ANNA, (), begun=picture.begin(), now=NOW)
    assert picture.is_current(read)

    report(picture, resource, read.id)

    assert not picture.is_current(read)


def test_what_went_with_a_deleted_node_is_not_believed_of_its_successor() -> None:
    picture = whole()
    picture.learn_statuses(ANNA, {NMP: status("initiated")}, begun=picture.begin(), now=NOW)

    report(picture, "node", ANNA, "created")

    assert set(picture.unread(GROUP)) == reads((What.NODE, ANNA), (What.STATUSES, ANNA))


def test_a_resync_outdates_everything_of_its_organisation_alone() -> None:
    picture = whole()
    elsewhere = GroupId("o12/pumps")
    picture.learn_group(elsewhere, (), begun=picture.begin(), now=NOW)
    picture.outdate_org(ORG)

    assert set(picture.unread(GROUP)) == reads(
        (What.GROUP, GROUP), (What.NODE, ANNA), (What.STATUSES, ANNA), (What.NODE, BERT)
    )
    assert not picture.is_current(policy_read(Kind.AGENT, NMP))
    assert not picture.is_current(Read(what=What.ORG, id=ORG))
    assert picture.unread(elsewhere) == ()


def test_an_answer_that_was_overtaken_by_a_change_must_be_repeated() -> None:
    picture = whole()
    begun = picture.begin()
    report(picture, "node", ANNA)
    picture.learn_node(ANNA, node(ANNA, ago=1), begun=begun, now=NOW)

    assert set(picture.unread(GROUP)) == reads((What.NODE, ANNA))


def test_the_very_first_answer_must_be_repeated_as_well_when_a_change_overtook_it() -> None:
    picture = Picture()
    begun = picture.begin()
    report(picture, "ha_group", GROUP)
    picture.learn_group(GROUP, (), begun=begun, now=NOW)

    assert set(picture.unread(GROUP)) == reads((What.GROUP, GROUP))
    assert set(picture.eager()) == reads((What.GROUP, GROUP))


def test_memberships_are_read_soon_although_no_one_asks() -> None:
    picture = whole()
    report(picture, "ha_group", FANS, "created")
    report(picture, "node", ANNA, "deleted")
    report(picture, "node", CARL, "deleted")
    report(picture, "node", BERT)
    assert set(picture.eager()) == reads((What.GROUP, FANS), (What.NODE, ANNA))

    picture.learn_group(FANS, (CARL,), begun=picture.begin(), now=NOW)
    assert set(picture.eager()) == reads((What.NODE, ANNA))

    picture.learn_node(ANNA, Sight.ABSENT, begun=picture.begin(), now=NOW)
    assert picture.eager() == ()
    assert list(picture.members(GROUP)) == [BERT]


def test_a_deleted_node_is_also_settled_by_reading_its_organisation() -> None:
    """Many nodes at once are read with their organisation.

    One that never was read itself must not be asked for forever.
    """
    picture = Picture()
    picture.learn_group(GROUP, (ANNA,), begun=picture.begin(), now=NOW)
    report(picture, "node", ANNA, "deleted")

    learn(picture, groups={GROUP: []})

    assert picture.eager() == ()
    assert picture.unread(GROUP) == ()


def test_a_new_node_of_a_known_name_is_remembered_with_its_time() -> None:
    picture = learnt(node(ANNA))
    assert picture.created_at(ANNA) is None

    report(picture, "node", ANNA, "created", ago=60)
    assert picture.created_at(ANNA) == at(60)
    report(picture, "node", ANNA, "created", ago=90)
    assert picture.created_at(ANNA) == at(60)
    report(picture, "node", ANNA, "created")
    assert picture.created_at(ANNA) == NOW.wall


def test_a_new_node_whose_name_no_one_knew_is_no_successor() -> None:
    picture = learnt(node(ANNA))
    report(picture, "node", STRANGER, "created")

    assert picture.created_at(STRANGER) is None


def test_invented_policies_leave_nothing_behind() -> None:
    picture = whole()
    before = {what: len(list(shelf)) for what, shelf in picture._shelves.items()}  # noqa: SLF001 - memory is the point here
    for number in range(100):
        read = policy_read(Kind.AGENT, replace(policy(), id=f"o1/invented-{number}").id)  # type: ignore[arg-type] # a policy id
        picture.policies.learn(read, Sight.ABSENT, begun=picture.begin(), now=NOW)
        picture.forget_absent(read)

    assert {what: len(list(shelf)) for what, shelf in picture._shelves.items()} == before  # noqa: SLF001 - see above


def test_only_what_is_absent_is_forgotten() -> None:
    picture = whole()
    picture.forget_absent(policy_read(Kind.AGENT, NMP))
    picture.forget_absent(Read(what=What.NODE, id=CARL))

    assert isinstance(picture.policies.get(Kind.AGENT, NMP), Policy)


def test_changes_of_things_no_one_reads_leave_nothing_behind() -> None:
    picture = whole()
    for number in range(100):
        for resource in ("node", "nodemgmtpolstatus", "nodeagreements", "mgmtpolicy", "policy", "org", "service"):
            for operation in ("created", "modified", "deleted"):
                report(picture, resource, f"o1/other-{number}", operation)

    assert picture.eager() == ()
    assert picture.unread(GROUP) == ()
    assert picture._created_at == {}  # noqa: SLF001 - memory is the point here
    assert sum(len(list(shelf)) for shelf in picture._shelves.values()) == 6  # noqa: SLF001 - see above


def test_what_the_picture_hands_out_does_not_change_under_the_reader() -> None:
    picture, given = whole(), {NMP: status("initiated")}
    picture.learn_statuses(ANNA, given, begun=picture.begin(), now=NOW + timedelta(seconds=1))
    given.clear()

    assert picture.statuses(ANNA) == {NMP: status("initiated")}


def test_a_heartbeat_that_goes_back_reports_of_a_living_node_and_not_since_when() -> None:
    picture = learnt(node(ANNA, ago=0))
    later = NOW + timedelta(seconds=60)
    picture.learn_node(ANNA, node(ANNA, ago=86_400), begun=picture.begin(), now=later)

    seen = picture.node(ANNA)
    assert isinstance(seen, Node)
    assert health.why_silent(seen, Limits(), later + timedelta(seconds=200)) is None
    assert health.why_silent(seen, Limits(), later + timedelta(seconds=400)) is not None


def test_a_heartbeat_of_a_backup_takes_no_silence_away() -> None:
    picture = learnt(node(ANNA, ago=0))
    later = NOW + timedelta(seconds=280)
    picture.learn_node(ANNA, node(ANNA, ago=0), begun=picture.begin(), now=later)
    picture.note_old_state(ORG, later)
    past = node(ANNA, ago=3600)
    picture.learn_node(ANNA, past, begun=picture.begin(), now=later)

    seen = picture.node(ANNA)
    assert isinstance(seen, Node)
    assert health.why_silent(seen, Limits(), later + timedelta(seconds=60)) is not None


@pytest.mark.parametrize(
    ("resource", "name", "operation"),
    [
        ("nodemgmtpolstatus", ANNA, "deleted"),
        ("mgmtpolicy", NMP, "deleted"),
        ("node", ANNA, "deleted"),
        ("node", ANNA, "created"),
    ],
)
def test_an_announced_report_that_may_be_gone_is_waited_for_no_longer(resource: str, name: str, operation: str) -> None:
    """With a policy or a node its reports are deleted, and no row shows that: no read would show the announced one."""
    picture = learnt(node(ANNA))
    report(picture, "nodemgmtpolstatus", ANNA, ago=10)
    assert picture.unshown_report(ANNA) == at(10)

    report(picture, resource, name, operation)

    assert picture.unshown_report(ANNA) is None
