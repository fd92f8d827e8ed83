"""Seen time is a type of its own: it cannot be taken for wall time, and each age and deadline of the rules is counted in it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from agbot.rules import health, order
from agbot.rules import lease as leases
from agbot.rules import rest as rests
from agbot.rules.decide import Wait, decide
from agbot.rules.facts import Sight
from agbot.rules.lease import End, Kind
from agbot.rules.reasons import Cause, Code
from agbot.rules.review import review
from agbot.rules.seen_time import Gap, Now, SeenTime
from agbot.rules.verdict import Keep, Suspect
from agbot.store.texts import seen_moment, seen_stamp, stamp
from tests.support import values
from tests.support.values import (
    ANNA,
    BERT,
    LIMITS,
    NOW,
    TTL,
    at,
    case,
    claim,
    group,
    held,
    member,
    node,
    review_of,
    seen,
    seen_at,
)

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
HALF_A_DAY = timedelta(hours=12)
BLIND = Now(wall=NOW.wall + HALF_A_DAY, seen=NOW.seen)
"""Half a day later by the wall clock, of which we saw nothing."""


def test_seen_times_are_ordered_and_their_difference_is_a_duration() -> None:
    early, late = SeenTime(NOON), SeenTime(NOON) + timedelta(seconds=1)

    assert early < late
    assert early <= late
    assert late > early
    assert late >= early
    assert late - early == timedelta(seconds=1)
    assert late - timedelta(seconds=1) == early
    assert len({early, late, late - timedelta(seconds=1)}) == 2
    assert early != NOON


@pytest.mark.parametrize(
    "mixed",
    [operator.lt, operator.le, operator.gt, operator.ge, operator.sub, operator.add],
    ids=lambda each: each.__name__,
)
def test_seen_time_and_wall_time_do_not_mix(mixed: Callable[[Any, Any], object]) -> None:
    with pytest.raises(TypeError):
        mixed(SeenTime(NOON), NOON)
    with pytest.raises(TypeError):
        mixed(NOON, SeenTime(NOON))


def test_a_seen_time_does_not_change() -> None:
    moment = SeenTime(NOON)

    with pytest.raises(AttributeError):
        moment.as_if_never_blind = NOON  # what must not work
    assert moment == SeenTime(NOON)


def test_what_was_stored_before_there_was_seen_time_reads_as_the_same_moment() -> None:
    assert seen_moment(stamp(NOON)) == SeenTime(NOON)
    assert seen_moment(seen_stamp(SeenTime(NOON))) == SeenTime(NOON)


def test_a_deadline_is_shown_as_the_earliest_time_at_which_it_can_come() -> None:
    deadline = BLIND.seen + timedelta(minutes=5)

    assert BLIND.shown(deadline) == BLIND.wall + timedelta(minutes=5)
    assert (BLIND + timedelta(minutes=1)).shown(deadline) == BLIND.shown(deadline)


def gap(begun_ago: float, ended_ago: float, *, is_step: bool = False) -> Gap:
    return Gap(start=at(begun_ago), end=at(ended_ago), is_step=is_step)


TWICE_BLIND = structs.replace(NOW, seen=seen_at(0) - timedelta(seconds=90), gaps=(gap(500, 440), gap(200, 170)))
"""Now, after a minute and half a minute in which we saw nothing."""


@pytest.mark.parametrize(
    ("ago", "age"), [(0, 0), (170, 170), (180, 170), (200, 170), (300, 270), (440, 410), (470, 410), (600, 510)]
)
def test_the_age_of_a_stamp_is_the_time_since_then_in_which_we_could_see(ago: float, age: float) -> None:
    assert TWICE_BLIND.age_of(at(ago)) == timedelta(seconds=age)


@pytest.mark.parametrize(("age", "ago"), [(-5, -5), (0, 0), (169, 169), (171, 201), (270, 300), (409, 439), (411, 501)])
def test_a_moment_of_seen_time_is_shown_as_the_date_that_it_had(age: float, ago: float) -> None:
    assert TWICE_BLIND.shown(TWICE_BLIND.seen - timedelta(seconds=age)) == at(ago)


def test_what_was_stamped_before_the_exchanges_clock_was_set_back_is_older_than_it_looks() -> None:
    set_back = structs.replace(NOW, gaps=(gap(100, 160, is_step=True),))

    assert set_back.age_of(at(170)) == timedelta(seconds=230)
    assert set_back.age_of(at(150)) == timedelta(seconds=150)
    assert set_back.shown(set_back.seen - timedelta(seconds=230)) == at(230), "a step takes no time on our own clock"


def test_while_we_are_blind_what_came_before_is_shown_as_long_ago_as_it_is() -> None:
    blind = structs.replace(NOW, blind=timedelta(seconds=40))

    assert blind.shown(blind.seen - timedelta(seconds=1)) == at(41)
    assert blind.shown(blind.seen) == at(0)


def test_a_time_is_certain_since_the_last_step_of_a_clock() -> None:
    assert TWICE_BLIND.certain_since is None
    assert structs.replace(
        TWICE_BLIND, gaps=(gap(900, 890, is_step=True), gap(500, 440, is_step=True), gap(200, 170))
    ).certain_since == at(440)


@pytest.mark.parametrize(("interval", "settling"), [(0, 60), (60, 60), (61, 61)])
def test_after_a_blindness_a_node_is_waited_for_for_its_own_interval_and_a_minute_at_least(
    interval: float, settling: float
) -> None:
    just, before = (structs.replace(NOW, clear_since=seen_at(settling - each)) for each in (0, 1))

    assert just.is_settled(interval)
    assert not before.is_settled(interval)


def test_a_lease_does_not_expire_while_no_one_can_look() -> None:
    lease = held(ago=TTL.total_seconds() - 1, progress=values.under_way(ago=TTL.total_seconds() - 1))
    sight = seen(status=Sight.UNREAD)

    assert isinstance(review(review_of(lease, sight, now=BLIND)), Keep)
    assert isinstance(review(review_of(lease, sight, now=BLIND + timedelta(seconds=1))), Suspect)


def test_a_claim_is_not_taken_back_over_time_in_which_its_sign_could_not_have_been_seen() -> None:
    lease = leases.grant(leases.Lease(group=values.GROUP), claim(), NOW, TTL, values.begun(0))
    just_blind = replace(lease, tenure=lease.tenure and replace(lease.tenure, granted_at=BLIND.wall))

    assert isinstance(review(review_of(just_blind, seen(status_read_at=BLIND.seen), now=BLIND)), Keep)


def test_a_waiter_still_asks_after_any_blindness() -> None:
    waiter = values.waiter(BERT, asked=LIMITS.ask_period_seconds)

    assert order.still_asks(waiter, group(), BLIND)
    assert not order.still_asks(waiter, group(), BLIND + timedelta(seconds=2 * LIMITS.ask_period_seconds + 1))


@pytest.mark.parametrize("kind", list(Kind))
def test_a_group_rests_for_so_much_seen_time(kind: Kind) -> None:
    limits = values.limits(agent_soak_seconds=60.0, service_soak_seconds=60.0)
    end = End(claim=claim(ANNA, kind), token=7, cause=Cause.SUCCEEDED, at=at(30), seen_at=seen_at(30))
    resting = group(lease=leases.Lease(group=values.GROUP, token=7, last_end=end), limits=limits)

    answer = decide(case(values.ask(BERT), resting, BLIND))

    assert isinstance(answer, Wait)
    assert next(each for each in answer.reasons if each.code is Code.SOAKING).until == BLIND.wall + timedelta(
        seconds=30
    )


def test_an_end_from_before_there_was_seen_time_rests_from_its_wall_time_on() -> None:
    end = End(claim=claim(ANNA, Kind.SERVICE), token=7, cause=Cause.SUCCEEDED, at=at(30))
    rest = rests.rest_after(end, LIMITS)

    assert rest is not None
    assert rest.until == seen_at(30 - LIMITS.service_soak_seconds)


def test_a_node_is_available_by_the_exchanges_own_age_of_its_heartbeat_whatever_we_saw() -> None:
    assert health.why_offline(node(ago=10), LIMITS, BLIND) is not None
    assert health.why_unavailable(member(ANNA, ago=10), LIMITS, BLIND) is not None


def test_an_old_heartbeat_is_silence_only_as_far_as_we_could_have_received_a_newer_one() -> None:
    silent = node(ago=LIMITS.heartbeat_stale_seconds + 1)

    assert health.why_silent(silent, LIMITS, NOW) is not None
    assert health.is_dead(node(ago=LIMITS.dead_after_seconds + 1), LIMITS, NOW)
