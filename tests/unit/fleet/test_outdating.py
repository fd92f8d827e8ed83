"""What makes the picture out of date, what clears that again, and that one odd answer in between proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from agbot.exchange import resources
from agbot.fleet.absence import CONFIRM_AFTER
from agbot.fleet.changes import Read, What
from agbot.fleet.garbled import Garbled
from agbot.fleet.picture import Picture
from agbot.rules.facts import Node, NodeType, Sight
from agbot.rules.ids import NodeId, OrgId, name_of
from agbot.rules.seen_time import Now
from tests.support.values import ANNA, BERT, GROUP, NMP, NOW, OTHER_NMP, agreement, at, node, status

ORG = OrgId("o1")
SOON, LATER = NOW + CONFIRM_AFTER / 2, NOW + CONFIRM_AFTER
STRANGER = NodeId("o1/stranger")
HOUR = timedelta(hours=1)
BEGUN = status("initiated", ago=60)
Event = Callable[[Picture], None]


def report(picture: Picture, resource: str, name: str, operation: str = "modified", ago: float = 0) -> None:
    picture.apply(resources.change(ORG, resource, name_of(name), operation, at=at(ago)), NOW)


def whole() -> Picture:
    """Make a picture in which everything about a group of two is current, its services too."""
    picture = Picture()
    nodes = {each: node(each) for each in (ANNA, BERT)}
    picture.learn_org(ORG, {GROUP: [ANNA, BERT]}, nodes, begun=picture.begin(), now=NOW)
    for each in nodes:
        picture.learn_statuses(each, {NMP: BEGUN}, begun=picture.begin(), now=NOW)
        picture.learn_agreements(each, (), begun=picture.begin(), now=NOW)
    return picture


def lacks(picture: Picture, *found: Node) -> None:
    """Read the organisation's nodes; others are missing."""
    picture.learn_nodes(ORG, {each.id: each for each in found}, begun=picture.begin(), now=NOW)


EVENTS: dict[str, Event] = {
    "a row of the group": lambda picture: report(picture, "ha_group", GROUP),
    "a row of a member": lambda picture: report(picture, "node", ANNA),
    "a row of a member's report": lambda picture: report(picture, "nodemgmtpolstatus", ANNA),
    "a resync": lambda picture: picture.outdate_org(ORG),
    "an outage": lambda picture: picture.outdate_unannounced(),
    "an unknown age": lambda picture: picture.outdate_everything(),
    "a step of our date": lambda picture: picture.date_stepped(HOUR),
    "a member that is missing": lambda picture: lacks(picture, node(BERT)),
    "an unreadable list of members": lambda picture: picture.learn_unreadable(
        Read(what=What.GROUP, id=GROUP), Garbled("odd"), now=NOW
    ),
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_a_group_of_which_nothing_was_missing_lacks_what_has_been_outdated_since(event: Event) -> None:
    picture = whole()
    assert picture.unread(GROUP) == ()

    event(picture)

    assert picture.unread(GROUP) != ()


OUTAGES = {name: EVENTS[name] for name in ("a resync", "an outage", "an unknown age", "a step of our date")}


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_an_answer_that_was_requested_before_an_outage_is_as_old_as_those_before_it(outage: Event) -> None:
    picture = whole()
    begun = picture.begin()
    outage(picture)
    picture.learn_node(ANNA, node(ANNA), begun=begun, now=NOW)
    assert not picture.is_current(Read(what=What.NODE, id=ANNA))

    picture.learn_node(ANNA, node(ANNA), begun=picture.begin(), now=NOW)
    assert picture.is_current(Read(what=What.NODE, id=ANNA))


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_after_an_outage_it_is_not_known_which_services_a_group_runs(outage: Event) -> None:
    picture = whole()
    assert picture.services_read_at(GROUP) == NOW.seen

    outage(picture)

    assert picture.services_read_at(GROUP) < NOW.seen


def test_the_services_of_a_group_are_as_old_as_those_that_were_read_first() -> None:
    picture = whole()
    picture.learn_agreements(BERT, (), begun=picture.begin(), now=LATER)
    assert picture.services_read_at(GROUP) == NOW.seen

    report(picture, "nodeagreements", ANNA)
    assert picture.services_read_at(GROUP) < NOW.seen


def test_an_answer_that_was_requested_before_an_unreadable_one_does_not_replace_the_doubt() -> None:
    picture = whole()
    begun = picture.begin()
    picture.learn_unreadable(Read(what=What.NODE, id=ANNA), Garbled("odd"), now=NOW)
    assert "odd" in picture.read_members(GROUP)[ANNA].unreadable
    picture.learn_node(ANNA, node(ANNA), begun=begun, now=NOW)
    assert not picture.is_current(Read(what=What.NODE, id=ANNA))

    picture.learn_node(ANNA, node(ANNA), begun=picture.begin(), now=NOW)
    assert picture.read_members(GROUP)[ANNA].unreadable == ""


def test_a_group_that_is_missing_once_stays_and_is_read_again() -> None:
    picture = whole()
    picture.learn_group(GROUP, Sight.ABSENT, begun=picture.begin(), now=NOW)

    assert picture.exists(GROUP)
    assert picture.unread(GROUP) == (Read(what=What.GROUP, id=GROUP),)


@pytest.mark.parametrize(("node_type", "is_read_again"), [(NodeType.DEVICE, True), (NodeType.CLUSTER, False)])
def test_one_list_is_not_enough_for_a_device_that_is_the_only_member(
    node_type: NodeType, *, is_read_again: bool
) -> None:
    """It may upgrade without a lease."""
    picture = Picture()
    for now in (NOW, LATER):
        only = {ANNA: node(ANNA, node_type=node_type)}
        picture.learn_org(ORG, {GROUP: [ANNA]}, only, begun=picture.begin(), now=now)
        picture.learn_statuses(ANNA, {}, begun=picture.begin(), now=now)
        missing = (Read(what=What.GROUP, id=GROUP),) if is_read_again and now is NOW else ()
        assert picture.unread(GROUP) == missing


@pytest.mark.parametrize(("row_of", "members"), [(GROUP, [BERT]), (STRANGER, [ANNA, BERT])], ids=["its", "another"])
def test_a_row_of_a_group_announces_that_a_member_of_it_has_left(row_of: str, members: list[NodeId]) -> None:
    picture = whole()
    report(picture, "ha_group", row_of)
    picture.learn_group(GROUP, (BERT,), begun=picture.begin(), now=NOW)

    assert list(picture.members(GROUP)) == members


def test_a_change_of_a_member_without_a_row_makes_the_feed_suspected_and_one_with_a_row_does_not() -> None:
    picture, much_later = whole(), (NOW + HOUR).seen
    report(picture, "node", ANNA)
    picture.learn_node(ANNA, node(ANNA, agent_version="2.31.0-9"), begun=picture.begin(), now=NOW)
    assert picture.standstill.why(much_later) == ""

    picture.learn_node(ANNA, node(ANNA, agent_version="2.31.0-10"), begun=picture.begin(), now=NOW)
    assert picture.standstill.why(much_later) != ""

    report(picture, "node", BERT)
    assert picture.standstill.why(much_later) == ""


def test_a_member_whose_read_has_failed_was_hidden_until_it_is_read_again() -> None:
    picture = whole()
    picture.hidden.note_failed(Read(what=What.NODE, id=ANNA), LATER)
    picture.learn_node(ANNA, node(ANNA), begun=picture.begin(), now=NOW + HOUR)

    seen = picture.node(ANNA)
    assert isinstance(seen, Node)
    assert (seen.unseen_until, seen.silent_before) == (NOW.wall + HOUR, timedelta(seconds=10))


def test_an_old_state_hides_each_node_since_its_last_read_that_was_not_old() -> None:
    picture = whole()
    picture.learn_node(ANNA, node(ANNA), begun=picture.begin(), now=NOW + HOUR)
    picture.note_old_state(ORG, NOW + 2 * HOUR, LATER.seen)

    assert picture.hidden.silent_before(ANNA) == CONFIRM_AFTER + timedelta(seconds=10)
    assert picture.hidden.unseen_until(STRANGER) == NOW.wall + 2 * HOUR


def test_what_a_member_ran_before_it_lost_an_agreement_is_kept_whenever_it_is_read() -> None:
    both = (agreement("a1", ago=60), agreement("a2", ago=60))
    early, late = whole(), whole()
    for picture in (early, late):
        picture.learn_agreements(ANNA, both, begun=picture.begin(), now=NOW - CONFIRM_AFTER)
    late.learn_agreements(ANNA, both[:1], begun=late.begin(), now=LATER)
    for picture in (early, late):
        report(picture, "nodeagreements", ANNA, "deleted")
        before = picture.take_losses()[ANNA].before
        assert not isinstance(before, Sight)
        assert [each.id for each in before] == ["a1", "a2"]


def test_a_report_that_is_missing_once_stays_and_those_beside_it_are_learnt() -> None:
    picture = whole()
    picture.learn_statuses(ANNA, {OTHER_NMP: status("downloaded")}, begun=picture.begin(), now=LATER)

    assert picture.statuses(ANNA) == {NMP: BEGUN, OTHER_NMP: status("downloaded")}
    assert not picture.is_current(Read(what=What.STATUSES, id=ANNA))


@pytest.mark.parametrize(
    ("resource", "name", "operation"),
    [
        ("nodemgmtpolstatus", ANNA, "deleted"),
        ("node", ANNA, "created"),
        ("node", ANNA, "deleted"),
        ("mgmtpolicy", NMP, "deleted"),
    ],
)
def test_a_report_whose_end_was_announced_is_certain_to_be_gone_at_the_first_look(
    resource: str, name: str, operation: str
) -> None:
    picture = whole()
    report(picture, resource, name, operation)
    picture.learn_statuses(ANNA, {}, begun=picture.begin(), now=SOON)

    assert picture.certain_status(ANNA, NMP) is Sight.ABSENT
    assert picture.is_current(Read(what=What.STATUSES, id=ANNA))


@pytest.mark.parametrize(
    ("resource", "name", "operation"),
    [
        ("mgmtpolicy", NMP, "modified"),
        ("mgmtpolicy", OTHER_NMP, "deleted"),
        ("node", BERT, "deleted"),
        ("node", ANNA, "modified"),
    ],
)
def test_a_row_about_something_else_announces_no_end_of_a_report(resource: str, name: str, operation: str) -> None:
    picture = whole()
    report(picture, resource, name, operation)
    picture.learn_statuses(ANNA, {}, begun=picture.begin(), now=SOON)

    assert picture.status(ANNA, NMP) == BEGUN


SIGHTS: dict[str, tuple[Callable[[Picture, Now], None], Callable[[Picture, Now], None]]] = {
    "a member in its own record": (
        lambda picture, now: picture.learn_node(ANNA, node(ANNA, group=None), begun=picture.begin(), now=now),
        lambda picture, now: picture.learn_node(ANNA, node(ANNA), begun=picture.begin(), now=now),
    ),
    "a member in the list of its group": (
        lambda picture, now: picture.learn_group(GROUP, (BERT,), begun=picture.begin(), now=now),
        lambda picture, now: picture.learn_group(GROUP, (ANNA, BERT), begun=picture.begin(), now=now),
    ),
    "a node": (
        lambda picture, now: picture.learn_node(ANNA, Sight.ABSENT, begun=picture.begin(), now=now),
        lambda picture, now: picture.learn_node(ANNA, node(ANNA), begun=picture.begin(), now=now),
    ),
    "a group": (
        lambda picture, now: picture.learn_group(GROUP, Sight.ABSENT, begun=picture.begin(), now=now),
        lambda picture, now: picture.learn_group(GROUP, (ANNA, BERT), begun=picture.begin(), now=now),
    ),
    "a report": (
        lambda picture, now: picture.learn_statuses(ANNA, {}, begun=picture.begin(), now=now),
        lambda picture, now: picture.learn_statuses(ANNA, {NMP: BEGUN}, begun=picture.begin(), now=now),
    ),
}


@pytest.mark.parametrize(("misses", "sees"), SIGHTS.values(), ids=SIGHTS)
def test_what_was_there_between_two_looks_without_it_is_not_gone(
    misses: Callable[[Picture, Now], None], sees: Callable[[Picture, Now], None]
) -> None:
    picture = whole()
    misses(picture, NOW)
    sees(picture, SOON)
    misses(picture, LATER)

    assert list(picture.members(GROUP)) == [ANNA, BERT]
    assert picture.exists(GROUP)
    assert isinstance(picture.node(ANNA), Node)
    assert picture.status(ANNA, NMP) == BEGUN


def test_after_a_restore_an_organisation_is_believed_again_when_it_was_read_twice() -> None:
    picture = whole()
    picture.distrust_absences(ORG)
    for now in (NOW, LATER):
        assert picture.is_wary(ORG)
        nodes = {each: node(each) for each in (ANNA, BERT)}
        picture.learn_org(ORG, {GROUP: [ANNA, BERT]}, nodes, begun=picture.begin(), now=now)

    assert not picture.is_wary(ORG)


def test_an_announced_report_is_unshown_until_a_look_shows_one_as_late() -> None:
    picture = whole()
    report(picture, "nodemgmtpolstatus", ANNA, ago=20)
    report(picture, "nodemgmtpolstatus", ANNA, ago=40)
    picture.learn_statuses(ANNA, {NMP: BEGUN}, begun=picture.begin(), now=NOW)
    assert picture.unshown_report(ANNA) == at(20), "a cache has shown the report from before"

    picture.learn_statuses(ANNA, {NMP: status("successful", ago=20)}, begun=picture.begin(), now=NOW)
    assert picture.unshown_report(ANNA) is None


def test_no_report_is_unshown_of_a_node_in_no_group_or_after_a_deletion_or_a_restore() -> None:
    picture = whole()
    report(picture, "nodemgmtpolstatus", STRANGER)
    assert picture.unshown_report(STRANGER) is None

    report(picture, "nodemgmtpolstatus", ANNA)
    report(picture, "nodemgmtpolstatus", ANNA, "deleted")
    assert picture.unshown_report(ANNA) is None

    report(picture, "nodemgmtpolstatus", ANNA)
    picture.note_old_state(OrgId("o2"), NOW)
    assert picture.unshown_report(ANNA) == NOW.wall
    picture.note_old_state(ORG, NOW)
    assert picture.unshown_report(ANNA) is None


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_all_moments_move_along_when_our_date_is_set(step: timedelta) -> None:
    picture = whole()
    report(picture, "node", ANNA, "created", ago=30)
    report(picture, "nodemgmtpolstatus", ANNA, ago=20)
    report(picture, "nodeagreements", ANNA, "deleted", ago=15)
    back = replace(node(ANNA, ago=10), back_at=at(40))
    picture._nodes.amend(ANNA, back)  # noqa: SLF001 - as after a pause of its heartbeats
    picture.note_old_state(ORG, NOW)

    picture.date_stepped(step)

    seen = picture.node(ANNA)
    assert isinstance(seen, Node)
    assert (seen.heartbeat_at, seen.back_at, seen.unseen_until) == (at(10) + step, at(40) + step, NOW.wall + step)
    assert picture.created_at(ANNA) == at(30) + step
    assert picture._arrivals.ended_at(ANNA) == at(15) + step  # noqa: SLF001 - of a device that has just joined


@pytest.mark.parametrize(
    ("resource", "name", "operation", "has_left"),
    [
        ("ha_group", GROUP, "modified", True),
        ("node", ANNA, "created", True),
        ("node", ANNA, "modified", False),
    ],
)
def test_a_node_has_left_at_the_first_look_after_a_row_of_its_group_and_not_after_its_own_agents_writes(
    resource: str, name: str, operation: str, has_left: bool
) -> None:
    """The agent modifies its node with each service that it starts; one wrong answer would end a lease then."""
    picture = whole()
    report(picture, resource, name, operation)
    picture.learn_node(ANNA, node(ANNA, group=None), begun=picture.begin(), now=SOON)

    assert (ANNA not in picture.members(GROUP)) == has_left
