"""Who goes when: the order of members, the rest between them, how many groups at once, and which go first."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import Any

from agbot.rules.ids import policy_id
from agbot.rules.limits import Limits, Order
from agbot.settings.model import Scope, Settings
from agbot.settings.scopes import limits_of
from agbot.settings.windows import parse
from agbot.sim.links import Kind
from agbot.sim.stage import SERVICE_NEW
from tests.membership.living import STEADY
from tests.scenarios.rollouts import Rollout, rollout
from tests.support.examples import thorough
from tests.support.hub import NEW, ORG
from tests.support.virtual_time import in_virtual_time

SIX = {"g1": 2, "g2": 2, "g3": 2, "g4": 2, "other1": 2, "other2": 2}
FIVE = {f"g{number}": 2 for number in range(1, 6)}


async def all_wait_then_go(hub: Rollout) -> None:
    """Let every member have asked before the first may go."""
    await hub.hold("o1/g1", seconds=200)
    hub.publish()
    await hub.until_all()


@in_virtual_time
async def test_members_go_in_the_order_of_their_names() -> None:
    async with rollout({"g1": 4}, limits=Limits(order=Order.NAME)) as hub:
        await all_wait_then_go(hub)

        assert hub.went() == ["g1-1", "g1-2", "g1-3", "g1-4"]


@in_virtual_time
async def test_a_member_that_is_first_by_name_and_offline_keeps_no_one_waiting() -> None:
    async with rollout({"g1": 4}, limits=Limits(order=Order.NAME)) as hub:
        first, *others = hub.members()
        await hub.hold("o1/g1", seconds=700)
        hub.publish()
        await hub.until(lambda: hub.waits_for(first) == "paused")
        first.die()

        await hub.until(lambda: hub.runs(NEW, *others), 2400)
        assert hub.went() == ["g1-2", "g1-3", "g1-4"]
        first.come_back()
        await hub.until_all()


@in_virtual_time
async def test_the_member_with_the_oldest_agent_goes_first() -> None:
    async with rollout({}, limits=Limits(order=Order.OLDEST_VERSION)) as hub:
        for name, version in (("g1-1", "2.31.0"), ("g1-2", "2.9.0"), ("g1-3", "2.30.1")):
            await hub.fleet.add_node(ORG, name, version=version, habits=STEADY)
        hub.fleet.create_group(ORG, "g1", ["g1-1", "g1-2", "g1-3"])
        hub.groups = {"g1": 3}
        await asyncio.sleep(30)
        await all_wait_then_go(hub)

        assert hub.went() == ["g1-2", "g1-3", "g1-1"]


@in_virtual_time
async def test_the_group_rests_after_each_agent_upgrade_for_as_long_as_is_set() -> None:
    async with rollout(limits=Limits(agent_soak_seconds=300)) as hub:
        hub.publish()
        await hub.until_all()

        assert rests(hub) == [True, True]


@in_virtual_time
async def test_the_group_rests_a_minute_after_each_service_upgrade_by_default() -> None:
    async with rollout(serves=True) as hub:
        hub.deploy(SERVICE_NEW)
        await hub.until(lambda: hub.serve(SERVICE_NEW), 600)

        assert rests(hub, Kind.SERVICE, 60) == [True, True]


def rests(hub: Rollout, kind: Kind = Kind.AGENT, seconds: float = 300) -> list[bool]:
    """Say of each member but the first whether it began so long after the end of the one before it."""
    upgrades = hub.begun(kind)
    return [
        before.ended_at is not None and after.began_at - before.ended_at >= timedelta(seconds=seconds)
        for before, after in pairwise(upgrades)
    ]


@in_virtual_time
async def test_never_more_groups_upgrade_at_once_than_organisation_and_fleet_allow_and_all_get_through() -> None:
    async with rollout(SIX, limits=Limits(max_groups_in_org=2, max_groups_in_fleet=3)) as hub:
        hub.publish()
        hub.fleet.publish("o2", "agent", NEW)
        await hub.until_all()

        assert most_groups_down(hub) <= 3
        assert (hub.most_leases_at_once("o1/"), hub.most_leases_at_once()) == (2, 3)


def most_groups_down(hub: Rollout) -> int:
    """Return how many groups had a member down for an upgrade at one moment, as the fleet knows it."""
    moments = [one.began_at for one in hub.begun()]
    return max(
        len({one.group for one in hub.begun() if one.ended_at and one.began_at <= moment < one.ended_at})
        for moment in moments
    )


@in_virtual_time
async def test_one_group_in_five_goes_first_and_the_others_when_it_has_finished_and_rested() -> None:
    async with rollout(FIVE, limits=Limits(canary_percent=20, agent_soak_seconds=200)) as hub:
        hub.publish()
        await hub.until_all()

        canary = hub.groups_begun()[0]
        ends = [one.ended_at for one in hub.begun() if one.group == f"o1/{canary}" and one.ended_at]
        others = [one.began_at for one in hub.begun() if one.group != f"o1/{canary}"]
        assert len(ends) == 2
        assert min(others) - max(ends) >= timedelta(seconds=200)


@in_virtual_time
async def test_a_canary_that_fails_keeps_the_release_from_all_others_and_a_repaired_one_reaches_them() -> None:
    async with rollout(FIVE, limits=Limits(canary_percent=20)) as hub:
        hub.break_release()
        hub.publish()
        await hub.until(lambda: bool(hub.events("brake.set")))
        await asyncio.sleep(600)
        assert len(hub.went()) == 1

        hub.mend_release()
        hub.publish("2.32.1")
        await hub.until_all("2.32.1")


@thorough
@in_virtual_time
async def test_groups_and_organisations_keep_their_own_settings_in_one_rollout() -> None:
    """`g1` rests, `g2` has a window, the other organisation needs an approval.

    Everybody else goes at once.
    """
    scopes: dict[str, dict[str, Any]] = {
        "o1/g1": {"agent_soak_seconds": 300.0},
        "o1/g2": {"windows": (parse("mon 12:40-14:00"),)},
        "o2": {"approval": True},
    }
    settings = Settings(scopes=tuple(Scope(pattern=pattern, values=values) for pattern, values in scopes.items()))
    groups = {"g1": 2, "g2": 2, "g3": 2, "other": 2}
    async with rollout(groups, limits_of=limits_of(settings)) as hub:
        began = hub.clock.now()
        hub.publish()
        hub.fleet.publish("o2", "agent", NEW)
        await hub.until_all(NEW, "g1", "g2", "g3")
        assert not any(name.startswith("other") for name in hub.went())
        await hub.approve("o2", policy_id("o2", "agent"))
        await hub.until_all()

        first = {
            group: [(one.began_at - began).total_seconds() for one in hub.begun() if one.group.endswith(group)]
            for group in groups
        }
        assert max(first["g3"]) < first["g1"][1]
        assert first["g1"][1] - first["g1"][0] >= 300
        assert min(first["g2"]) >= 2400 - (began - began.replace(minute=0, second=0)).total_seconds()
