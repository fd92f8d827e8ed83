"""Reads the real agbot's rows from its PostgreSQL tables, for hubs whose local API is out of reach.

`SELECT` on `ha_group_updates` and `ha_workload_upgrade` is all that it needs, and on
`workload_usages` for shadow mode to see who waits for a service upgrade. Each read is one
statement of its own (autocommit), in a session that is read only, with a timeout for the statement
and for a lock: a transaction left open after a read would block the agbot's `LOCK TABLE`, and with
it all its agbots (`agbot-ha.md` 3.5). Only `delete`, which a person confirms, opens a session that
may write.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

import psycopg
from psycopg import conninfo, sql

from agbot.agreementbot import cures, wire
from agbot.agreementbot.client import Listed, Listing, Unreadable, Waiting
from agbot.agreementbot.cures import Cure
from agbot.agreementbot.source import Unreached
from agbot.clock import Clock
from agbot.rules.facts import Row
from agbot.rules.ids import NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.settings.hosts import database_in_words

_ROWS: Final = """
SELECT 'service', org_id, group_name, node_id, policy_name FROM ha_workload_upgrade
UNION ALL
SELECT 'agent', org_id, group_name, node_id, nmp_id FROM ha_group_updates"""
"""One statement, so that both lists are of the same moment."""
_STATE: Final = """
SELECT current_setting('server_version'), clock_timestamp(),
    has_table_privilege('ha_workload_upgrade', 'DELETE') AND has_table_privilege('ha_group_updates', 'DELETE'),
    coalesce(has_table_privilege(to_regclass('workload_usages'), 'SELECT'), false)"""
_WAITING: Final = """
SELECT DISTINCT device_id, policy_name FROM workload_usages
WHERE coalesce(workload_usage ->> 'pending_upgrade_time', '0') <> '0'"""
"""The table is the parent of the tables of all partitions, so it shows the rows of all agbots."""
_DELETE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the database says of itself."""

    version: str
    now: datetime
    """Its clock."""
    may_delete: bool
    """Whether the role may delete rows, which only the doctor's cure needs."""
    shows_waiting: bool
    """Whether the role may read who waits for a service upgrade, which only shadow mode does."""


class Tables:
    """The agbot's two tables, in the schema that the connection's search path names."""

    deletes_rows = True

    def __init__(self, database: str, clock: Clock, *, seconds: float) -> None:
        """Connect to nothing before the first read, which may take so many seconds of `clock`."""
        self._database = database
        self._seconds = clock.real_seconds(seconds)
        self._connection: psycopg.AsyncConnection[Any] | None = None

    async def list_rows(self) -> Listing:
        """Read both tables. Whatever fails proves nothing about the agbot."""
        try:
            async with asyncio.timeout(self._seconds):
                found = await self._read(_ROWS)
        except TimeoutError:
            # an answer may still arrive on it, and would be taken for that of the next statement
            await self.close()
            return Unreadable(why=f"{self}: no complete answer within {self._seconds:.3g} s")
        except psycopg.Error as error:
            await self.close()
            return Unreadable(why=f"{self}: {_why(error)}")
        # no `NotRunning` from here: the tables outlive the agbot
        rows = [wire.to_row(Kind(kind), *names) for kind, *names in found]
        return Listed(rows=wire.distinct(rows), url="", repeated=wire.repeated(rows))

    async def state(self) -> State | Unreadable:
        """Ask for version, clock and permissions, after a `list_rows` that has succeeded."""
        try:
            async with asyncio.timeout(self._seconds):
                [(version, now, may_delete, shows_waiting)] = await self._read(_STATE)
        except (psycopg.Error, TimeoutError) as error:
            await self.close()
            return Unreadable(why=f"{self}: {_why(error)}")
        return State(version=version, now=now, may_delete=may_delete, shows_waiting=shows_waiting)

    async def waiting(self) -> Waiting:
        """Read who waits for a service upgrade; no one where the role may not read that table."""
        try:
            async with asyncio.timeout(self._seconds):
                found = await self._read(_WAITING)
        except (psycopg.Error, TimeoutError):
            await self.close()
            return frozenset()
        return frozenset((NodeId(node), PolicyId(policy)) for node, policy in found)

    async def _read(self, statement: LiteralString) -> list[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = await self._connect(self._seconds, is_read_only=True)
        cursor = await self._connection.execute(statement)
        return await cursor.fetchall()

    async def delete(self, row: Row, cure: Cure) -> None:
        """Delete this row of this node; see `Source`."""
        where = sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value))
            for name, value in cures.columns(row).items()
        )
        statement = sql.SQL("DELETE FROM {} WHERE {}").format(sql.Identifier(cures.TABLES[row.kind]), where)
        try:
            async with asyncio.timeout(_DELETE_SECONDS):
                connection = await self._connect(_DELETE_SECONDS, is_read_only=False)
                async with connection:
                    deleted = (await connection.execute(statement)).rowcount
        except (psycopg.Error, TimeoutError) as error:
            raise Unreached(f"{cure.command}: {_why(error)}; the role needs DELETE on that table") from error
        if not deleted:
            raise Unreached("the row has gone in the meantime; nothing was deleted")

    async def close(self) -> None:
        """Close the connection. A later read opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                await connection.close()

    async def _connect(self, seconds: float, *, is_read_only: bool) -> psycopg.AsyncConnection[Any]:
        milliseconds = max(int(seconds * 1000), 1)
        only = "on" if is_read_only else "off"
        # set by the server for the session, so that they hold even if this process is stopped in
        # the middle of a statement: a lock kept there stops every agbot (`agbot-ha.md` 3.5)
        options = f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds} -c default_transaction_read_only={only}"
        return await psycopg.AsyncConnection.connect(
            self._database, autocommit=True, application_name="agbot", options=options
        )

    def __str__(self) -> str:
        """Return the database for people, without a password."""
        try:
            return f"the agbot's database {database_in_words(conninfo.conninfo_to_dict(self._database))}"
        except psycopg.ProgrammingError:
            return "the agbot's database"


def _why(error: psycopg.Error | TimeoutError) -> str:
    """Return the error in one line; PostgreSQL's own has no password."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return " ".join(str(error).split()) or type(error).__name__
