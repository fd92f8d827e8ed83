"""A whole hub on a virtual clock: the simulated Exchange, the real client and the real coordinator, without sockets.

Time is the event loop's; in virtual time a test can let hours pass. Nodes here do nothing by
themselves: a test says what each of them reports and asks. For what the coordinator decides. Beside
it are, each for its own reason:

- `tests.membership.living`: this hub with nodes that live on their own and with the gateway, for
  what comes of the decisions;
- `tests.simulation.daemon`: a coordinator that can be killed between any two steps, for seeds and
  judges;
- `tests.acceptance.hub`: the Exchange on a socket and in a thread, for the daemon as a process;
- `bench.hub`: everything in processes of its own, so that one can be measured alone.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from agbot.agreementbot.client import AgreementBot
from agbot.coordinator.coordinator import Coordinator
from agbot.coordinator.dependencies import Dependencies
from agbot.coordinator.guarded.port import GuardOf
from agbot.coordinator.permission import Answer, Granted
from agbot.exchange.client import ExchangeClient
from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import Refused as CredentialsRefused
from agbot.fleet.changes import Read
from agbot.fleet.reads import Why
from agbot.rules.facts import Ask, Node
from agbot.rules.ids import group_id, node_id, policy_id
from agbot.rules.lease import Claim, Kind, Lease
from agbot.rules.limits import Limits, LimitsOf
from agbot.settings.model import AgbotSettings, ExchangeSettings, Scope
from agbot.sim.agbot_rows import AgbotRows
from agbot.sim.exchange import SimExchange, seed
from agbot.sim.local_api import LocalApi, Shown
from agbot.store.contract import Entry, Store
from tests.support.clocks import LoopClock
from tests.support.direct_agbot import DirectAgbot
from tests.support.direct_transport import DirectTransport
from tests.support.faulty_store import FaultyStore

ORG = "o1"
AGBOT = "coordinator"
AGBOT_URL = "http://agbot"
NMP = "up1"
OLD, NEW = "2.31.0", "2.32.0"
_SLOWEST_SECONDS = 10.0
"""The longest interval between cycles that the settings allow with a poll of 10 s."""
_CLOSING_SECONDS = 30.0


@dataclass
class Hub:
    """The parts, and short ways to play nodes and people."""

    limits: Limits = field(default_factory=Limits)
    limits_of: LimitsOf | None = None
    """For tests in which groups differ; else `limits` holds for all of them, and may be changed."""
    scopes: Sequence[Scope] = ()
    """The scopes that are contained in `limits_of`."""
    settings: ExchangeSettings = field(
        default_factory=lambda: ExchangeSettings(url="http://exchange/v1", identity=f"IBM/{AGBOT}")
    )
    agbot: AgbotSettings = field(default_factory=AgbotSettings)
    shows_rows: bool = False
    """Whether the agbot's local API is configured."""
    is_shadow: bool = False
    """Whether the agbot decides, and the coordinator only compares."""
    clock_ahead_seconds: float = 0.0
    store: Store = field(default_factory=FaultyStore)
    emitted: list[Entry] = field(default_factory=list)
    journal_age: timedelta = timedelta(days=30)
    journal_bytes: int = 0
    rows: AgbotRows = field(default_factory=AgbotRows)
    waiting: list[tuple[str, str]] = field(default_factory=list)
    """The members (`org/id`) that the agbot keeps waiting for a service upgrade, with the policy."""
    """The agbots' database."""
    guard: GuardOf | None = None
    reads: list[tuple[Read, Why]] = field(default_factory=list)
    """What the coordinator has read from the Exchange, and why."""
    keeps_pace: bool = False
    """Whether cycles are as frequent as ever while a long time passes: for tests that count."""

    def __post_init__(self) -> None:
        self.exchange = SimExchange(clock=LoopClock(), root_password="rootpw")
        seed.agbot(self.exchange, "IBM", AGBOT)
        seed.org(self.exchange, ORG)
        seed.management_policy(self.exchange, ORG, NMP)
        self.clock = LoopClock(self.clock_ahead_seconds)
        self.local_api = LocalApi(self.rows, LoopClock(), Shown(org="IBM", id="agbot1", waiting=lambda: self.waiting))
        self._tasks: list[asyncio.Task[None]] = []
        self._long_passes = 0
        """How many callers let a long time pass."""
        self._connect()

    def _connect(self) -> None:
        self.transport = DirectTransport(self.exchange)
        self.client = ExchangeClient(
            self.transport, Credentials(identity=f"IBM/{AGBOT}", secret=seed.token_of(AGBOT)), self.clock
        )
        local = AgbotSettings(api=(AGBOT_URL,), request_seconds=1.0)
        direct = DirectAgbot({AGBOT_URL: self.local_api})
        dependencies = Dependencies(
            exchange=self.client,
            store=self.store,
            clock=self.clock,
            publish=self.emitted.append,
            agbot_identity=self.agbot.identity,
            agbot=AgreementBot(local, self.clock, direct) if self.shows_rows else None,
            guard=self.guard,
            chance=random.Random(1),
            journal_age=self.journal_age,
            journal_bytes=self.journal_bytes,
            is_shadow=self.is_shadow,
            observe=lambda read, why: self.reads.append((read, why)),
        )
        limits_of = self.limits_of or (lambda _group: self.limits)
        self.coordinator = Coordinator(dependencies, self.settings, limits_of, self.scopes)

    async def start(self) -> None:
        await self.store.open()
        self._tasks = [asyncio.create_task(self._run())]
        await asyncio.sleep(1)

    async def crash(self) -> None:
        """Lose everything but the store, as kill -9 does, and start again."""
        await self._cancel()
        if isinstance(self.store, FaultyStore):
            self.store.crash()
        self._connect()
        await self.start()

    async def away(self, seconds: float) -> None:
        """Be killed, stay away, and start again."""
        await self._cancel()
        if isinstance(self.store, FaultyStore):
            self.store.crash()
        await asyncio.sleep(seconds)
        self._connect()
        await self.start()

    async def stop(self) -> None:
        await self._cancel()
        await self.coordinator.stop()
        await self.store.close()

    async def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self.coordinator.cycle()
            if self._long_passes:
                await asyncio.sleep(max(_SLOWEST_SECONDS, self.settings.busy_poll_seconds))
            else:
                await self.coordinator.pause_between_cycles()

    # Nodes and people

    def group(self, name: str, *members: str) -> None:
        for member in members:
            seed.node(self.exchange, ORG, member, version=OLD)
        seed.group(self.exchange, ORG, name, list(members))

    async def live(self, *nodes: str, seconds: float, every: float = 30.0) -> None:
        """Let time pass while these nodes send heartbeats.

        A cycle every 2 s is most of what an hour costs a test. So until the last half minute, which
        has the usual ones, cycles are as rare as the settings allow.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0:
            for node in nodes:
                self.heartbeat(node)
            is_long = not self.keeps_pace and left - every >= _CLOSING_SECONDS
            self._long_passes += is_long
            try:
                await asyncio.sleep(min(every, left))
            finally:
                self._long_passes -= is_long

    def heartbeat(self, node: str) -> None:
        seed.send(self.exchange, "POST", f"/orgs/{ORG}/nodes/{node}/heartbeat", caller=f"{ORG}/{node}")

    def report(
        self,
        node: str,
        status: str,
        nmp: str = NMP,
        *,
        target: str = NEW,
        certificate: str = "",
        configuration: str = "",
        runs: str | None = None,
    ) -> None:
        """Report as the node's agent does, which runs the version it has installed when it reports success, but where `runs` differs."""
        if status == "successful" and (runs or target):
            versions = {"softwareVersions": {"horizon": runs or target}}
            seed.send(self.exchange, "PATCH", f"/orgs/{ORG}/nodes/{node}", versions, caller=f"{ORG}/{node}")
        body = {
            "agentUpgradePolicyStatus": {
                "scheduledTime": "2026-11-23T12:00:00Z",
                "upgradedVersions": {
                    "softwareVersion": target,
                    "certVersion": certificate,
                    "configVersion": configuration,
                },
                "status": status,
                "errorMessage": "",
            }
        }
        path = f"/orgs/{ORG}/nodes/{node}/managementStatus/{nmp}"
        seed.send(self.exchange, "PUT", path, body, caller=f"{ORG}/{node}")

    def admin(self, method: str, path: str, body: dict[str, object] | None = None) -> None:
        seed.send(self.exchange, method, f"/orgs/{ORG}{path}", body, caller=f"{ORG}/admin")

    def write_policy(self, *, enabled: bool = True) -> None:
        """Write the management policy again."""
        body: dict[str, object] = {
            "label": NMP,
            "description": "",
            "constraints": [],
            "properties": [],
            "enabled": enabled,
            "start": "now",
            "startWindow": 300,
            "agentUpgradePolicy": {"manifest": "IBM/manifest", "allowDowngrade": False},
        }
        self.admin("PUT", f"/managementpolicies/{NMP}", body)

    def question(self, node: str, group: str, subject: str = NMP, kind: Kind = Kind.AGENT) -> Ask:
        claim = Claim(holder=node_id(ORG, node), kind=kind, subject=policy_id(ORG, subject))
        return Ask(group=group_id(ORG, group), claim=claim)

    async def ask(self, node: str, group: str, nmp: str = NMP, *, is_remembered: bool = False) -> Answer:
        """Ask as the node's agent does, with its own credentials."""
        name = node_id(ORG, node)

        async def confirm() -> Node:
            seen = await self.client.node(name, Credentials(identity=name, secret=seed.token_of(node)))
            if seen is None:
                raise CredentialsRefused("GET", f"/orgs/{ORG}/nodes/{node}", "404", "register the node")
            return seen

        question = self.question(node, group, nmp)
        refused = self.coordinator.refuse_from_memory(question) if is_remembered else None
        return refused or await self.coordinator.ask(question, confirm)

    async def ask_as_agbot(self, question: Ask) -> Answer:
        """Ask for a service upgrade, as the agbot does."""

        async def confirm() -> Node:
            seen = await self.client.node(question.node)
            if seen is None:
                raise CredentialsRefused("GET", f"/orgs/{ORG}/nodes", "404", "register the node")
            return seen

        return await self.coordinator.ask(question, confirm)

    def lease(self, group: str) -> Lease:
        return self.coordinator._situation.ledger.lease(group_id(ORG, group))  # noqa: SLF001 - the truth behind the views

    def events(self, name: str) -> list[Entry]:
        return [entry for entry in self.emitted if entry.event == name]


def codes(answer: Answer) -> list[str]:
    """Return the reasons of a refusal; a grant has none."""
    return [] if isinstance(answer, Granted) else [str(reason.code) for reason in answer.reasons]
