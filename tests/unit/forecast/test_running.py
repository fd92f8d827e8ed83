"""Forecasts of small hubs: the coordinator's rules decide, and time is the forecast's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from agbot.forecast.snapshot import Orders, Tenure
from agbot.rules.ids import NodeId, PolicyId, group_id, node_id
from agbot.rules.lease import Kind
from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause
from agbot.rules.records import Allowance, Approval, Brake, Hold
from agbot.rules.statuses import Status
from agbot.settings.windows import parse
from tests.unit.forecast.hubs import LASTS, LONG_AGO, NMP, NOON, ORG, SERVICE, codes, forecast, hub, of, silent

_MINUTE = timedelta(minutes=1)


@settings(max_examples=15)
@given(groups=some.integers(1, 4), members=some.integers(1, 4), pace=some.integers(0, 3))
def test_every_member_is_upgraded_one_of_a_group_at_a_time_and_not_more_groups_than_may(
    groups: int, members: int, pace: int
) -> None:
    course = forecast(hub(groups, members), Limits(max_groups_in_org=pace))

    assert (course.upgraded, list(course.blocked)) == (groups * members, [])
    assert all(each.lowest == members - 1 for each in course.groups)
    assert max(each.upgrading for each in course.points) <= (pace or groups)
    assert course.points[-1].done == groups
    for each in course.groups:
        assert each.begins_at is not None
        assert each.ends_at is not None
        assert each.ends_at - each.begins_at >= timedelta(seconds=LASTS * members)
        assert each.ends_at - each.begins_at <= (timedelta(seconds=LASTS) + 3 * _MINUTE) * members + 90 * _MINUTE * pace


def test_the_same_hub_gives_the_same_forecast() -> None:
    rules = Limits(max_groups_in_org=2, canary_percent=20.0)

    assert forecast(hub(5, 3), rules) == forecast(hub(5, 3), rules)


def test_without_limits_all_groups_go_at_once() -> None:
    course = forecast(hub(6))

    assert max(each.upgrading for each in course.points) == 6
    assert course.ends_at - NOON < 2 * timedelta(seconds=LASTS) + 5 * _MINUTE


def test_other_groups_begin_when_the_canaries_have_ended() -> None:
    course = forecast(hub(10), Limits(canary_percent=20.0))

    first, second, *others = course.groups
    assert first.ends_at is not None
    assert second.ends_at is not None
    begins = [each.begins_at for each in others if each.begins_at is not None]
    assert len(begins) == 8
    assert min(begins) > max(first.ends_at, second.ends_at)
    assert course.upgraded == 20


def test_upgrades_begin_only_while_the_window_is_open() -> None:
    course = forecast(hub(3, 3), Limits(windows=(parse("daily 22:00-22:07"),)))

    begins = [each.begins_at for each in course.groups if each.begins_at is not None]
    assert all((each.hour, each.minute) >= (22, 0) for each in begins)
    assert all((each.hour, each.minute) < (22, 7) for each in begins)
    assert course.upgraded == 9
    assert timedelta(days=1) < course.ends_at - NOON < timedelta(days=3)


def test_a_group_rests_for_its_soak_time() -> None:
    short, long = forecast(hub(1)), forecast(hub(1), Limits(agent_soak_seconds=3600.0))

    assert timedelta(minutes=58) <= (long.ends_at - short.ends_at) <= timedelta(minutes=63)


def test_a_member_with_dead_peers_stays_blocked_with_the_reason_of_the_rules() -> None:
    course = forecast(silent(hub(2), "g0-0"), Limits(max_groups_in_org=1))

    assert codes(course) == {"g0-0": "", "g0-1": "peers-unavailable"}
    left = {each.node: each.text for each in of(course, "g0").left}
    assert left[node_id(ORG, "g0-0")] == "last heartbeat 2 days ago"
    assert "the only other member is not available" in left[node_id(ORG, "g0-1")]
    assert of(course, "g0").ends_at is None
    assert of(course, "g1").upgraded == 2


@pytest.mark.parametrize("scope", ["*", "o1", "o1/g0", "node:o1/g0-0"])
def test_a_hold_keeps_its_scope(scope: str) -> None:
    held = hub(1, orders=Orders(holds=(Hold(scope=scope, since=LONG_AGO, by="ada", why="audit"),)))
    until = hub(
        1, orders=Orders(holds=(Hold(scope=scope, since=LONG_AGO, by="ada", why="audit", until=NOON + 60 * _MINUTE),))
    )

    assert set(codes(forecast(held)).values()) == {"paused"}
    later = forecast(until)
    assert (later.upgraded, codes(later)) == (2, {})
    assert later.ends_at > NOON + 60 * _MINUTE


def test_what_needs_an_approval_stays_blocked_without_one() -> None:
    given = Approval(scope="o1/g0", kind=Kind.AGENT, subject=NMP, since=NOON, by="ada", why="tested")

    assert set(codes(forecast(hub(2), Limits(approval=True))).values()) == {"not-approved"}
    course = forecast(hub(2, orders=Orders(approvals=(given,))), Limits(approval=True))
    assert (of(course, "g0").upgraded, codes(course)) == (2, {"g1-0": "not-approved", "g1-1": "not-approved"})


def test_an_allowance_lets_its_node_past_the_rules_once() -> None:
    until = NOON + 600 * _MINUTE
    given = Allowance(node=node_id(ORG, "g0-1"), subject=NMP, since=NOON, until=until, by="ada", why="urgent")

    course = forecast(hub(1, orders=Orders(allowances=(given,))), Limits(approval=True))

    assert (course.upgraded, codes(course)) == (2, {}), "the group has begun, and the other member needs no approval"


def test_a_brake_stops_its_group() -> None:
    group, node = group_id(ORG, "g1"), node_id(ORG, "g1-0")
    brake = Brake(
        group=group,
        kind=Kind.AGENT,
        subject=NMP,
        revision="r1",
        since=LONG_AGO,
        cause=Cause.FAILED,
        node=node,
        token=3,
    )

    course = forecast(hub(2, orders=Orders(brakes=(brake,))))

    assert codes(course) == {"g1-0": "brake", "g1-1": "brake"}
    assert of(course, "g0").upgraded == 2


def tenure(name: str, *, is_suspect: bool = False, subject: str = NMP) -> Orders:
    return Orders(
        tenures=(
            Tenure(
                group=group_id(ORG, name.partition("-")[0]),
                node=node_id(ORG, name),
                kind=Kind.AGENT if subject == NMP else Kind.SERVICE,
                subject=NMP if subject == NMP else SERVICE,
                since=NOON - timedelta(seconds=200),
                is_suspect=is_suspect,
            ),
        )
    )


def test_an_upgrade_that_is_under_way_ends_first() -> None:
    course = forecast(hub(1, orders=tenure("g0-1")))

    assert (course.upgraded, of(course, "g0").begins_at) == (2, NOON)
    assert course.points[0].upgrading == 1
    # it has 100 s left of its 300
    assert next(each.at for each in course.points if not each.upgrading) == NOON + timedelta(seconds=100)


def test_a_service_upgrade_under_way_has_the_lease_too() -> None:
    course = forecast(hub(1, orders=tenure("g0-1", subject=SERVICE)))

    assert (course.upgraded, codes(course)) == (2, {})
    assert max(each.upgrading for each in course.points) == 1


def test_a_suspect_lease_blocks_its_group() -> None:
    course = forecast(hub(2, orders=tenure("g0-1", is_suspect=True)))

    assert codes(course) == {"g0-0": "lease-suspect", "g0-1": ""}
    assert of(course, "g1").upgraded == 2


def test_a_member_that_reports_an_upgrade_under_way_has_the_lease_without_a_coordinator() -> None:
    status = Status(value="initiated", stamp="s", updated_at=NOON - timedelta(seconds=250), target_version="2.32.0")
    known = hub(1)

    course = forecast(replace(known, statuses={node_id(ORG, "g0-0"): {NMP: status}}))

    assert (course.upgraded, course.points[0].upgrading) == (2, 1)
    assert next(each.at for each in course.points if not each.upgrading) == NOON + timedelta(seconds=50)


def reported(name: str, value: str, minutes_ago: float = 1.0) -> dict[NodeId, dict[PolicyId, Status]]:
    at = NOON - minutes_ago * _MINUTE
    return {node_id(ORG, name): {NMP: Status(value=value, stamp=f"{at}", updated_at=at, target_version="2.32.0")}}


def test_members_that_are_done_or_have_failed_do_not_ask_unless_the_policy_was_revised() -> None:
    known = hub(3)
    statuses = {**reported("g0-0", "successful"), **reported("g1-0", "rollback successful")}
    old = reported("g2-0", "successful", minutes_ago=60.0)

    course = forecast(replace(known, statuses={**statuses, **old}))

    assert (of(course, "g0").upgraded, of(course, "g1").upgraded, of(course, "g2").upgraded) == (1, 1, 2)
    assert codes(course) == {"g1-0": ""}


def test_the_start_of_the_policy_and_its_window_are_waited_for() -> None:
    course = forecast(hub(8, 1, aim={"start": NOON + 60 * _MINUTE, "window_seconds": 1800.0}))

    begins = [each.begins_at for each in course.groups if each.begins_at is not None]
    assert NOON + 60 * _MINUTE <= min(begins) < max(begins) <= NOON + 91 * _MINUTE
    assert max(begins) - min(begins) > 5 * _MINUTE


def test_a_policy_with_constraints_is_for_the_members_that_match() -> None:
    known = hub(3, aim={"constraints": ("zone == east && tier == 'edge'",)})
    properties = {
        node_id(ORG, "g0-0"): {"zone": "east", "tier": "edge"},
        node_id(ORG, "g1-0"): {"zone": "east", "tier": "core"},
    }

    course = forecast(replace(known, properties=properties))

    assert [(each.group, each.upgraded) for each in course.groups] == [("o1/g0", 1)]


def test_a_deployment_policy_is_rolled_out_to_the_members_with_its_service() -> None:
    course = forecast(silent(hub(2, 3), "g1-0"), policy=True)

    assert (of(course, "g0").upgraded, of(course, "g1").upgraded) == (3, 2)
    assert codes(course) == {"g1-0": ""}, "an offline peer blocks no service upgrade"
