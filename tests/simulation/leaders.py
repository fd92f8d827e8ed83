"""Several coordinators on one database, in virtual time: leaders that die, freeze or are cut off, and a store that loses answers.

The coordinators, their leadership and their gateways are the real ones; the database, the Exchange,
the fleet and the load balancer are simulated. The observer alone judges: it sees the nodes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from agbot.console.metrics import Metrics
from agbot.console.page.estimates import Estimates
from agbot.console.page.rollouts import Rollouts
from agbot.coordinator.coordinator import Coordinator
from agbot.coordinator.dependencies import Dependencies
from agbot.daemon.context import Context
from agbot.daemon.leading import NO_EPOCH, STANDS_BY, Leading
from agbot.daemon.notify import Notifier
from agbot.daemon.working import Working
from agbot.delivery.outbox import Outbox
from agbot.delivery.sinks import Deliveries
from agbot.exchange.client import ExchangeClient
from agbot.exchange.credentials import Credentials
from agbot.exchange.transport import Reply
from agbot.rules.leadership import Announced, Candidate, Leader
from agbot.rules.lease import Lease
from agbot.rules.limits import Limits
from agbot.settings.model import ExchangeSettings, LeadershipSettings
from agbot.sim.exchange import SimExchange, seed
from agbot.sim.fleet import Fleet
from agbot.sim.links import Answered, Question, Unanswered
from agbot.store.contract import NOTHING, Lost, StoreUnavailableError, Writes
from tests.simulation.process import Killed, Process
from tests.support.clocks import LoopClock
from tests.support.direct_gateway import DirectGateway
from tests.support.direct_transport import DirectTransport
from tests.support.faulty_store import FaultyStore
from tests.support.shared_memory import SharedContent, SharedMemoryStore

T = TypeVar("T")

NAMES = ("ada", "bob", "cyd")
COORDINATOR = "IBM/coordinator"
_AGENT_GIVES_UP_SECONDS = 20.0
_HOP_SECONDS = 5.0
_NO_LEADER = b'{"code":"409","msg":"no-leader"}\n'


@dataclass(slots=True, kw_only=True)
class Machine:
    """What befalls one host. It goes on when its programs are started again."""

    name: str
    chance: random.Random
    is_cut: bool = False
    """The network between it and the database is cut."""
    loses: float = 0.0
    """Share of the database's answers that are lost on their way back, after the commit."""
    freezes_before: Callable[[Lease, Lease], bool] = lambda _expected, _new: False
    """Whether the host freezes just before this swap reaches the database."""
    _running: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._running.set()

    @property
    def is_frozen(self) -> bool:
        return not self._running.is_set()

    def freeze(self) -> None:
        """Stop every program on it, as SIGSTOP does: nothing goes out or comes in."""
        self._running.clear()

    def thaw(self) -> None:
        """Let them go on as if no time had gone by."""
        self._running.set()

    async def gate(self) -> None:
        """Pass while the host runs: in front of and behind everything that takes time."""
        await self._running.wait()

    async def call(self, work: Callable[[], T]) -> T:
        """Carry out one transaction in the database."""
        await self.gate()
        await asyncio.sleep(self.chance.uniform(0.0, 0.02))
        await self.gate()
        if self.is_cut:
            await asyncio.sleep(1.0)
            await self.gate()
            raise StoreUnavailableError("the network to the database is cut")
        result = work()
        await asyncio.sleep(self.chance.uniform(0.0, 0.02))
        await self.gate()
        if self.loses_answer():
            raise StoreUnavailableError("the answer of the database was lost")
        return result

    def loses_answer(self) -> bool:
        """Return whether an answer that has been sent is lost."""
        return self.is_cut or self.chance.random() < self.loses


class MachineClock(LoopClock):
    """The clock of a host. A sleep ends when the host runs again."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.chance.uniform(-1.0, 1.0))
        self._machine = machine

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        await self._machine.gate()


class MachineTransport(DirectTransport):
    """A host's way to the Exchange."""

    def __init__(self, exchange: SimExchange, machine: Machine) -> None:
        super().__init__(exchange, way_seconds=lambda: machine.chance.uniform(0.0, 0.05))
        self._machine = machine

    async def request(
        self, method: str, path: str, *, credentials: Credentials | None, body: bytes | None, timeout_seconds: float
    ) -> Reply:
        await self._machine.gate()
        reply = await super().request(method, path, credentials=credentials, body=body, timeout_seconds=timeout_seconds)
        await self._machine.gate()
        return reply


class _Term(FaultyStore):
    """The store of one term, on one host."""

    def __init__(self, content: SharedContent, epoch: int, machine: Machine) -> None:
        super().__init__(content.records, lambda: content.fence(epoch))
        self._is_open = True
        self._machine = machine

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        if self._machine.freezes_before(expected, new):
            self._machine.freeze()
        return await super().swap(expected, new, writes)

    async def _call(self, work: Callable[[], T]) -> T:
        return await self._machine.call(work)


class MachineStore(SharedMemoryStore):
    """A host's way to the database."""

    def __init__(self, content: SharedContent, machine: Machine) -> None:
        super().__init__(content)
        self._machine = machine

    async def current(self) -> Leader | None:
        return await self._machine.call(self.read)

    async def take(self, candidate: Candidate, ttl_seconds: float) -> Leader:
        return await self._machine.call(lambda: self.taken(candidate, ttl_seconds))

    async def renew(self, epoch: int, ttl_seconds: float) -> bool:
        return await self._machine.call(lambda: self.renewed(epoch, ttl_seconds))

    async def announce(self, candidate: Candidate) -> None:
        await self._machine.call(lambda: self.noted(candidate))

    async def announced(self) -> list[Announced]:
        return await self._machine.call(self.listed)

    def under(self, epoch: int) -> FaultyStore:
        return _Term(self._content, epoch, self._machine)


class Program(Process):
    """One start of a coordinator on a host."""

    def __init__(self, machine: Machine, content: SharedContent, exchange: SimExchange, limits: Limits) -> None:
        super().__init__()
        self.machine = machine
        clock, store = MachineClock(machine), MachineStore(content, machine)
        client = ExchangeClient(
            MachineTransport(exchange, machine),
            Credentials(identity=COORDINATOR, secret=seed.token_of("coordinator")),
            clock,
        )
        settings = ExchangeSettings(url="http://exchange/v1", identity=COORDINATOR)
        dependencies = Dependencies(
            exchange=client,
            store=store.under(NO_EPOCH),
            clock=clock,
            publish=lambda _entry: None,
            why_not_leading=lambda: STANDS_BY,
            chance=machine.chance,
        )
        self.coordinator = Coordinator(dependencies, settings, lambda _group: limits)
        deliveries = Deliveries(Outbox(store.under(NO_EPOCH), clock, lambda _entry: None), [])
        context = Context(clock=clock, notifier=Notifier({}), handles_signals=False)
        estimates = Estimates(self.coordinator, Rollouts(self.coordinator), clock)
        working = Working(self.coordinator, deliveries, Metrics(), context, estimates=estimates)
        leadership = LeadershipSettings(name=machine.name, gateway_url=f"http://{machine.name}")
        self.leading = Leading(store, leadership, clock, working)
        self._gateway = DirectGateway(self.coordinator, client, clock)
        self.start(self.leading.run())

    async def answer(self, question: Question) -> Answered:
        """Answer one question as the leader."""
        await self.machine.gate()
        answer = await self._gateway.carry("POST", question.path, question)
        await self.machine.gate()
        return answer


class Balancer:
    """The load balancer before all coordinators, and the hop of a standby to the leader: a `GatewayPort`."""

    def __init__(self, programs: dict[str, Program], chance: random.Random) -> None:
        self._programs = programs
        self._chance = chance
        self.refused_without_leader = 0

    async def ask(self, question: Question) -> Answered:
        program = self._programs.get(self._chance.choice(NAMES))
        try:
            async with asyncio.timeout(_AGENT_GIVES_UP_SECONDS):
                return await self._at(program, question)
        except (TimeoutError, Killed) as error:
            raise Unanswered("no answer") from error

    async def report_end(self, question: Question, *, succeeded: bool) -> Answered:
        raise Unanswered("no agbot asks here")

    async def _at(self, program: Program | None, question: Question) -> Answered:
        if program is None:
            raise Unanswered("nobody listens")
        await program.machine.gate()
        where = program.leading.where()
        if where.leads:
            return await program.call(program.answer(question))
        leader = self._programs.get(where.leader.name) if where.leader else None
        if leader is None or not leader.leading.where().leads:
            self.refused_without_leader += 1
            return Answered(409, _NO_LEADER)
        try:
            async with asyncio.timeout(_HOP_SECONDS):
                return await leader.call(leader.answer(question))
        except (TimeoutError, Killed):
            return Answered(409, _NO_LEADER)


class Database:
    """The database's clock can be wrong, and can be set forward."""

    def __init__(self) -> None:
        self._clock = LoopClock(3.0)
        self.content = SharedContent(now=self._now)

    def _now(self) -> datetime:
        return self._clock.now()

    def jump(self, seconds: float) -> None:
        """Set its clock forward."""
        self._clock.step(seconds)

    @property
    def epoch(self) -> int:
        return self.content.row.leader.epoch if self.content.row else 0


@dataclass
class Site:
    """Three hosts, the database and the fleet."""

    seed: int
    limits: Limits
    exchange: SimExchange
    database: Database = field(default_factory=Database)
    programs: dict[str, Program] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{self.seed}/people")
        self.machines = {name: Machine(name=name, chance=random.Random(f"{self.seed}/{name}")) for name in NAMES}
        self.balancer = Balancer(self.programs, random.Random(f"{self.seed}/balancer"))

    def start(self, name: str) -> Program:
        """Start the coordinator of a host."""
        self.programs[name] = Program(self.machines[name], self.database.content, self.exchange, self.limits)
        return self.programs[name]

    def kill(self, name: str) -> None:
        """End the coordinator of a host, as `kill -9` does."""
        program = self.programs.pop(name, None)
        if program is not None:
            program.kill()

    def leader(self) -> str:
        """Return the host whose coordinator the database says to lead."""
        row = self.database.content.row
        return row.leader.name if row else ""

    def heal(self) -> None:
        """Let everything be well."""
        for name, machine in self.machines.items():
            machine.is_cut, machine.loses = False, 0.0
            machine.thaw()
            if name not in self.programs:
                self.start(name)


def new_exchange(number: int) -> SimExchange:
    """Return an Exchange that knows the coordinators' identity."""
    exchange = SimExchange(clock=LoopClock(), root_password="pw", seed=number)
    seed.agbot(exchange, "IBM", "coordinator")
    return exchange


def fleet_of(site: Site) -> Fleet:
    """Return a fleet whose agents ask the load balancer."""
    return Fleet(site.exchange, site.balancer, LoopClock(), chance_seed=site.seed)


def later(seconds: float, act: Callable[[], object]) -> None:
    """Do something later."""
    asyncio.get_running_loop().call_later(seconds, act)
