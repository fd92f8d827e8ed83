"""Coordinators, an agbot and a guarded PostgreSQL in virtual time: programs that die or are deposed, and a database that loses answers.

The database is a real one with the guard's own SQL and the store's own statements. Only its clock
is virtual: in every statement `clock_timestamp()` is a setting of the session that sends it.
Virtual time stands still while the database works.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import psycopg

from agbot.coordinator.coordinator import Coordinator
from agbot.coordinator.dependencies import Dependencies
from agbot.exchange.client import ExchangeClient
from agbot.exchange.credentials import Credentials
from agbot.guard import scripts
from agbot.guard.link import Links, Unjudged
from agbot.rules.leadership import Candidate
from agbot.rules.limits import Limits
from agbot.settings.model import ExchangeSettings
from agbot.sim.agbot_database import START, AgbotDatabase
from agbot.sim.agbot_rows import AgentRow, ServiceRow, UnexpectedReplyError
from agbot.sim.exchange import SimExchange, seed
from agbot.sim.links import Answered, Question, Unanswered
from agbot.store.contract import StoreUnavailableError
from agbot.store.postgres.address import Address
from agbot.store.postgres.channel import Channel, Rows
from agbot.store.postgres.shared import PostgresShared
from agbot.store.postgres.statements import TIMELINE
from tests.simulation.leaders import Machine, MachineClock, MachineTransport, later
from tests.simulation.process import Killed, Process
from tests.support.clocks import NOON, LoopClock
from tests.support.direct_gateway import DirectGateway
from tests.support.guarded import AGBOT, COORDINATOR, RIGHTS, SCHEMAS, Guarded
from tests.support.virtual_time import VirtualLoop

IDENTITY = "IBM/coordinator"
_VIRTUAL = {
    "clock_timestamp()": "current_setting('agbot.now')::timestamptz",
    TIMELINE: "current_setting('agbot.timeline')",
}
_TIMELINE = "00000001"
_KEPT = """SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
 WHERE schemaname IN ('agbot_ha', 'public') AND tablename <> 'schema_version'"""
_TTL_SECONDS = 8.0
_AGENT_GIVES_UP_SECONDS = 20.0
_ENDED_SECONDS = 0.5
"""After this time what was under way at the end of a process has ended as well."""
_send = Channel.run


def install(hub: Guarded, sql: str) -> None:
    """Install the guard, with the virtual clock."""
    with hub.coordinator() as connection:
        connection.execute(_virtual(sql).encode())


def _virtual(statement: str) -> str:
    for real, virtual in _VIRTUAL.items():
        statement = statement.replace(real, virtual)
    return statement


def guard_sql() -> str:
    """Return the guard's own SQL."""
    return scripts.install(SCHEMAS)


class AgbotRows(AgbotDatabase):
    """The agbot's way to its database, which may end before or after the commit of a claim."""

    def __init__(self, hub: Guarded, clock: LoopClock, chance: random.Random) -> None:
        self._url = hub.url(AGBOT)
        super().__init__(self._url)
        self._clock = clock
        self._chance = chance
        self.cuts = 0.0
        """Share of the claims that are never committed."""
        self.loses = 0.0
        """Share of the answers that are lost after the commit."""
        self.timeline = _TIMELINE

    def connect_again(self) -> None:
        """Connect again after the server has ended the connection."""
        self._connection.close()
        self._connection = psycopg.connect(self._url, autocommit=True)

    def claim_agent(self, wanted: AgentRow) -> bool:
        if self._chance.random() < self.cuts:
            raise UnexpectedReplyError("the connection was lost")
        granted = super().claim_agent(wanted)
        if self._chance.random() < self.loses:
            raise UnexpectedReplyError("the answer was lost")
        return granted

    def claim_service(self, wanted: ServiceRow) -> bool:
        if self._chance.random() < self.cuts:
            return False
        granted = super().claim_service(wanted)
        return granted and self._chance.random() >= self.loses

    def _read(self, statement: str, *values: object) -> Any:
        now, timeline = self._clock.now().isoformat(), self.timeline
        self._connection.execute(f"SET agbot.now = '{now}'; SET agbot.timeline = '{timeline}'".encode())
        return super()._read(statement, *values)


class Program(Process):
    """One start of a coordinator on a host. It takes the leadership, and never learns that another one has taken it.

    Only after a promotion that has lost its leadership it takes it again.
    """

    def __init__(self, site: Site, machine: Machine) -> None:
        super().__init__()
        self.machine = machine
        clock = MachineClock(machine)
        address = Address(url=f"{site.hub.url(COORDINATOR)}&application_name={machine.name}")
        self._shared, self._links = PostgresShared(address), Links(address, SCHEMAS, Unjudged())
        client = ExchangeClient(
            MachineTransport(site.exchange, machine),
            Credentials(identity=IDENTITY, secret=seed.token_of("coordinator")),
            clock,
        )
        dependencies = Dependencies(
            exchange=client,
            store=self._shared.under(0),
            clock=clock,
            publish=lambda _entry: None,
            guard=self._links.of,
            why_not_leading=lambda: "it has not begun to lead",
            chance=machine.chance,
        )
        settings = ExchangeSettings(url="http://exchange/v1", identity=IDENTITY, busy_poll_seconds=4.0)
        self.coordinator = Coordinator(dependencies, settings, lambda _group: site.limits)
        self._gateway = DirectGateway(self.coordinator, client, clock)
        self.epoch = 0
        self.is_deposed = False
        """A promoted replica does not have its leadership: it is to take it again."""
        self.start(self._run())

    async def _run(self) -> None:
        await self._shared.open()
        while True:
            with suppress(StoreUnavailableError):
                await self._lead()
            await asyncio.sleep(1)

    async def _lead(self) -> None:
        name = self.machine.name
        self.is_deposed = False
        leader = await self._shared.take(Candidate(name=name, run=name, gateway_url="", console_url=""), _TTL_SECONDS)
        self.epoch = leader.epoch
        self.coordinator.begin_term(self._shared.under(leader.epoch), lambda: "")
        while not self.is_deposed:
            await self.coordinator.cycle()
            await self.coordinator.pause_between_cycles()

    async def answer(self, question: Question) -> Answered:
        """Answer one question of an agent."""
        await self.machine.gate()
        answer = await self._gateway.carry("POST", question.path, question)
        await self.machine.gate()
        return answer

    def end(self) -> None:
        """Die, and let the server see every connection end."""
        self.kill()
        later(_ENDED_SECONDS, self._disconnect)

    def _disconnect(self) -> None:
        shared = self._shared
        for channel in (self._links.channel, shared._writes, shared._reads, shared._leading):  # noqa: SLF001 - what a process has, ends with it
            if channel._connection is not None:  # noqa: SLF001 - see above
                channel._connection.pgconn.finish()  # noqa: SLF001 - see above


@dataclass
class Site:
    """The hub: two hosts for coordinators, the database and its clock."""

    seed: int
    hub: Guarded
    limits: Limits
    exchange: SimExchange
    sql: str
    """Of the guard."""
    clock: LoopClock = field(default_factory=lambda: LoopClock(3.0))
    """The database's."""
    programs: list[Program] = field(default_factory=list)
    """The last one leads."""

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{self.seed}/people")
        self.rows = AgbotRows(self.hub, self.clock, random.Random(f"{self.seed}/agbot"))
        self._machines: dict[str, Machine] = {}

    def start(self) -> Program:
        """Start another coordinator, which takes the leadership, also from one that goes on."""
        name = f"host{len(self._machines)}"
        self._machines[name] = Machine(name=name, chance=random.Random(f"{self.seed}/{name}"))
        self.hub.read("UPDATE agbot_ha.leader SET expires_at = '-infinity'")
        self.programs.append(Program(self, self._machines[name]))
        return self.programs[-1]

    def make_tables_again(self) -> None:
        """Make the agbot's tables again, as after a person has dropped them: their rows and triggers are gone.

        The guard is installed again at once, because without it no one could keep two apart.
        """
        with psycopg.connect(self.hub.url(AGBOT), autocommit=True) as owner:
            owner.execute("DROP TABLE ha_group_updates, ha_workload_upgrade")
            owner.execute(START.encode())
            for right in RIGHTS:
                owner.execute(right.encode())
        install(self.hub, self.sql)

    def keep_copy(self) -> None:
        """Let a replica have everything that is committed, and nothing that follows."""
        with psycopg.connect(self.hub.server.socket_url(self.hub.database), autocommit=True) as superuser:
            superuser.execute("DROP SCHEMA IF EXISTS replica CASCADE; CREATE SCHEMA replica")
            for (table,) in superuser.execute(_KEPT).fetchall():
                superuser.execute(f'CREATE TABLE replica."{table}" AS TABLE {table}'.encode())

    def promote(self) -> None:
        """Let the replica take the place of the database: what was committed since is lost."""
        self.disconnect_all()
        with psycopg.connect(self.hub.server.socket_url(self.hub.database)) as superuser:
            superuser.execute("SET session_replication_role = replica")
            for (table,) in superuser.execute(_KEPT).fetchall():
                superuser.execute(f"DELETE FROM {table}".encode())  # noqa: S608 - names that the database has quoted
                superuser.execute(f'INSERT INTO {table} SELECT * FROM replica."{table}"'.encode())  # noqa: S608 - the same
        self.rows.timeline = f"{int(self.rows.timeline) + 1:08}"
        ((epoch,),) = self.hub.read("SELECT epoch FROM agbot_ha.leader")
        if self.programs and self.programs[-1].epoch != epoch:
            self.hub.read("UPDATE agbot_ha.leader SET expires_at = '-infinity'")
            self.programs[-1].is_deposed = True

    def disconnect_all(self) -> None:
        """End every connection to the database, as its restart does."""
        with psycopg.connect(self.hub.server.socket_url(), autocommit=True) as superuser:
            superuser.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (self.hub.database,)
            )
        self.rows.connect_again()

    def end(self, program: Program) -> None:
        """End a coordinator as `kill -9` does."""
        if program in self.programs:
            self.programs.remove(program)
            program.end()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Let every statement of a coordinator go through its host, and by the database's own clock."""

        async def run(channel: Channel, *statements: str, **more: Any) -> list[Rows]:
            name = str(channel._address.parameters["application_name"])  # noqa: SLF001 - whose connection it is
            machine = self._machines[name]
            await machine.gate()
            if machine.is_cut:
                await asyncio.sleep(1.0)
                raise StoreUnavailableError("the network to the database is cut")
            settings = {"now": self.clock.now().isoformat(), "timeline": self.rows.timeline}
            set_all = ", ".join(f"set_config('agbot.{name}', '{value}', true)" for name, value in settings.items())
            _, *rows = await _send(channel, f"SELECT {set_all}", *map(_virtual, statements), **more)
            await machine.gate()
            if machine.loses_answer():
                raise StoreUnavailableError("the answer of the database was lost")
            return rows

        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.stands_still_for_sockets = True
        with patch.object(Channel, "run", run):
            try:
                yield
            finally:
                for program in list(self.programs):
                    self.end(program)
                await asyncio.sleep(2 * _ENDED_SECONDS)
                self.rows.close()

    async def ask(self, question: Question) -> Answered:
        """Let the leader answer an agent (`GatewayPort`)."""
        if not self.programs:
            raise Unanswered("nobody listens")
        program = self.programs[-1]
        try:
            async with asyncio.timeout(_AGENT_GIVES_UP_SECONDS):
                return await program.call(program.answer(question))
        except (TimeoutError, Killed) as error:
            raise Unanswered("no answer") from error

    async def report_end(self, question: Question, *, succeeded: bool) -> Answered:
        raise Unanswered("no agbot asks here")


def new_database(hub: Guarded) -> None:
    """Let the virtual clock, which begins before today, be the first that the database knows."""
    with psycopg.connect(hub.server.socket_url(hub.database), autocommit=True) as superuser:
        superuser.execute(f"ALTER DATABASE {hub.database} SET agbot.now = '{NOON.isoformat()}'".encode())
        superuser.execute(f"ALTER DATABASE {hub.database} SET agbot.timeline = '{_TIMELINE}'".encode())
        superuser.execute("UPDATE agbot_ha.leader SET since = %s, seen_at = %s", (NOON, NOON))
