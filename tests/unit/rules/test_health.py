"""Who counts as available, to the second."""

from __future__ import annotations

import pytest

from agbot.rules import health
from agbot.rules.statuses import PHASES, Phase, Status
from tests.support.values import (
    ANNA,
    BERT,
    CARL,
    LIMITS,
    NEW,
    NMP,
    NOW,
    OLD,
    OTHER_NMP,
    deferral,
    limits,
    member,
    node,
    status,
)

PAST_THE_GATE = {"downloaded", "initiated", "rollback started"}


@pytest.mark.parametrize(
    ("ago", "interval", "alive"),
    [
        (0, 0, True),
        (-5, 0, True),
        (300, 0, True),
        (301, 0, False),
        (301, 150, False),
        (300, 150, True),
        (301, 151, True),
        (302, 151, True),
        (303, 151, False),
        (7200, 3600, True),
        (7201, 3600, False),
        (None, 0, False),
        (None, 9999, False),
    ],
)
def test_a_heartbeat_is_fresh_against_the_limit_or_twice_the_nodes_own_interval(
    *, ago: float | None, interval: float, alive: bool
) -> None:
    found = health.why_offline(node(ago=ago, heartbeat_interval_seconds=interval), LIMITS, NOW)

    assert (found is None) is alive


@pytest.mark.parametrize(
    ("ago", "interval", "dead"),
    [
        (1800, 0, False),
        (1801, 0, True),
        (1801, 900, True),
        (1801, 901, False),
        (7200, 3600, False),
        (7201, 3600, True),
        (None, 0, True),
    ],
)
def test_a_node_is_dead_only_after_both_limits(*, ago: float | None, interval: float, dead: bool) -> None:
    assert health.is_dead(node(ago=ago, heartbeat_interval_seconds=interval), LIMITS, NOW) is dead


def test_the_reasons_are_readable() -> None:
    assert health.why_offline(node(ago=None), LIMITS, NOW) == "has never sent a heartbeat"
    assert health.why_offline(node(ago=400.9), LIMITS, NOW) == "last heartbeat 400 s ago"
    busy = member(ANNA, {NMP: status("initiated")})
    assert health.why_unavailable(busy, LIMITS, NOW) == f"its own upgrade {NMP} is initiated"


@pytest.mark.parametrize("value", [*PHASES, "unknown"])
def test_only_an_upgrade_past_the_gate_makes_a_live_member_unavailable(value: str) -> None:
    busy = member(ANNA, {NMP: status(value)})

    assert (health.why_unavailable(busy, LIMITS, NOW) is not None) is (value in PAST_THE_GATE)


def test_the_phases_past_the_gate_are_exactly_these() -> None:
    assert {value for value, phase in PHASES.items() if phase is Phase.UNDER_WAY} == PAST_THE_GATE


@pytest.mark.parametrize(
    ("report", "version", "under_way"),
    [
        (status("initiated", ago=7200), OLD, True),
        (status("initiated", ago=7201), OLD, False),
        (status("initiated"), NEW, False),
        (status("downloaded"), NEW, False),
        (status("rollback started"), NEW, True),
        (status("rollback started", ago=7201), NEW, False),
        (status("initiated", target_version=""), "", True),
        (status("successful"), OLD, False),
    ],
)
def test_a_report_is_over_when_its_version_runs_or_when_it_has_outlived_every_upgrade(
    *, report: Status, version: str, under_way: bool
) -> None:
    assert health.is_under_way(report, member(ANNA, agent_version=version), LIMITS, NOW) is under_way


def test_any_of_a_members_upgrades_counts_in_whatever_order_they_are_read() -> None:
    done, busy = status("initiated", target_version=OLD), status("initiated")

    assert health.upgrading(member(ANNA, {NMP: done, OTHER_NMP: busy}), LIMITS, NOW) == OTHER_NMP
    assert health.upgrading(member(ANNA, {OTHER_NMP: busy, NMP: done}), LIMITS, NOW) == OTHER_NMP
    assert health.upgrading(member(ANNA, {OTHER_NMP: busy, NMP: busy}), LIMITS, NOW) == NMP
    assert health.upgrading(member(ANNA, {NMP: busy, OTHER_NMP: busy}), LIMITS, NOW) == NMP


def test_a_dead_node_in_the_middle_of_an_upgrade_is_offline_first() -> None:
    why = health.why_unavailable(member(ANNA, {NMP: status("initiated")}, ago=9000), LIMITS, NOW)

    assert why == "last heartbeat 9000 s ago"


def test_all_that_are_missing_are_told_and_nobody_else() -> None:
    members = [member(ANNA), member(BERT, ago=301), member(CARL, {NMP: status("downloaded")})]

    assert set(health.unavailable(members, {}, LIMITS, NOW)) == {BERT, CARL}
    assert set(health.unavailable(members, {}, limits(heartbeat_stale_seconds=301), NOW)) == {CARL}
    assert set(health.unavailable(members, {ANNA: deferral()}, LIMITS, NOW)) == {ANNA, BERT, CARL}
