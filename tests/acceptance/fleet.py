"""Nodes that live in the test's process and reach Exchange and coordinator over real sockets, and a witness of what they really do.

The witness knows nothing of leases: a member is down from the moment it takes an answer for a yes
until it is about to report its end.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from agbot.sim.actions import Act, Action
from agbot.sim.clock import ScaledClock
from agbot.sim.habits import Habits
from agbot.sim.http_links import HttpExchange, HttpGateway
from agbot.sim.links import HEADER_TIMEOUT_SECONDS
from agbot.sim.machine import Environment, NodeSpec
from agbot.sim.node import SimNode
from tests.acceptance.hub import NEW, NMP, OLD, ORG, Hub, secret_of

HASTY = Habits(
    heartbeat_seconds=0.4,
    ask_seconds=0.2,
    retry_seconds=0.2,
    cron_seconds=0.2,
    download_seconds=(0.0, 0.1),
    precheck_seconds=(0.0, 0.2),
    install_seconds=(0.6, 1.2),
    boot_seconds=(0.0, 0.1),
    settle_seconds=(0.0, 0.1),
)
"""Nodes whose minutes are fractions of a second."""


@dataclass
class Witness:
    """What really happened."""

    group_of: dict[str, str] = field(default_factory=dict)
    down: dict[str, int] = field(default_factory=dict)
    """Node -> which of all upgrades it is in."""
    begun: int = 0
    ended: list[str] = field(default_factory=list)
    together: list[str] = field(default_factory=list)
    """Each time that two members of a group were down at once."""
    answers: dict[int, int] = field(default_factory=dict)
    """HTTP status -> how many answers had it; 0: no one answered."""

    def hear(self, action: Action) -> None:
        match action.act:
            case Act.ASKED:
                self.answers[action.status] = self.answers.get(action.status, 0) + 1
            case Act.DOWN:
                group = self.group_of[action.node]
                others = [node for node in self.down if self.group_of[node] == group]
                if others:
                    self.together.append(f"{action.node} went down while {others} of {group} were down")
                self.begun += 1
                self.down[action.node] = self.begun
            case Act.UP:
                self.down.pop(action.node, None)
                self.ended.append(f"{action.node} {action.detail}")


@dataclass
class Fleet:
    """Nodes and their witness; get one from `living`."""

    hub: Hub
    around: Environment
    witness: Witness
    seed: int
    habits: Habits = HASTY
    nodes: dict[str, SimNode] = field(default_factory=dict)

    async def add_group(self, group: str, members: int) -> None:
        """Create an HA group of new nodes, registered and alive.

        The group comes first: a node that lives without one upgrades without a question.
        """
        names = [f"{group}-{number}" for number in range(1, members + 1)]
        for name in names:
            await self.hub.node(name, public_key="")
        await self.hub.group(group, *names, exists=True)
        for name in names:
            node = SimNode(
                NodeSpec(org=ORG, id=name, token=secret_of(name), version=OLD),
                self.around,
                chance=random.Random(f"{self.seed}/{name}"),
                habits=self.habits,
            )
            self.nodes[node.name] = node
            self.witness.group_of[node.name] = group
            node.power_on()
            await node.register()

    def install_for(self, seconds: float) -> None:
        """Let every installation that begins from now on take longer than this, and at most twice as long."""
        self.habits = replace(self.habits, install_seconds=(seconds, 2 * seconds))
        for node in self.nodes.values():
            node.habits = self.habits

    def are_upgraded(self) -> bool:
        """Whether every node runs the new version, is back, and has stated so."""
        return all(
            node.version == NEW and not node.down_for and node.notebook.entries[NMP].ended_at
            for node in self.nodes.values()
        )


@asynccontextmanager
async def living(
    hub: Hub,
    gateway_url: str,
    *,
    seed: int,
    habits: Habits = HASTY,
    answer_seconds: float = HEADER_TIMEOUT_SECONDS,
) -> AsyncIterator[Fleet]:
    """Give a fleet without nodes; at the end every node halts, and one that failed is reported."""
    tasks: set[asyncio.Task[None]] = set()

    def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        tasks.add(task)
        return task

    witness = Witness()
    async with HttpExchange(hub.url) as exchange:
        around = Environment(
            exchange=exchange,
            gateway=HttpGateway(gateway_url, timeout_seconds=answer_seconds),
            clock=ScaledClock(),
            notify=witness.hear,
            spawn=spawn,
        )
        fleet = Fleet(hub, around, witness, seed, habits)
        try:
            yield fleet
        finally:
            for node in fleet.nodes.values():
                node.halt()
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
