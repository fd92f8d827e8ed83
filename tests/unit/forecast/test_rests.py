"""Groups that rest when a forecast begins: the last end in each of them counts, as in the coordinator."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from agbot.forecast import rests
from agbot.forecast.course import Course
from agbot.forecast.snapshot import Ended, Orders, Snapshot
from agbot.rules.ids import GroupId, NodeId, PolicyId, group_id, node_id
from agbot.rules.lease import Kind
from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause
from agbot.rules.statuses import Status
from tests.unit.forecast.hubs import NMP, NOON, ORG, SERVICE, forecast, hub, of, silent

_MINUTE = timedelta(minutes=1)
_HOUR = Limits(agent_soak_seconds=3600.0, service_soak_seconds=7200.0)
FORMER = PolicyId("o1/former")


def ended(
    name: str,
    *,
    ago: timedelta = 20 * _MINUTE,
    cause: Cause = Cause.SUCCEEDED,
    kind: Kind = Kind.AGENT,
    subject: PolicyId = FORMER,
    is_rested: bool = False,
) -> Ended:
    return Ended(
        group=group_id(ORG, name.partition("-")[0]),
        node=node_id(ORG, name),
        kind=kind,
        subject=subject,
        at=NOON - ago,
        cause=cause,
        is_rested=is_rested,
    )


def after(*ends: Ended, groups: int = 1) -> Snapshot:
    return hub(groups, orders=Orders(ends=ends))


def begin(course: Course, name: str = "g0") -> datetime:
    found = of(course, name).begins_at
    assert found is not None
    return found


def test_a_group_begins_when_it_has_rested_since_its_last_upgrade() -> None:
    course = forecast(after(ended("g0-1"), groups=2), _HOUR)

    assert NOON + 40 * _MINUTE <= begin(course) <= NOON + 42 * _MINUTE
    assert begin(course, "g1") < NOON + 2 * _MINUTE
    assert course.upgraded == 4


def test_a_group_rests_also_if_the_member_that_upgraded_has_left_it() -> None:
    assert begin(forecast(after(ended("g0-gone")), _HOUR)) >= NOON + 40 * _MINUTE


def test_after_a_service_upgrade_its_own_time_counts() -> None:
    course = forecast(after(ended("g0-1", kind=Kind.SERVICE, subject=SERVICE)), _HOUR)

    assert NOON + 100 * _MINUTE <= begin(course) <= NOON + 102 * _MINUTE


@pytest.mark.parametrize(
    "end",
    [
        ended("g0-1", cause=Cause.FAILED),
        ended("g0-1", is_rested=True),
        ended("g0-1", ago=61 * _MINUTE),
    ],
    ids=["it failed", "an operator ended the rest", "it is over"],
)
def test_no_group_rests_after_any_other_end(end: Ended) -> None:
    known = after(end)

    assert begin(forecast(known, _HOUR)) < NOON + 2 * _MINUTE
    assert rests.resting(known, lambda _group: _HOUR) == {}


def test_a_silent_member_keeps_its_group_resting_until_the_proof_is_waited_for_no_more() -> None:
    rules = replace(_HOUR, min_available=0)
    course = forecast(silent(after(ended("g0-1")), "g0-1"), rules)

    proof_until = NOON + 40 * _MINUTE + timedelta(seconds=rules.rest_proof_seconds)
    assert proof_until <= begin(course) <= proof_until + 32 * _MINUTE


def reported(value: str = "successful", *, is_dated: bool = True) -> dict[NodeId, dict[PolicyId, Status]]:
    at = NOON - 20 * _MINUTE
    status = Status(value=value, stamp=f"{at}", updated_at=at, target_version="2.31.0", is_dated=is_dated)
    return {node_id(ORG, "g0-1"): {FORMER: status}}


def test_without_the_coordinator_a_group_rests_after_the_success_that_a_member_reports() -> None:
    known = replace(hub(2), statuses=reported())

    assert NOON + 40 * _MINUTE <= begin(forecast(known, _HOUR)) <= NOON + 42 * _MINUTE
    assert rests.resting(known, lambda _group: _HOUR) == {GroupId("o1/g0"): NOON + 40 * _MINUTE}


@pytest.mark.parametrize("statuses", [reported("rollback successful"), reported(is_dated=False)])
def test_no_other_report_is_a_success_at_a_known_time(statuses: dict[NodeId, dict[PolicyId, Status]]) -> None:
    assert rests.last_ends(replace(hub(1), statuses=statuses)) == {}


def test_what_the_coordinator_knows_of_a_group_goes_before_a_report() -> None:
    known = replace(after(ended("g0-1", is_rested=True)), statuses=reported())

    assert begin(forecast(known, _HOUR)) < NOON + 2 * _MINUTE


@pytest.mark.parametrize("soak_minutes", [0, 60])
def test_groups_that_are_done_with_the_policy_are_its_canaries_and_the_others_wait_for_their_rest(
    soak_minutes: int,
) -> None:
    just = timedelta(minutes=4)
    ends = [ended(f"g{each}-1", ago=just, subject=NMP) for each in range(2)]
    done = Status(value="successful", stamp="s", updated_at=NOON - just, target_version="2.32.0")
    statuses = {node_id(ORG, f"g{group}-{member}"): {NMP: done} for group in range(2) for member in range(2)}
    rules = Limits(canary_percent=20.0, agent_soak_seconds=soak_minutes * 60.0)

    course = forecast(replace(after(*ends, groups=10), statuses=statuses), rules)

    rested_at = NOON + max(soak_minutes * _MINUTE - just, timedelta())
    begins = [begin(course, f"g{each}") for each in range(2, 10)]
    assert (len(course.groups), course.upgraded) == (8, 16)
    assert rested_at <= min(begins) <= max(begins) < rested_at + 3 * _MINUTE
