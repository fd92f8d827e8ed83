"""A store on PostgreSQL as one of the two ends of a move, and as an operator marks it.

The row of the leader is locked as long as that takes, so that no coordinator can begin to lead.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import psycopg

from agbot.store.contract import ENTRY_BYTES, Generation, StoreLockedError
from agbot.store.generation import floor_above
from agbot.store.moving import CHUNK_ROWS, TABLES, Ends, Row
from agbot.store.postgres import schema
from agbot.store.postgres.address import Address
from agbot.store.postgres.quoting import escaped, original
from agbot.store.postgres.statements import HOME
from agbot.store.statements import named

_LOCK_MS: Final = 2000
_SILENT_SECONDS: Final = 15
"""A coordinator that has not announced itself for so long does not run."""
_LEADER: Final = """SELECT name, expires_at > clock_timestamp() AS is_valid,
 (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM leader FOR UPDATE"""
_ALIVE: Final = (
    "SELECT name FROM coordinator WHERE seen_at > clock_timestamp() - make_interval(secs => %s) ORDER BY name"
)


@contextmanager
def postgres_end(address: Address) -> Iterator[PostgresEnd]:
    """Open a store that no coordinator uses, in one transaction.

    Raises:
        StoreLockedError: one does.
        StoreError: see `schema.prepare`.
    """
    asyncio.run(schema.prepare(address))
    try:
        parameters: dict[str, Any] = {**address.parameters, "application_name": "agbot store"}
        with psycopg.connect(**parameters, prepare_threshold=None) as connection:
            connection.execute(f"SET LOCAL search_path = {address.schema}, pg_temp")
            connection.execute(f"SET LOCAL lock_timeout = {_LOCK_MS}")
            yield PostgresEnd(connection, _locked(connection, address))
            connection.rollback()
    except psycopg.errors.LockNotAvailable as error:
        message = f"{address} is in use; stop every coordinator on it first"
        raise StoreLockedError(message) from error
    except psycopg.Error as error:
        raise address.unavailable("move", error) from error


def _locked(connection: psycopg.Connection[tuple[Any, ...]], address: Address) -> int:
    """Lock the row of the leader; return the database's clock in milliseconds."""
    ((leader, is_valid, now_ms),) = connection.execute(_LEADER).fetchall()
    alive = [name for (name,) in connection.execute(_ALIVE, (_SILENT_SECONDS,)).fetchall()]
    names = sorted({original(name) for name in [*alive, *([leader] if is_valid else [])]})
    if names:
        message = (
            f"{address} is in use by {', '.join(names)}; stop every coordinator on it first (one that was killed counts for"
            f" {_SILENT_SECONDS} s)"
        )
        raise StoreLockedError(message)
    return int(now_ms)


class PostgresEnd:
    """A schema of a database."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], now_ms: int) -> None:
        self._connection = connection
        self._now_ms = now_ms

    def ends(self) -> Ends:
        """Read what identifies its content."""
        found = self._connection.execute("SELECT id, token_floor, doubt FROM generation").fetchone()
        known = (
            Generation() if found is None else Generation(id=found[0], token_floor=found[1], doubt=original(found[2]))
        )
        token = self._one("SELECT coalesce(max(token), 0) FROM lease")
        return Ends(entry=self._one("SELECT id FROM journal_end"), token=token, generation=known)

    def counts(self) -> dict[str, int]:
        """Count the rows of each table."""
        return {table: self._one(f"SELECT count(*) FROM {table}") for table in TABLES}

    def rows(self, table: str) -> Iterator[Sequence[Row]]:
        """Read the rows of a table in parts."""
        with self._connection.cursor(name=f"move_{table}") as cursor:
            cursor.execute(f"SELECT {named(TABLES[table])} FROM {table} ORDER BY 1".encode())
            while part := cursor.fetchmany(CHUNK_ROWS):
                yield [tuple(original(each) if isinstance(each, str) else each for each in row) for row in part]

    def fill(self, table: str, parts: Iterator[Sequence[Row]]) -> None:
        """Write the rows of a table."""
        statement = f"COPY {table} ({named(TABLES[table])}) FROM STDIN"
        with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for part in parts:
                for row in part:
                    copy.write_row([escaped(each) if isinstance(each, str) else each for each in row])

    def finish(self, ends: Ends) -> None:
        """Take over what identifies the content, and commit."""
        self._name_subjects()
        size = f"(SELECT coalesce(sum(octet_length(facts) + {ENTRY_BYTES}), 0) FROM journal)"
        self._connection.execute(f"UPDATE journal_end SET id = %s, bytes = {size}".encode(), (ends.entry,))
        self._begin(ends.generation.token_floor, ends.generation.doubt)
        self._connection.commit()

    def leave(self, doubt: str) -> None:
        """Begin a generation with this doubt, and commit."""
        ends = self.ends()
        self._begin(floor_above(max(ends.token, ends.generation.token_floor), self._now_ms), doubt)
        self._connection.commit()

    def _begin(self, token_floor: int, doubt: str) -> None:
        self._connection.execute("DELETE FROM generation")
        row = (uuid.uuid4().hex, token_floor, escaped(doubt))
        # the format string in HOME has placeholders of its own
        insert = f"INSERT INTO generation (one, id, token_floor, doubt, home) SELECT 1, %s, %s, %s, {HOME}"
        self._connection.execute(insert.replace("%s/%s/%s/%s", "%%s/%%s/%%s/%%s").encode(), row)

    def _name_subjects(self) -> None:
        """Fill in the scope of entries that have neither group nor node."""
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT id, facts FROM journal WHERE group_id IS NULL AND node_id IS NULL")
            named = [(escaped(scope), number) for number, facts in cursor if (scope := _scope(facts)) is not None]
            cursor.executemany("UPDATE journal SET scope = %s WHERE id = %s", named)

    def _one(self, statement: str) -> int:
        row = self._connection.execute(statement.encode()).fetchone()
        return int(row[0]) if row else 0


def _scope(facts: str) -> str | None:
    scope = msgspec.json.decode(facts, type=dict[str, Any]).get("scope")
    return scope if isinstance(scope, str) else None
