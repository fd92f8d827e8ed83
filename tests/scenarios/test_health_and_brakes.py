"""How many members stay while one is down, and how far a bad release gets."""

from __future__ import annotations

import asyncio

from agbot.rules.limits import Limits
from agbot.sim.actions import Act, Action
from agbot.sim.habits import Fate
from tests.scenarios.rollouts import UP, Rollout, rollout
from tests.support.examples import thorough
from tests.support.hub import NEW
from tests.support.virtual_time import in_virtual_time

FIXED = "2.32.1"


def left_whenever_one_goes(hub: Rollout) -> list[int]:
    """Count, whenever a member goes down from now on, how many others of its group are up.

    The list grows by itself.

    No one can report a node that has just died from one whose next heartbeat is due: it counts
    until that is stale.
    """
    left: list[int] = []
    stale_seconds = hub.limits.heartbeat_stale_seconds + 30

    def see(action: Action) -> None:
        if action.act is Act.DOWN:
            group = hub.fleet.nodes[action.node].spec.id.rpartition("-")[0]
            others = [node for node in hub.members(group) if node.name != action.node]
            silent = hub.fleet.observer.members.silent_seconds
            received = [node for node in others if silent(node.name, action.at) < stale_seconds]
            left.append(sum(node.down_for is None for node in received))

    hub.fleet.subscribe(see)
    return left


@in_virtual_time
async def test_as_many_others_as_are_asked_for_are_up_whenever_a_member_goes() -> None:
    async with rollout({"g1": 4}, limits=Limits(min_available=3)) as hub:
        left = left_whenever_one_goes(hub)
        hub.members()[3].die()
        await asyncio.sleep(400)
        hub.publish()
        await asyncio.sleep(400)
        assert hub.went() == []
        assert "peers-unavailable" in {hub.waits_for(node) for node in hub.members()[:3]}

        hub.members()[3].come_back()
        await hub.until_all()
        assert left == [3, 3, 3, 3]


@thorough
@in_virtual_time
async def test_a_share_of_the_group_stays_up_whenever_a_member_goes_while_others_die_and_return() -> None:
    """60 % of five are three: one may be dead while another upgrades, two may not."""
    async with rollout({"g1": 5}, limits=Limits(min_available_percent=60)) as hub:
        left = left_whenever_one_goes(hub)
        *rest, fifth = hub.members()
        fifth.die()
        await asyncio.sleep(400)
        hub.publish()
        await hub.until(lambda: len(hub.went()) == 1, 600)
        fourth = next(node for node in rest if node is not hub.holder())
        fourth.die()
        await asyncio.sleep(1200)
        stopped = len(hub.went())
        assert stopped < 4

        fifth.come_back()
        await hub.until(lambda: len(hub.went()) > stopped, 900)
        fourth.come_back()
        await hub.until_all()
        assert min(left) >= 3


@in_virtual_time
async def test_with_all_peers_offline_a_service_is_upgraded_at_once_and_an_agent_when_they_are_back() -> None:
    async with rollout(serves=True) as hub:
        here, *peers = hub.members()
        for node in peers:
            node.die()
        await asyncio.sleep(420)
        for node in peers:
            await hub.fleet.agbot.drop_agreements(node.name)
        hub.publish()
        hub.deploy("1.1.0")

        await hub.until(lambda: hub.serve("1.1.0", here), 120)
        await asyncio.sleep(400)
        assert hub.went() == []
        assert hub.waits_for(here) == "peers-unavailable"
        for node in peers:
            node.come_back()
        await hub.until_all()


@in_virtual_time
async def test_a_brake_stops_a_release_in_its_own_group_until_a_person_or_a_new_revision_lifts_it() -> None:
    async with rollout({"g1": 3, "g2": 2}) as hub:
        for node in hub.members("g1"):
            node.fate = Fate.ROLLS_BACK
        hub.publish()
        await hub.until_all(NEW, "g2")
        await asyncio.sleep(600)
        assert sum(name.startswith("g1-") for name in hub.went()) == 1

        await hub.resume("o1/g1", UP)
        await hub.until(lambda: sum(name.startswith("g1-") for name in hub.went()) == 2, 600)
        await asyncio.sleep(600)
        assert sum(name.startswith("g1-") for name in hub.went()) == 2

        hub.mend_release()
        hub.publish(FIXED)
        await hub.until_all(FIXED)


@in_virtual_time
async def test_a_release_that_is_bad_everywhere_stops_after_three_groups_and_a_new_revision_reaches_all() -> None:
    groups = {f"g{number}": 2 for number in range(1, 7)}
    async with rollout(groups, limits=Limits(max_groups_in_org=1)) as hub:
        hub.break_release()
        hub.publish()
        await hub.until(lambda: len(hub.events("brake.set")) == 3, 1800)
        await asyncio.sleep(900)
        assert len(hub.went()) == len(hub.groups_begun()) == 3
        stopped = [group for group in groups if group not in hub.groups_begun()]
        assert {hub.waits_for(node) for node in hub.members(*stopped)} == {"org-brake"}

        hub.mend_release()
        hub.publish(FIXED)
        await hub.until_all(FIXED)
