"""The schema of the store and its versions, migrated forward at the start.

Each file `sql/NNNN_name.sql` is one step. All missing steps are one transaction under an advisory
lock that ends with it, so that of several coordinators that start at once one migrates and the
others wait for it, also behind a pooler. The version is the comment of the schema: it can be read
without any right in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any, Final

import psycopg

from agbot.store.codec import ENTRIES, LEASES, RECORDS
from agbot.store.contract import StoreSchemaError
from agbot.store.migrations import Step, in_order, refuse_newer
from agbot.store.postgres.address import Address
from agbot.store.postgres.channel import connect
from agbot.store.records import KEPT

_OLDEST_SERVER: Final = 130000
_LOCK: Final = 0x6167626F
"""`agbo`, as in the SQLite file."""
_WAIT_MS: Final = 60_000
_COMMENT: Final = re.compile(r"agbot lease store, version (\d+)")

_STATE: Final = """
SELECT obj_description(n.oid, 'pg_namespace') AS comment,
       (SELECT count(*) FROM pg_class AS c WHERE c.relnamespace = n.oid) AS objects
FROM pg_namespace AS n WHERE n.nspname = %s
"""
_COLUMNS: Final = """
SELECT c.relname || '.' || a.attname AS name FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
"""
SIZE: Final = """SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint AS bytes FROM pg_class AS c
 JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')"""
"""Of all tables, with indexes and long values. It reads the sizes of files, and no table."""

Connection = psycopg.AsyncConnection[dict[str, Any]]


def shipped() -> tuple[Step, ...]:
    """Return the steps of this program."""
    folder = resources.files("agbot.store.postgres").joinpath("sql")
    return in_order((entry.name, entry.read_text(encoding="utf-8")) for entry in folder.iterdir())


async def prepare(address: Address, steps: Sequence[Step] | None = None) -> None:
    """Create or migrate the schema, and check it.

    Raises:
        StoreSchemaError: it is newer than this program, another program's, or damaged; or the
            server is too old.
        StoreUnavailableError: the server cannot be reached or refuses.
    """
    steps = shipped() if steps is None else steps
    try:
        async with await connect(address, "schema") as connection:
            await check_server(connection)
            if await version(connection, address.schema, steps) < len(steps):
                await _migrate(connection, address.schema, steps)
            await check_complete(connection, address.schema)
    except psycopg.Error as error:
        raise address.unavailable("prepare the schema of", error) from error
    except StoreSchemaError as error:
        message = f"cannot use {address}: {error}"
        raise StoreSchemaError(message) from error


async def check_server(connection: Connection) -> None:
    """Look at the server's version and encoding.

    Raises:
        StoreSchemaError: it cannot have the store.
    """
    server, encoding = connection.info.server_version, connection.info.parameter_status("server_encoding")
    if server < _OLDEST_SERVER:
        message = f"the store needs PostgreSQL 13 or newer, this server has {server // 10000}"
        raise StoreSchemaError(message)
    if encoding != "UTF8":
        message = (
            f"its encoding is {encoding}, which cannot hold names in every language; create the database with UTF8"
        )
        raise StoreSchemaError(message)


async def version(connection: Connection, schema: str, steps: Sequence[Step]) -> int:
    """Return the version of the schema; 0 if it is new. It only reads.

    Raises:
        StoreSchemaError: it is newer, or another program's.
    """
    found = await (await connection.execute(_STATE, (schema,))).fetchone()
    if found is None:
        return 0
    comment = _COMMENT.fullmatch(found["comment"] or "")
    if comment is None and found["objects"]:
        message = f"the schema {schema} belongs to another program; set another one as [store] schema"
        raise StoreSchemaError(message)
    present = int(comment[1]) if comment else 0
    refuse_newer(present, steps, "database")
    return present


async def _migrate(connection: Connection, schema: str, steps: Sequence[Step]) -> None:
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = {_WAIT_MS}")
        await connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_LOCK, schema))
        # again, under the lock: another coordinator that has started may have migrated meanwhile
        present = await version(connection, schema, steps)
        found = await (await connection.execute("SELECT to_regnamespace(%s) AS oid", (schema,))).fetchone()
        if found is None or found["oid"] is None:
            await connection.execute(f"CREATE SCHEMA {schema}")
        await connection.execute(f"SET LOCAL search_path = {schema}, pg_temp")
        for step in steps[present:]:
            await connection.execute(step.sql.encode())
        if present < len(steps):
            await connection.execute(f"COMMENT ON SCHEMA {schema} IS 'agbot lease store, version {len(steps)}'")


async def check_complete(connection: Connection, schema: str) -> None:
    """Look for every column that is read or written; additions of an operator are allowed.

    Raises:
        StoreSchemaError: one is missing.
    """
    rows = await (await connection.execute(_COLUMNS, (schema,))).fetchall()
    missing = sorted(set(_needed()) - {row["name"] for row in rows})
    if missing:
        message = f"its schema is damaged, {', '.join(missing)} is missing; restore the database from a backup"
        raise StoreSchemaError(message)


def _needed() -> Iterable[str]:
    for table, codec in (("lease", LEASES), ("journal", ENTRIES)):
        yield from (f"{table}.{name}" for name in codec.names)
    for kept in KEPT.values():
        yield from (f"{kept.table}.{name}" for name in RECORDS[kept.of].names)
