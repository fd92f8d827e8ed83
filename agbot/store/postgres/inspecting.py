"""Reads what a store on PostgreSQL depends on, for the doctor. It changes nothing.

It connects and compares versions with the code of the daemon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg

from agbot.store.contract import StoreSchemaError
from agbot.store.postgres import schema
from agbot.store.postgres.address import Address
from agbot.store.postgres.channel import connect
from agbot.store.postgres.schema import Connection

_SECONDS: Final = 10.0
_STATE: Final = """
SELECT current_setting('server_version') AS server, clock_timestamp() AS now, pg_is_in_recovery() AS is_replica,
    current_setting('fsync') <> 'off' AND current_setting('synchronous_commit') <> 'off' AS keeps_commits,
    (SELECT count(*) FROM pg_stat_replication WHERE application_name <> 'pg_basebackup') AS replicas,
    current_setting('synchronous_standby_names') <> '' AS waits_for_replicas, pg_backend_pid() AS session,
    quote_ident(current_user) AS role, n.oid IS NOT NULL AS has_schema, coalesce(pg_has_role(n.nspowner, 'USAGE'), false) AS owns_schema,
    has_database_privilege(current_database(), 'CREATE') AS may_create,
    array(SELECT c.relname::text FROM pg_class AS c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p')
        AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
            AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
            AND has_table_privilege(c.oid, 'DELETE')) ORDER BY 1) AS denied
FROM (SELECT 1) AS one LEFT JOIN pg_namespace AS n ON n.nspname = %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found."""

    server: str
    """Its version."""
    now: datetime
    """Its clock."""
    is_replica: bool
    keeps_commits: bool
    """Whether a commit that was answered survives a crash of the server."""
    replicas: int
    waits_for_replicas: bool
    is_pooled: bool
    """Whether a pooler is in between."""
    keeps_transactions: bool
    """False behind a pooler that gives each statement another session."""
    role: str
    """The user, quoted for a statement where that is needed."""
    schema: str
    has_schema: bool
    owns_schema: bool
    may_create: bool
    denied: Sequence[str]
    """The tables that the role may not read or write."""
    version: int
    """The version of the schema; 0 if it is new."""
    newest: int
    """The version that this program has."""


async def inspect(address: Address) -> Inspection:
    """Look at server, role and schema.

    Raises:
        StoreSchemaError: the daemon would refuse to start.
        StoreUnavailableError: the server cannot be reached or refuses.
    """
    steps = schema.shipped()
    try:
        async with asyncio.timeout(_SECONDS), await connect(address, "doctor") as connection:
            await schema.check_server(connection)
            version = await schema.version(connection, address.schema, steps)
            if version == len(steps):
                await schema.check_complete(connection, address.schema)
            return await _inspected(connection, address.schema, version, len(steps))
    except (psycopg.Error, TimeoutError) as error:
        raise address.unavailable("inspect", error) from error
    except StoreSchemaError as error:
        message = f"cannot use {address}: {error}"
        raise StoreSchemaError(message) from error


async def _inspected(connection: Connection, name: str, version: int, newest: int) -> Inspection:
    (state,) = await (await connection.execute(_STATE, (name,))).fetchall()
    session = state.pop("session")
    return Inspection(
        **state,
        schema=name,
        is_pooled=session != connection.info.backend_pid,
        keeps_transactions=await _keeps_transactions(connection),
        version=version,
        newest=newest,
    )


async def _keeps_transactions(connection: Connection) -> bool:
    """Whether statements of one transaction share a session, as a migration needs."""
    try:
        async with connection.transaction():
            await connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True
