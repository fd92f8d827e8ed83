"""The machine of a simulated edge node: identity, power, installed software and connections.

The programs that run on it (`node_services`, `upgrade_script`, `agent`) take the machine and do not
depend on the whole node (`node`). A machine that dies reports nothing; its status in the Exchange
stays as it was.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from agbot.sim.actions import Act, Action, ActionListener
from agbot.sim.agent_state import Entry, Notebook
from agbot.sim.clock import Clock
from agbot.sim.habits import Fate, Habits
from agbot.sim.links import (
    TRANSPORT_STATUSES,
    Answered,
    Doc,
    ExchangePort,
    GatewayPort,
    Kind,
    Unanswered,
    segment,
)
from agbot.sim.process import Process, Spawn, draw


class Asks(StrEnum):
    """Where a node's agent asks for permission to upgrade."""

    COORDINATOR = "coordinator"
    AGBOT = "agbot"
    """Its `HZN_AGBOT_URL` names the agbot itself."""
    NOWHERE = "nowhere"
    """Its `HZN_AGBOT_URL` is empty: it waits for permission, and no question ever arrives."""
    NO_ONE = "no one"
    """It does not know that it is in a group, as in the middle of a migration, and upgrades without
    a question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """The properties of a node."""

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
class Environment:
    """What a machine is connected to."""

    exchange: ExchangePort
    gateway: GatewayPort
    clock: Clock
    notify: ActionListener
    spawn: Spawn


class Machine(ABC):
    """A machine.

    `fates` has the course of an upgrade by bare policy name; `fate` is for all other policies.
    """

    def __init__(
        self, spec: NodeSpec, environment: Environment, *, chance: random.Random, habits: Habits | None = None
    ) -> None:
        """Take the node's properties and connections; it is off until `power_on`."""
        self.spec = spec
        self.environment = environment
        self.clock = environment.clock
        self.chance = chance
        self.habits = habits or Habits()
        self.fate = Fate.SUCCEEDS
        self.fates: dict[str, Fate] = {}
        self.version = spec.version
        self.installs: list[str] = []
        """Every version whose installation has begun here, in order, whether it succeeded or
        not."""
        self.properties = dict(spec.properties)
        self.notebook = Notebook()
        self.alive = False
        self.registered = False
        self.down_for: str | None = None
        """The policy (`org/name`) that it is down for, from acting on a permission to the end."""
        self.installing: Entry | None = None
        """The entry that the upgrade script is installing."""
        self._agent_process = Process(environment.spawn)
        self._machine = Process(environment.spawn)

    @property
    def name(self) -> str:
        """Return `org/id`."""
        return self.spec.name

    @property
    def agent_runs(self) -> bool:
        """Return whether the agent process is running."""
        return self._agent_process.runs

    @abstractmethod
    def agent_program(self, process: Process) -> Coroutine[Any, Any, None]:
        """Return the installed agent's main thread, which starts its other threads in `process`."""

    def fate_of(self, nmp: str) -> Fate:
        """Return the course of this policy's upgrade on this machine."""
        return self.fates.get(nmp, self.fate)

    def draw_seconds(self, bounds: tuple[float, float]) -> float:
        """Draw seconds from a range."""
        return draw(self.chance, bounds)

    def die(self) -> None:
        """Lose the node: all its programs end without a report."""
        if self.alive:
            self.halt()
            self.notify(Act.DIED)

    def halt(self) -> None:
        """End every program, as at the end of a simulation."""
        self.alive = False
        self.installing = None
        self._agent_process.kill()
        self._machine.kill()

    def start_agent(self) -> None:
        """Start the agent process."""
        self._agent_process.start(self.agent_program(self._agent_process))

    def stop_agent(self) -> None:
        """Stop the agent process, with its heartbeat and any question that it is asking."""
        self._agent_process.kill()

    def run_aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a program of the machine that is neither agent nor cron job, such as a container."""
        self._machine.start(work)

    async def report(self, entry: Entry) -> bool:
        """Report an entry's status; return whether the Exchange accepted it."""
        answer = await self.send_until_answered(
            "PUT", self.path(f"/managementStatus/{segment(entry.nmp)}"), entry.report()
        )
        return answer.ok

    def path(self, below: str = "") -> str:
        """Return the path of this node in the Exchange, with what is `below` it."""
        return f"/orgs/{segment(self.spec.org)}/nodes/{segment(self.spec.id)}{below}"

    async def send_until_answered(self, method: str, path: str, body: Doc | None = None) -> Answered:
        """Send a request to the Exchange with the node's own credentials until there is an answer.

        Transport errors are repeated every 10 s indefinitely, as agents do; any other answer is
        returned.
        """
        send = self.environment.exchange.request
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
        """Read the node's HA group.

        It is empty if the node is in none, or does not look. It is None if the node cannot be read.
        """
        if self.spec.asks is Asks.NO_ONE:
            return ""
        answer = await self.send_until_answered("GET", self.path())
        if answer.status != HTTPStatus.OK:
            return None
        doc: Doc = answer.json()["nodes"][self.name]
        return doc["ha_group"] or ""

    def notify(self, act: Act, *, subject: str = "", detail: str = "", status: int = 0, granted: bool = False) -> None:
        """Notify the listeners of an action of this node."""
        action = Action(
            at=self.clock.now(), act=act, node=self.name, kind=Kind.AGENT, subject=subject, detail=detail,
            status=status, granted=granted,
        )  # fmt: skip
        self.environment.notify(action)

    def go_down(self, nmp: str) -> None:
        """Begin an upgrade, with or without a permission."""
        self.down_for = f"{self.spec.org}/{nmp}"
        action = Action(
            at=self.clock.now(),
            act=Act.DOWN,
            node=self.name,
            subject=self.down_for,
            is_unasked=self.spec.asks is not Asks.COORDINATOR,
            is_listed=self.spec.asks is Asks.AGBOT,
        )
        self.environment.notify(action)

    def come_up(self, how: str) -> None:
        """End an upgrade, if one is under way."""
        if self.down_for is not None:
            subject, self.down_for = self.down_for, None
            self.notify(Act.UP, subject=subject, detail=how)
