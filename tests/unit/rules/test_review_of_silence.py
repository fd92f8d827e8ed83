"""A holder that shows nothing: that counts only where it was alive, and by a read after that sign of life."""

from __future__ import annotations

import pytest

from agbot.rules.facts import Sight
from agbot.rules.lease import suspect
from agbot.rules.review import review
from agbot.rules.statuses import Status
from agbot.rules.verdict import Keep, Release
from tests.support.values import TTL, at, held, limits, node, review_of, seen, seen_at, status, under_way


@pytest.mark.parametrize("report", [Sight.ABSENT, status("successful", ago=5000), status("waiting", ago=5000)])
@pytest.mark.parametrize(
    ("alive_ago", "read_ago", "is_taken_back"),
    [(239, 0, True), (240, 0, False), (300, 0, False), (9000, 0, False), (None, 0, False)],
)
def test_that_a_holder_has_shown_nothing_counts_only_if_it_was_alive_after_the_grant(
    report: Status | Sight, alive_ago: float | None, read_ago: float, is_taken_back: bool
) -> None:
    """An agent that is cut off from the Exchange, or dies, may have stopped its services before it could report."""
    holder = seen(node=node(ago=alive_ago), status=report, status_read_at=seen_at(read_ago))

    assert isinstance(review(review_of(held(ago=300), holder)), Release) is is_taken_back


@pytest.mark.parametrize(("read_ago", "is_taken_back"), [(20, True), (23, False)])
def test_that_a_holder_has_shown_nothing_counts_only_by_a_read_after_its_sign_of_life(
    read_ago: float, is_taken_back: bool
) -> None:
    """It has just come back, and what was read before that shows nothing."""
    holder = seen(node=node(ago=20), status_read_at=seen_at(read_ago))

    assert isinstance(review(review_of(held(ago=300), holder)), Release) is is_taken_back


@pytest.mark.parametrize("value", ["failed", "waiting", "reset"])
@pytest.mark.parametrize(("alive_ago", "ends"), [(1000, True), (1399, True), (1401, False), (None, False)])
def test_a_status_is_the_last_one_of_a_node_only_if_it_was_alive_after_the_grace(
    value: str, alive_ago: float | None, ends: bool
) -> None:
    pending = under_way(value, ago=2000, stamp="s2", pending_since=seen_at(2000))
    holder = seen(node=node(ago=alive_ago), status=status(value, ago=2000, stamp="s2"))
    same = limits(failure_grace_seconds=600)

    assert (
        isinstance(review(review_of(held(ago=3000, ttl=TTL * 9, progress=pending), holder, limits=same)), Release)
        is ends
    )


@pytest.mark.parametrize(
    ("back_ago", "is_taken_back"), [(None, True), (81, True), (80, True), (79, False), (20, False)]
)
def test_a_holder_that_has_come_back_is_given_the_time_to_act_on_what_it_has_missed(
    back_ago: float | None, is_taken_back: bool
) -> None:
    """Until then its agreement stands that the agbot has cancelled, and its report is the one from before."""
    holder = seen(node=node(ago=20, back_at=None if back_ago is None else at(back_ago)))

    assert isinstance(review(review_of(held(ago=400), holder)), Release) is is_taken_back


@pytest.mark.parametrize(("back_ago", "ends"), [(None, True), (60, True), (59, False)])
@pytest.mark.parametrize("value", ["failed", "reset"])
def test_a_node_that_has_come_back_with_a_failure_may_go_on_with_it(
    value: str, back_ago: float | None, ends: bool
) -> None:
    pending = under_way(value, ago=2000, stamp="s2", pending_since=seen_at(2000))
    back_at = None if back_ago is None else at(back_ago)
    holder = seen(node=node(ago=0, back_at=back_at), status=status(value, ago=2000, stamp="s2"))

    assert isinstance(review(review_of(held(ago=3000, ttl=TTL * 9, progress=pending), holder)), Release) is ends


@pytest.mark.parametrize("report", [status("failed", ago=2000, stamp="s2"), status("waiting", ago=2000, stamp="s2")])
def test_what_keeps_a_lease_whose_holder_has_ended_is_said_to_be_an_old_copy_if_it_is_one(report: Status) -> None:
    pending = under_way(report.value, ago=2000, stamp="s2", pending_since=seen_at(2000))
    holder = seen(node=node(ago=0), status=report, hides_report=True)

    verdict = review(review_of(suspect(held(ago=3000, progress=pending)), holder))

    assert isinstance(verdict, Keep)
    assert "check whether a proxy answers from an old copy" in verdict.note
