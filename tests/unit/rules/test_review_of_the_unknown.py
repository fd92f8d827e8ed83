"""What a holder does not report, or reports with a time that cannot be right, ends no lease (P3)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from agbot.rules.facts import Sight
from agbot.rules.progress import Progress
from agbot.rules.review import review
from agbot.rules.statuses import Status
from agbot.rules.verdict import Keep, Release, Renew, Suspect
from tests.support.values import (
    NEW,
    NOW,
    OLD,
    TTL,
    begun,
    held,
    node,
    policy,
    review_of,
    seen,
    seen_at,
    status,
    suspected,
    under_way,
)

LONG = 5000


@pytest.mark.parametrize("unread", [{"policy": Sight.UNREAD}, {"node": Sight.UNREAD}])
def test_a_status_that_disappeared_ends_nothing_while_the_second_fact_is_unread(unread: dict[str, object]) -> None:
    lease = held(ago=60, progress=under_way())

    assert isinstance(review(review_of(lease, seen(status=Sight.ABSENT, **unread))), Keep)


@pytest.mark.parametrize("second", [{"policy": policy(enabled=False)}, {"node": node(registered=False, ago=0)}])
def test_a_status_that_was_never_seen_has_not_disappeared(second: dict[str, object]) -> None:
    """The agent may have its grant and have stopped its services before it could report."""
    assert isinstance(review(review_of(held(ago=60), seen(status=Sight.ABSENT, **second))), Keep)


@pytest.mark.parametrize("value", ["successful", "rollback failed", "failed", "waiting", "a word from 2031"])
def test_a_report_that_may_have_been_written_at_any_time_ends_nothing(value: str) -> None:
    undated = replace(status(value, ago=5), is_dated=False)
    lease = held(ago=LONG, ttl=TTL * 99, progress=under_way("initiated", ago=LONG))

    assert not isinstance(review(review_of(lease, seen(status=undated))), Release)


@pytest.mark.parametrize(("written_ago", "ends"), [(121, True), (119, False)])
def test_a_failure_among_reports_that_only_repeat_themselves_ends_the_lease_when_it_has_stood(
    written_ago: float, ends: bool
) -> None:
    """It cannot be recorded with the lease: the same reports have come for longer than an upgrade may take."""
    failed, initiated = status("failed", ago=written_ago, stamp="s9"), status("initiated")
    progress = under_way("initiated", ago=9000)
    for each in (failed, initiated, initiated):
        progress = progress.reported(f"{each.value} {each.versions}", seen_at(9000))
    lease = held(ago=9500, ttl=TTL * 99, progress=progress)

    assert isinstance(review(review_of(lease, seen(status=failed))), Release) is ends


def test_a_failure_that_was_news_under_the_grant_ends_the_lease_although_it_is_dated_before_it() -> None:
    """The clocks differ: whether a report is an earlier one was settled when it came."""
    pending = under_way("failed", ago=LONG, stamp="s2", pending_since=seen_at(300))
    failed = status("failed", ago=LONG + 60, stamp="s2")

    assert isinstance(review(review_of(held(ago=LONG, ttl=TTL * 99, progress=pending), seen(status=failed))), Release)


def test_a_report_without_certificate_and_configuration_does_not_erase_those_that_were_reported() -> None:
    lease = held(progress=under_way(certificate="c1", configuration="k1"))

    silent = review(review_of(lease, seen(status=status("initiated", stamp="s2"))))
    spoken = review(
        review_of(lease, seen(status=replace(status("initiated", stamp="s2"), certificate="c2", configuration="k2")))
    )

    assert isinstance(silent, Renew)
    assert (silent.progress.certificate, silent.progress.configuration) == ("c1", "k1")
    assert isinstance(spoken, Renew)
    assert (spoken.progress.certificate, spoken.progress.configuration) == ("c2", "k2")


def proof(progress: Progress, *, runs: str, alive_ago: float = 10, report: Status | Sight) -> bool:
    """Whether the version that a node runs ends its lease, which expired long ago."""
    lease = suspected(ago=LONG, progress=progress)
    return isinstance(
        review(review_of(lease, seen(node=node(agent_version=runs, ago=alive_ago), status=report))), Release
    )


def test_no_version_at_all_is_no_proof_that_the_requested_one_was_reached() -> None:
    nothing = under_way("initiated", ago=LONG, target_version="", version_before=OLD)

    assert not proof(nothing, runs="", report=Sight.ABSENT)


def test_the_version_of_a_node_that_came_back_and_fell_silent_again_is_no_proof() -> None:
    progress = under_way("initiated", ago=LONG)

    assert proof(progress, runs=NEW, alive_ago=10, report=Sight.UNREAD)
    assert not proof(progress, runs=NEW, alive_ago=1000, report=Sight.UNREAD)


def test_the_version_that_proves_is_that_of_the_last_report_that_names_one() -> None:
    progress = under_way("initiated", ago=LONG, target_version="2.31.5")
    silent, later = status("initiated", stamp="s1", target_version=""), status("initiated", stamp="s1")

    assert proof(progress, runs="2.31.5", report=silent)
    assert proof(progress, runs=NEW, report=later)
    assert not proof(progress, runs="2.31.5", report=later)


@pytest.mark.parametrize(
    ("runs", "target", "renews"), [(OLD, NEW, True), ("", "", True), (NEW, NEW, False), (NEW, "", True)]
)
def test_heartbeats_renew_no_lease_of_a_node_that_runs_the_version_and_has_not_reported_it(
    runs: str, target: str, renews: bool
) -> None:
    """Its final report is lost (A7), and only an expired lease is ended by the version."""
    lease = held(ago=400, progress=under_way("initiated", ago=400, target_version=target))
    silent = status("initiated", stamp="s1", target_version="")

    verdict = review(review_of(lease, seen(node=node(agent_version=runs, ago=10), status=silent)))

    assert isinstance(verdict, Renew) is renews


def test_a_holder_that_has_reported_nothing_is_suspected_in_those_words() -> None:
    lease = held(ago=700, progress=begun(700, confirmed=True))
    silent = seen(node=node(ago=701), status=Sight.UNREAD)
    spoken = held(ago=700, progress=under_way("initiated", ago=700))

    without, after = review(review_of(lease, silent)), review(review_of(spoken, silent))

    assert isinstance(without, Suspect)
    assert "has reported nothing since" in without.why
    assert isinstance(after, Suspect)
    assert "has reported initiated since" in after.why


@pytest.mark.parametrize(("read_ago", "expires"), [(0, True), (99, True), (101, False)])
def test_a_lease_expires_only_by_a_read_of_its_holder_after_that_moment(read_ago: float, expires: bool) -> None:
    lease = held(ago=700, progress=under_way("initiated", ago=700))
    silent = seen(node=node(ago=701), status=Sight.UNREAD, node_read_at=seen_at(read_ago))

    assert isinstance(review(review_of(lease, silent)), Suspect) is expires


def test_a_lease_expires_only_when_its_holder_could_have_been_seen_for_a_while() -> None:
    lease = held(ago=700, progress=under_way("initiated", ago=700))
    silent = node(ago=701)
    returned = node(ago=701, unseen_until=NOW.wall - timedelta(seconds=5))

    assert isinstance(review(review_of(lease, seen(node=silent, status=Sight.UNREAD))), Suspect)
    assert isinstance(review(review_of(lease, seen(node=returned, status=Sight.UNREAD))), Keep)


@pytest.mark.parametrize(("ago", "expected"), [(599, Keep), (600, Suspect)])
def test_a_lease_whose_holder_exists_and_cannot_be_read_expires_into_suspicion(ago: float, expected: type) -> None:
    lease = held(ago=ago, progress=under_way("initiated", ago=ago))
    garbled = seen(node=Sight.UNREAD, status=Sight.UNREAD, unreadable="its node cannot be read")

    assert isinstance(review(review_of(lease, garbled)), expected)
    assert isinstance(review(review_of(lease, replace(garbled, unreadable=""))), Keep), "that is our own blindness"


def test_a_suspect_lease_whose_holder_cannot_be_read_is_not_suspected_again() -> None:
    garbled = seen(node=Sight.UNREAD, status=Sight.UNREAD, unreadable="its node cannot be read")

    assert isinstance(review(review_of(suspected(), garbled)), Keep)
