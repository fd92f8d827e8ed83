"""A node with a service of its own, whose service upgrade runs while it is in no group: an agbot asks only for members of one."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agbot.sim.habits import Habits
from agbot.sim.node import SimNode
from tests.membership.living import CYCLE, GROUP, IDLE_CYCLE, STEADY, Living
from tests.support.hub import ORG

SLOW_START = replace(STEADY, mail_seconds=(10.0, 10.0), start_seconds=(200.0, 200.0))
QUICK_START = replace(STEADY, mail_seconds=(2.0, 2.0), start_seconds=(1.0, 1.0))
LOOK = 10.0 + CYCLE
"""A service that is down is looked at every ten seconds."""
BEFORE, AFTER = "1.0.0", "1.1.0"


def deploy(hub: Living, *versions: str) -> None:
    """Publish the service that only the late node has."""
    hub.fleet.deploy(ORG, "dp", "svc", *versions)


async def serving(hub: Living, habits: Habits = SLOW_START) -> SimNode:
    """Add a node with a running service that is in no group."""
    late = await hub.add("late", habits)
    deploy(hub, BEFORE)
    await hub.fleet.agbot.adopt(late, f"{ORG}/dp")
    await asyncio.sleep(IDLE_CYCLE)
    return late


def agreements(hub: Living, node: SimNode) -> int:
    return len(hub.exchange.world.node_agreements.get((ORG, node.spec.id), {}))


async def until_down(hub: Living, node: SimNode) -> None:
    await hub.until(lambda: not agreements(hub, node), 60)


def serves(node: SimNode, version: str) -> bool:
    instances = node.services.instances.values()
    return any(one.service.version == version and one.state == "running" for one in instances)


async def joined_in_the_middle(hub: Living) -> SimNode:
    """Let a node join the group when its agreement has just gone, and the coordinator look at it."""
    late = await serving(hub)
    deploy(hub, AFTER)
    await until_down(hub, late)
    hub.join(late)
    await asyncio.sleep(IDLE_CYCLE)
    return late


async def ends(hub: Living) -> list[object]:
    """Return why deferrals ended, as the journal has it."""
    return [each.facts["why"] for each in await hub.journal("deferral.ended", group=GROUP)]
