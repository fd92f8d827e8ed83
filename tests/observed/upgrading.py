"""A hub whose agbot does not ask, as today's: it upgrades the service of a whole group, one member per policy at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from agbot.sim.habits import Habits
from agbot.sim.node import SimNode
from tests.membership.living import CYCLE, GROUP, IDLE_CYCLE, STEADY, Living, living
from tests.support.hub import ORG

BRISK = replace(STEADY, mail_seconds=(2.0, 2.0), start_seconds=(2.0, 2.0))
SLOW_START = replace(STEADY, mail_seconds=(2.0, 2.0), start_seconds=(120.0, 120.0))
BEFORE, AFTER, LATEST = "1.0.0", "1.1.0", "1.2.0"
POLICY = "dp"
TURN = 90.0
"""Long enough for one member with a brisk start, and for the agbot to go on."""


def deploy(hub: Living, *versions: str, policy: str = POLICY) -> None:
    hub.fleet.deploy(ORG, policy, f"svc-{policy}", *versions)


async def serve(hub: Living, *nodes: SimNode, policy: str = POLICY) -> None:
    """Let these nodes run the policy's service in its old version."""
    deploy(hub, BEFORE, policy=policy)
    for node in nodes:
        await hub.fleet.agbot.adopt(node, f"{ORG}/{policy}")


def members(hub: Living) -> list[SimNode]:
    return [node for name, node in sorted(hub.fleet.nodes.items()) if node.spec.id.startswith(f"{GROUP}-")]


def serves(version: str, *nodes: SimNode, policy: str = POLICY, state: str = "running") -> bool:
    def runs(node: SimNode) -> bool:
        found = [one for one in node.services.instances.values() if one.service.url == f"svc-{policy}"]
        return any(one.service.version == version and one.state == state for one in found)

    return all(runs(node) for node in nodes)


async def until_observed(hub: Living, within: float = 120.0) -> SimNode:
    """Wait until the coordinator has taken the lease for a member."""
    await hub.until(lambda: hub.holder() is not None, within)
    holder = hub.holder()
    assert holder is not None
    return holder


def others(hub: Living, *but: SimNode) -> list[SimNode]:
    return [node for node in members(hub) if node not in but]


@asynccontextmanager
async def unasked(
    members_of_group: int = 2, habits: Habits = BRISK, *, shows_rows: bool = True
) -> AsyncIterator[Living]:
    """Run a hub with a group `g1` that serves the old version, and an agbot that does not ask but shows what it begins."""
    async with living(members_of_group, habits=habits, has_agbot=True, agbot_asks=False, shows_rows=shows_rows) as hub:
        await serve(hub, *members(hub))
        await hub.fleet.clock.sleep(IDLE_CYCLE + CYCLE)
        yield hub
