"""What the Exchange was reported of one simulated node, and what the node did."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from agbot.sim.actions import Act, Action
from agbot.sim.exchange import Write
from agbot.sim.fleet import Fleet, quick
from agbot.sim.node import SimNode
from tests.sim.gates import ORG

NMP = "up1"
STEADY = replace(
    quick(), boot_seconds=(1.0, 1.0), download_seconds=(0.5, 0.5), install_seconds=(30.0, 30.0), cron_phase=(0.0, 0.0)
)
"""Habits without chance where a test counts seconds."""


@dataclass
class Seen:
    """What the Exchange was reported of one node, and what the node did."""

    fleet: Fleet
    node: str
    words: list[str] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    heartbeats: list[datetime] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)

    def see(self, write: Write) -> None:
        if f"{write.org}/{write.id}" != self.node:
            return
        if (write.resource, write.operation) == ("nodemgmtpolstatus", "created/modified"):
            self.words.append(write.data["status"])
            self.times.append(self.fleet.clock.now())
        if write.operation == "heartbeat":
            self.heartbeats.append(self.fleet.clock.now())

    def hear(self, action: Action) -> None:
        if action.node == self.node:
            self.actions.append(action)

    def at(self, word: str) -> datetime:
        return self.times[self.words.index(word)]

    def asked_at(self) -> list[datetime]:
        return [action.at for action in self.actions if action.act is Act.ASKED]


def watch(fleet: Fleet, node: SimNode) -> Seen:
    """Begin to take down what becomes of a node."""
    seen = Seen(fleet, node.name)
    fleet.exchange.subscribe(seen.see)
    fleet.subscribe(seen.hear)
    return seen


async def waiting(fleet: Fleet, size: int = 1) -> tuple[SimNode, Seen]:
    """Return a member of a new group, once it waits for permission."""
    node = (await fleet.add_group(ORG, "g", size))[0]
    seen = watch(fleet, node)
    fleet.publish(ORG, NMP, "2.32.0")
    assert await fleet.until(lambda: "ha node waiting" in seen.words, within_seconds=300)
    return node, seen
