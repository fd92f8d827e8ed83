"""Who of several coordinators may grant."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agbot.rules import leadership
from agbot.rules.leadership import Announced, Candidate, Handover, Leader, Term, Timing

ONE = Candidate(name="one", run="r1")
TWO = Candidate(name="two", run="r2")
ROW = Leader(name="one", run="r1", epoch=7, since=datetime(2026, 11, 30, tzinfo=UTC), left_seconds=5.0)
TIMING = Timing(ttl_seconds=10.0, renew_seconds=2.0)


def test_a_leadership_that_no_one_has_ever_had_may_be_taken() -> None:
    assert leadership.may_take(None, TWO)


@pytest.mark.parametrize(("left_seconds", "may_take"), [(5.0, False), (0.001, False), (0.0, True), (-3.0, True)])
def test_another_may_take_the_leadership_only_once_it_has_expired(left_seconds: float, may_take: bool) -> None:
    assert leadership.may_take(replace(ROW, left_seconds=left_seconds), TWO) is may_take


def test_the_same_run_may_take_it_again_because_an_answer_may_have_been_lost() -> None:
    assert leadership.may_take(ROW, ONE)
    assert not leadership.may_take(ROW, replace(ONE, run="a later start"))


@pytest.mark.parametrize(("name", "seconds", "may_take"), [("two", 3, True), ("three", 3, False), ("three", 0, True)])
def test_what_was_handed_over_to_one_is_kept_for_it_for_a_while(name: str, seconds: float, may_take: bool) -> None:
    row = replace(ROW, left_seconds=0, reserved_for=name, reserved_seconds=seconds)
    assert leadership.may_take(row, TWO) is may_take


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (None, "no coordinator has led here before"),
        (replace(ROW, left_seconds=-0.3), "one has not renewed its leadership, which expired 0.3 s ago"),
        (replace(ROW, left_seconds=-25, is_given_up=True), "one gave up the leadership 25.0 s ago"),
        (
            replace(ROW, left_seconds=-0.3, is_given_up=True, reserved_for="three"),
            "one gave up the leadership 0.3 s ago, for three",
        ),
        (replace(ROW, name="two"), "two led, ended without giving up the leadership, and was started again"),
    ],
)
def test_a_leader_that_was_lost_is_set_apart_from_one_that_gave_the_leadership_up(row: Leader | None, why: str) -> None:
    assert leadership.why_missing(row, TWO) == why


@pytest.mark.parametrize(
    ("row", "now_seconds", "is_open"),
    [
        (replace(ROW, left_seconds=-1.0), 101.0, True),
        (replace(ROW, left_seconds=-9.0), 106.0, False),
        (replace(ROW, left_seconds=-1.0, epoch=8), 101.0, False),
        (ROW, 101.0, False),
    ],
)
def test_who_has_handed_over_waits_for_another_until_one_has_led_and_not_for_long(
    row: Leader, now_seconds: float, is_open: bool
) -> None:
    assert Handover(epoch=7, to="", at_seconds=100.0).is_open(row, now_seconds) is is_open


@pytest.mark.parametrize("silent_seconds", [0.0, 2.0, 7.9])
def test_a_leader_grants_while_its_last_renewal_is_recent(silent_seconds: float) -> None:
    term = Term(epoch=7, renewed_seconds=100.0)
    assert leadership.why_not_granting(term, TIMING, 100.0 + silent_seconds) == ""


@pytest.mark.parametrize("silent_seconds", [8.0, 9.9, 10.0, 3600.0])
def test_a_leader_stops_granting_before_its_row_can_expire(silent_seconds: float) -> None:
    term = Term(epoch=7, renewed_seconds=100.0)
    assert "could not renew" in leadership.why_not_granting(term, TIMING, 100.0 + silent_seconds)


def test_a_renewal_is_due_after_its_interval_and_at_once_when_it_is_late() -> None:
    term = Term(epoch=7, renewed_seconds=100.0)
    assert leadership.renews_in(term, TIMING, 100.5) == 1.5
    assert leadership.renews_in(term, TIMING, 109.0) == 0.0


@pytest.mark.parametrize(
    ("to", "silent_seconds", "why"),
    [
        ("", 1.0, ""),
        ("two", 1.0, ""),
        ("", 60.0, "no other coordinator stands by"),
        ("two", 60.0, "two was last seen 60 s ago"),
        ("three", 1.0, "no coordinator is called three"),
        ("one", 1.0, "one was last seen 0 s ago"),
    ],
)
def test_the_leadership_is_handed_over_only_to_another_that_lives(to: str, silent_seconds: float, why: str) -> None:
    announced = [
        Announced(candidate=ONE, silent_seconds=0.0),
        Announced(candidate=TWO, silent_seconds=silent_seconds),
    ]
    assert leadership.why_not_handed_over(announced, "one", to, TIMING) == why
