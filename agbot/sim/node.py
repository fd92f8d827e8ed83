"""One simulated edge node: power, identity, what it has installed, and the way it reports to the Exchange.

What its programs do is elsewhere: `agent` (heartbeat, policies, questions), `upgrade_script` (the cron job that installs) and
`node_services` (agreements and containers). A node that dies tells nobody; its status in the Exchange stays as it was.
"""

from __future__ import annotations

import random
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from agbot.sim.agent import Agent
from agbot.sim.agent_state import Entry, Notebook
from agbot.sim.clock import Clock
from agbot.sim.deeds import Act, Deed, Tell
from agbot.sim.habits import Fate, Habits
from agbot.sim.links import Answered, Doc, ExchangePort, GatewayPort, Kind, Unanswered, segment
from agbot.sim.matching import node_policy_body
from agbot.sim.node_services import NodeServices
from agbot.sim.process import Process, Spawn, draw
from agbot.sim.upgrade_script import UpgradeScript

TRANSPORT_STATUSES = frozenset({408, 429, 502, 503, 504})
"""Answers of the Exchange that an agent repeats for ever, like a broken connection (`agbot-ha.md` 1.5)."""


class Asks(StrEnum):
    """Whom a node's agent asks for permission to upgrade."""

    COORDINATOR = "coordinator"
    AGBOT = "agbot"
    """Its `HZN_AGBOT_URL` names the agbot itself."""
    NOBODY = "nobody"
    """It does not know that it is in a group, as in the middle of a migration: it goes on without a question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """What a node is."""

    org: str
    id: str
    token: str
    node_type: str = "device"
    version: str = "2.31.0"
    """The agent version it starts with."""
    properties: Mapping[str, str] = field(default_factory=dict)
    asks: Asks = Asks.COORDINATOR

    @property
    def name(self) -> str:
        """Return `org/id`."""
        return f"{self.org}/{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a node lives in."""

    exchange: ExchangePort
    gateway: GatewayPort
    clock: Clock
    tell: Tell
    spawn: Spawn


class SimNode:
    """A node. `fates` says per bare policy name how an upgrade goes; `fate` is for the policies not named there."""

    def __init__(
        self, spec: NodeSpec, around: Surroundings, *, chance: random.Random, habits: Habits | None = None
    ) -> None:
        """Take what the node is and where; it is off until `power_on`."""
        self.spec = spec
        self.around = around
        self.clock = around.clock
        self.chance = chance
        self.habits = habits or Habits()
        self.fate = Fate.SUCCEEDS
        self.fates: dict[str, Fate] = {}
        self.version = spec.version
        self.installs: list[str] = []
        """Every version whose installation has begun here, in order, good or bad."""
        self.properties = dict(spec.properties)
        self.notebook = Notebook()
        self.alive = False
        self.registered = False
        self.down_for: str | None = None
        """The policy (`org/name`) it is down for, from acting on a permission to the end."""
        self.services = NodeServices(self)
        self.agent = Agent(self)
        self.script = UpgradeScript(self)
        self._agent_process = Process(around.spawn)
        self._machine = Process(around.spawn)

    @property
    def name(self) -> str:
        """Return `org/id`."""
        return self.spec.name

    @property
    def agent_runs(self) -> bool:
        """Say whether the agent process is there to answer the script."""
        return self._agent_process.runs

    def fate_of(self, nmp: str) -> Fate:
        """Return how this policy's upgrade goes here."""
        return self.fates.get(nmp, self.fate)

    def pause(self, bounds: tuple[float, float]) -> float:
        """Draw seconds from a range."""
        return draw(self.chance, bounds)

    def power_on(self) -> None:
        """Start the machine: the cron job, and the agent if the node is registered."""
        if self.alive:
            return
        self.alive = True
        self._machine.start(self.script.cron())
        if self.registered:
            self.start_agent()

    def die(self) -> None:
        """Lose the node: no program runs and nobody is told."""
        if self.alive:
            self.halt()
            self.tell(Act.DIED)

    def halt(self) -> None:
        """End every program, as at the end of a simulation."""
        self.alive = False
        self.script.running = None
        self._agent_process.kill()
        self._machine.kill()

    def come_back(self) -> None:
        """Bring a lost node back; its agent finds its database as it was."""
        if self.alive:
            return
        self.tell(Act.RETURNED)
        self.power_on()

    def start_agent(self) -> None:
        """Start the agent process."""
        self._agent_process.start(self.agent.run(self._agent_process))

    def stop_agent(self) -> None:
        """Stop the agent process, with its heartbeat and whatever question it was asking."""
        self._agent_process.kill()

    def restart_agent(self) -> None:
        """Restart the agent process alone."""
        self.stop_agent()
        self.start_agent()

    def run_aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something of the machine that is neither agent nor cron job, such as a container."""
        self._machine.start(work)

    async def register(self) -> None:
        """Publish the agent's key and start the agent, as `hzn register` ends; the node exists already."""
        await self.insist("PATCH", self.path(), {"publicKey": "c2ltdWxhdGVkIGtleQ=="})
        if self.properties:
            await self.show_properties(self.properties)
        self.registered = True
        if self.alive:
            self.start_agent()

    async def show_properties(self, properties: Mapping[str, str]) -> None:
        """Have these properties from now on, in the node's policy: what constraints are about."""
        self.properties = dict(properties)
        await self.insist("PUT", self.path("/policy"), node_policy_body(self.properties))

    async def unregister(self) -> None:
        """Do what `hzn unregister -f` does: statuses and agreements go, the key is emptied, the agent stops."""
        self.stop_agent()
        self.registered = False
        for entry in tuple(self.notebook.entries.values()):
            await self.insist("DELETE", self.path(f"/managementStatus/{segment(entry.nmp)}"))
        self.notebook.entries.clear()
        await self.services.give_up()
        await self.insist("PATCH", self.path(), {"publicKey": ""})
        self.come_up("unregistered")

    async def report(self, entry: Entry) -> bool:
        """Report an entry's status and say whether the Exchange took it."""
        answer = await self.insist("PUT", self.path(f"/managementStatus/{segment(entry.nmp)}"), entry.report())
        return answer.ok

    def path(self, below: str = "") -> str:
        """Return the path of this node in the Exchange, and of what is below it."""
        return f"/orgs/{segment(self.spec.org)}/nodes/{segment(self.spec.id)}{below}"

    async def insist(self, method: str, path: str, body: Doc | None = None) -> Answered:
        """Send a request to the Exchange with the node's own credentials, as often as it takes.

        Transport errors are repeated every 10 s without end, as agents do; any other answer is returned.
        """
        send = self.around.exchange.request
        while True:
            try:
                answer = await send(method, path, self.name, self.spec.token, body)
            except Unanswered:
                pass
            else:
                if answer.status not in TRANSPORT_STATUSES:
                    return answer
            await self.clock.sleep(self.habits.retry_seconds)

    async def own_group(self) -> str | None:
        """Read the node's HA group: empty when it is in none or does not look, None when the node cannot be read."""
        if self.spec.asks is Asks.NOBODY:
            return ""
        answer = await self.insist("GET", self.path())
        if answer.status != HTTPStatus.OK:
            return None
        doc: Doc = answer.json()["nodes"][self.name]
        return doc["ha_group"] or ""

    def tell(self, act: Act, *, subject: str = "", detail: str = "", status: int = 0, granted: bool = False) -> None:
        """Tell a deed of this node."""
        deed = Deed(
            at=self.clock.now(), act=act, node=self.name, kind=Kind.AGENT, subject=subject, detail=detail,
            status=status, granted=granted,
        )  # fmt: skip
        self.around.tell(deed)

    def go_down(self, nmp: str) -> None:
        """Begin to act on a permission, or without one."""
        self.down_for = f"{self.spec.org}/{nmp}"
        deed = Deed(
            at=self.clock.now(),
            act=Act.DOWN,
            node=self.name,
            subject=self.down_for,
            is_unasked=self.spec.asks is not Asks.COORDINATOR,
            is_listed=self.spec.asks is Asks.AGBOT,
        )
        self.around.tell(deed)

    def come_up(self, how: str) -> None:
        """End an upgrade, if one is under way."""
        if self.down_for is not None:
            subject, self.down_for = self.down_for, None
            self.tell(Act.UP, subject=subject, detail=how)
