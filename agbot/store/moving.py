"""Moves everything from one store to another, of any kind: `agbot store move`.

Tables and columns are the same in all, so that rows are copied as they are. The other store must be
empty, and no daemon may use either. The one that is left is marked, so that a daemon which is still
started on it grants nothing before it has read the whole fleet.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from agbot.store import generation
from agbot.store.codec import ENTRIES, LEASES, RECORDS
from agbot.store.connection import unavailable
from agbot.store.contract import Generation, StoreTakenError, StoreUnavailableError
from agbot.store.copies import keeper_of, locked
from agbot.store.keeping import Keeper
from agbot.store.records import KEPT
from agbot.store.statements import named

Row = Sequence[str | int | None]

TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "lease": LEASES.names,
    **{kept.table: (*(() if kept.key else ("id",)), *RECORDS[kept.of].names) for kept in KEPT.values()},
    "journal": ENTRIES.names,
    "delivery_cursor": ("sink", "confirmed_id"),
}
"""The columns of every table that is moved."""

CHUNK_ROWS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """What identifies the content of a store, besides the rows."""

    entry: int
    """The last journal entry that was ever committed."""
    token: int
    generation: Generation


class End(Protocol):
    """One of the two stores, locked, in a transaction."""

    def ends(self) -> Ends:
        """Read what identifies its content."""

    def counts(self) -> dict[str, int]:
        """Count the rows of each table."""

    def rows(self, table: str) -> Iterator[Sequence[Row]]:
        """Read the rows of a table in parts."""

    def fill(self, table: str, parts: Iterator[Sequence[Row]]) -> None:
        """Write the rows of a table."""

    def finish(self, ends: Ends) -> None:
        """Take over what identifies the content, and commit."""

    def leave(self, doubt: str) -> None:
        """Begin a generation with this doubt, and commit."""


def move(source: End, target: End, doubt: str) -> dict[str, int]:
    """Move everything; return the number of rows of each table.

    `doubt` is the reason that a daemon gives which is started on the source afterwards.

    Raises:
        StoreError: the target is not empty, or one of them failed. Then the target has no content.
    """
    present = {table: count for table, count in target.counts().items() if count}
    if present:
        found = ", ".join(f"{count} of {table}" for table, count in present.items())
        message = f"the store to move to is not empty ({found}); name one that is new"
        raise StoreTakenError(message)
    for table in TABLES:
        target.fill(table, source.rows(table))
    counts, ends = source.counts(), source.ends()
    if target.counts() != counts:
        message = f"not every row was written: {target.counts()} instead of {counts}; look for errors of the disk"
        raise StoreUnavailableError(message)
    # The source is marked first. After a kill between the two the target is empty and the source
    # grants nothing before it has read the fleet; the other way round, both would grant.
    source.leave(doubt)
    target.finish(ends)
    return counts


@contextmanager
def sqlite_end(store: Path, *, must_exist: bool) -> Iterator[End]:
    """Open a file that no daemon uses.

    Raises:
        StoreError: see `compacting.compact`.
    """
    if must_exist and not store.is_file():
        message = f"there is no store at {store}; name the one to move from"
        raise StoreUnavailableError(message)
    with locked(store):
        keeper = keeper_of(store)
        try:
            with closing(keeper.connect()) as connection:
                connection.row_factory = None
                connection.execute("BEGIN IMMEDIATE")
                yield _SqliteEnd(connection, keeper)
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise unavailable("move", store, error) from error
        finally:
            keeper.closed()


class _SqliteEnd:
    """A file."""

    def __init__(self, connection: sqlite3.Connection, keeper: Keeper) -> None:
        self._connection = connection
        self._keeper = keeper

    def ends(self) -> Ends:
        """Read what identifies its content."""
        return Ends(
            entry=generation.last_entry(self._connection),
            token=generation.highest_token(self._connection),
            generation=generation.read(self._connection) or Generation(),
        )

    def counts(self) -> dict[str, int]:
        """Count the rows of each table."""
        return {table: self._one(f"SELECT count(*) FROM {table}") for table in TABLES}  # noqa: S608 - our tables

    def rows(self, table: str) -> Iterator[Sequence[Row]]:
        """Read the rows of a table in parts."""
        cursor = self._connection.execute(f"SELECT {named(TABLES[table])} FROM {table} ORDER BY 1")  # noqa: S608 - our tables
        while part := cursor.fetchmany(CHUNK_ROWS):
            yield part

    def fill(self, table: str, parts: Iterator[Sequence[Row]]) -> None:
        """Write the rows of a table."""
        given = ", ".join("?" for _ in TABLES[table])
        insert = f"INSERT INTO {table} ({named(TABLES[table])}) VALUES ({given})"  # noqa: S608 - our tables
        for part in parts:
            self._connection.executemany(insert, part)

    def finish(self, ends: Ends) -> None:
        """Take over what identifies the content, and commit."""
        self._connection.execute("DELETE FROM sqlite_sequence WHERE name = 'journal'")
        self._connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('journal', ?)", (ends.entry,))
        taken = (ends.generation.token_floor, ends.generation.doubt)
        self._connection.execute("UPDATE generation SET token_floor = ?, doubt = ?", taken)
        self._keeper.committing()
        self._connection.execute("COMMIT")
        self._keeper.committed(self._connection)

    def leave(self, doubt: str) -> None:
        """Begin a generation with this doubt, and commit."""
        ends = self.ends()
        self._connection.execute("ROLLBACK")  # `begin` has a transaction of its own
        floor = generation.floor_above(max(ends.token, ends.generation.token_floor), time.time_ns() // 1_000_000)
        generation.begin(self._connection, doubt, floor)

    def _one(self, statement: str) -> int:
        return int(self._connection.execute(statement).fetchone()[0])
