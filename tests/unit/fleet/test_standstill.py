"""When news that no row reported of shows that the feed stands still, and when it does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from agbot.exchange import resources
from agbot.fleet.changes import Read, What
from agbot.fleet.picture import Picture
from agbot.fleet.standstill import Standstill, has_changed, is_as_late, written_since
from agbot.rules.facts import Policy, Sight
from agbot.rules.ids import NodeId, OrgId, PolicyId
from agbot.rules.seen_time import Now
from agbot.rules.statuses import Status
from tests.support import values

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
START = Now.unblinded(NOON)
PATTERN = "o1/pat"


def after(seconds: float) -> Now:
    return START + timedelta(seconds=seconds)


def stamped(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_what_was_written_half_a_minute_before_a_look_that_reports_nothing_shows_it_at_once() -> None:
    still = Standstill()
    still.note_unannounced("it", after(60), stamped(25), after(0).seen)

    assert still.why(after(54).seen) == ""
    assert "it has changed" in still.why(after(55).seen)


@pytest.mark.parametrize(
    "written", [-5.0, 10.0, 1e9], ids=["before the former read", "before the last row", "in the far future"]
)
def test_a_time_that_proves_nothing_counts_from_the_moment_in_which_it_was_read(written: float) -> None:
    still = Standstill()
    still.note_row(after(20))
    still.note_unannounced("it", after(60), stamped(written), after(0).seen)

    assert still.why(after(89).seen) == ""
    assert still.why(after(90).seen) != ""


def test_a_row_ends_it_and_so_does_a_feed_that_begins_again() -> None:
    still = Standstill()
    still.note_unannounced("it", after(0))
    still.note_row(after(10))
    assert still.why(after(100).seen) == ""

    still.note_unannounced("it", after(20))
    still.restart()
    assert still.why(after(100).seen) == ""


def learn_pattern(picture: Picture, revision: str, now: Now) -> None:
    policy = Policy(id=PolicyId("o1/pat_svc"), revision=revision, revised_at=now.wall, pattern=PATTERN)
    picture.policies.learn_pattern(PATTERN, (policy,), begun=picture.begin(), now=now)


def test_a_pattern_that_is_read_again_after_its_row_is_no_news_and_one_without_a_row_is() -> None:
    picture = Picture()
    learn_pattern(picture, "1", after(0))
    picture.apply(resources.change(OrgId("o1"), "pattern", "pat", "modified"), after(10))
    learn_pattern(picture, "2", after(20))
    assert picture.standstill.why(after(100).seen) == ""

    learn_pattern(picture, "3", after(30))
    assert "deployment-policy o1/pat_svc" in picture.standstill.why(after(100).seen)


def test_what_is_read_again_after_a_lost_feed_is_no_news_and_after_a_periodic_look_it_is() -> None:
    picture, node = Picture(), NodeId("o1/n1")
    read = Read(what=What.STATUSES, id=node)
    for moment, was_lost in ((0, True), (100, False), (200, False)):
        status = Status(value="initiated", stamp=f"{moment:03}", updated_at=stamped(moment))
        picture.learn_statuses(node, {PolicyId("o1/p"): status}, begun=picture.begin(), now=after(moment + 50))
        assert picture.is_current(read)
        assert (picture.standstill.why(after(moment + 99).seen) != "") is (moment == 200)
        picture.outdate_org(OrgId("o1"), may_differ=was_lost)


@pytest.mark.parametrize("order", [(10.0, 40.0), (40.0, 10.0)], ids=["the earlier first", "the later first"])
def test_of_several_changes_without_a_row_the_earliest_counts(order: tuple[float, float]) -> None:
    still = Standstill()
    for written in order:
        still.note_unannounced("it", after(60), stamped(written), after(0).seen)

    assert still.why(after(39).seen) == ""
    assert "for 30 s" in still.why(after(40).seen)


def reported(policy: str, seconds: float, *, is_dated: bool = True) -> dict[PolicyId, Status]:
    """Make the one status that a node reports for this policy."""
    written = Status(value="initiated", stamp=f"{seconds:03}", updated_at=stamped(seconds), is_dated=is_dated)
    return {PolicyId(f"o1/{policy}"): written}


def test_of_several_new_reports_the_first_counts() -> None:
    known = reported("old", 5)

    assert written_since({**known, **reported("p", 30), **reported("q", 20)}, known) == stamped(20)
    assert written_since(known, known) is None


def test_an_old_report_is_not_the_one_that_the_feed_has_announced() -> None:
    assert not is_as_late(reported("p", 7), stamped(10))
    assert not is_as_late({}, stamped(10))


@pytest.mark.parametrize(
    "statuses",
    [reported("p", 8), reported("p", 60), reported("p", 7, is_dated=False), {**reported("p", 7), **reported("q", 10)}],
    ids=["written about then", "later", "of an unknown time", "beside an old one"],
)
def test_a_report_that_is_as_late_as_its_row_is_the_announced_one(statuses: dict[PolicyId, Status]) -> None:
    assert is_as_late(statuses, stamped(10))


def test_a_time_from_before_the_former_look_proves_nothing_where_no_row_has_come_either() -> None:
    still = Standstill()
    still.note_unannounced("it", after(60), stamped(-5), after(0).seen)

    assert still.why(after(89).seen) == ""
    assert still.why(after(90).seen) != ""


def test_a_node_that_is_known_for_the_first_time_or_is_gone_is_no_change_that_makes_a_row_of_its_own() -> None:
    known = values.node(values.ANNA)

    assert not has_changed(Sight.ABSENT, known)
    assert not has_changed(known, Sight.ABSENT)
    assert has_changed(known, replace(known, agent_version="9.9.9"))
