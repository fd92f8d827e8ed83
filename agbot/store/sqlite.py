"""The lease store in one SQLite file: the default, for one daemon. It implements `contract`.

Each call is one hop to the store's thread (`sqlite_thread`). Rows are made before the hop
(`statements`), so that a value that cannot be stored fails in its caller's task. A file lock keeps
a second daemon out; if that ever failed, the SQL would still let only one of them win a swap.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from agbot.rules.ids import GroupId
from agbot.rules.lease import Lease
from agbot.rules.seen_time import SeenTime
from agbot.store import connection, generation, migrations, shortening, statements
from agbot.store.codec import ENTRIES, LEASES, RECORDS
from agbot.store.contract import (
    NOTHING,
    Entry,
    Generation,
    JournalQuery,
    Lost,
    Pace,
    Stored,
    Writes,
    at_once,
)
from agbot.store.filelock import FileLock
from agbot.store.files import Files
from agbot.store.keeping import Keeper
from agbot.store.queries import QUERIES, journal_read
from agbot.store.records import KEPT, Kept, Record
from agbot.store.sqlite_thread import SqliteThread
from agbot.store.statements import Statement
from agbot.store.swaps import is_first, refuse_impossible
from agbot.store.texts import Row, stamp

_Statements = Sequence[Statement]

_BUSY_SECONDS = 1.0
"""How long a statement waits for another program's lock: less than a question may take (3 s)."""


class SqliteStore:
    """The store in the file at `path`.

    The directory must exist: it is not created, because an empty store in place of one that is not
    mounted would lose all leases. Each write drops the oldest journal entries beyond
    `journal_bytes` (0: no limit), a few more than it adds; `trim` does the rest after the limit was
    lowered. `steps` are the schema's versions; only tests pass others.
    """

    def __init__(
        self,
        path: Path,
        *,
        journal_bytes: int = 0,
        busy_seconds: float = _BUSY_SECONDS,
        steps: Sequence[migrations.Step] | None = None,
    ) -> None:
        self._path = path
        self._journal_bytes = journal_bytes
        self._steps = migrations.shipped() if steps is None else steps
        self._wal = Files(path).wal
        self._lock = FileLock(path)
        self._keeper = Keeper(path, partial(connection.connect, path, busy_seconds, self._steps, self._does))
        self._thread = SqliteThread(path, self._keeper)
        self.doing = ""
        """The step at which the opening is. Written by the store's thread, read by the starting
        daemon."""

    def _does(self, doing: str) -> None:
        self.doing = doing

    async def open(self) -> None:
        """Take the lock, open and check the file, migrate its schema."""
        self._lock.take()
        try:
            await self._thread.start(self._keeper.connect)
        except BaseException:
            self._lock.give_back()
            raise

    async def close(self) -> None:
        """Finish what is queued, close the file, release the lock."""
        await self._thread.stop()
        self._lock.give_back()

    async def load(self) -> Stored:
        """Load everything except the journal."""
        return await self._thread.run(_load, writes=False, mends=True)

    async def check(self) -> None:
        """Compare the open files with those at the path."""
        await self._thread.run(_nothing, writes=False)

    async def settle(self, entry: Entry) -> None:
        """End the doubt, with a journal entry."""
        settling: _Statements = [(QUERIES["generation.settle"], {}), statements.append(entry)]
        await self._thread.run(self._writing(settling), writes=True)

    async def lease(self, group: GroupId) -> Lease:
        """Read one lease."""
        return await self._thread.run(partial(_lease, group=group), writes=False)

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        """Compare and set the lease with its writes, in one transaction."""
        refuse_impossible(expected, new, self._keeper.generation.token_floor)
        row = statements.swap_row(expected, new)
        swapped = partial(_swap, row=row, first=is_first(expected), write=self._writing(_statements(writes)))
        current = await self._thread.run(self._keeper.noting(new.token, swapped), writes=True)
        return new if current is None else Lost(current=current)

    async def write(self, writes: Writes) -> None:
        """Write records and entries in one transaction."""
        await self._thread.run(self._writing(_statements(writes)), writes=True)

    async def journal(self, query: JournalQuery) -> Sequence[Entry]:
        """Read journal entries."""
        return await self._thread.run(partial(_journal, query=query), writes=False)

    async def last_entry_id(self) -> int:
        """Return the last id."""
        return await self._thread.run(_last_entry_id, writes=False)

    async def cursor(self, sink: str) -> int | None:
        """Read how far a sink has confirmed the journal."""
        return await self._thread.run(partial(_cursor, row={"sink": sink}), writes=False)

    async def save_cursor(self, sink: str, entry_id: int) -> None:
        """Advance a sink's cursor."""
        row: Row = {"sink": sink, "confirmed_id": entry_id}
        await self._thread.run(partial(_write, written=[(QUERIES["cursor.save"], row)], journal_bytes=0), writes=True)

    async def prune(self, before: datetime, pace: Pace = at_once, *, turns: SeenTime | None = None) -> int:
        """Delete older entries and turns, in batches."""
        if turns is not None:
            await self._thread.run(partial(shortening.prune_turns, before=turns), writes=True)
        return await self._shortened(shortening.Pruning(stamp(before)), pace)

    async def trim(self, most_bytes: int, pace: Pace = at_once) -> int:
        """Delete the oldest entries beyond the limit, in batches."""
        return await self._shortened(shortening.Trimming(most_bytes), pace)

    def _writing(self, written: _Statements) -> Callable[[sqlite3.Connection], None]:
        return partial(_write, written=written, journal_bytes=self._journal_bytes)

    async def _shortened(self, work: shortening.Work, pace: Pace) -> int:
        return await shortening.in_batches(work, self._batch, self._unless_log_grows(pace))

    async def _batch(self, work: shortening.Work, stretch: int) -> tuple[int, shortening.Work | None]:
        done = await self._thread.run(partial(work.step, stretch=stretch), writes=True)
        return done.gone, done.rest

    def _unless_log_grows(self, pace: Pace) -> Pace:
        """Stop early if the write-ahead log is long and still grows: a later call does the rest."""
        before, growing = self._log_bytes(), 0

        async def go_on(took_seconds: float) -> bool:
            nonlocal before, growing
            growing = growing + 1 if self._log_bytes() > max(before, shortening.LONGEST_LOG_BYTES) else 0
            # the first batch after a reader has gone still appends, the second starts the log again
            goes_on = growing <= 1 and await pace(took_seconds)
            before = self._log_bytes()
            return goes_on

        return go_on

    def _log_bytes(self) -> int:
        try:
            return self._wal.stat().st_size
        except OSError:  # the next write reports that it was removed
            return 0


def _statements(writes: Writes) -> _Statements:
    return (
        *((statements.SWAP, statements.swap_row(lease, lease)) for lease in writes.moved),
        *map(statements.put, writes.put),
        *map(statements.drop, writes.drop),
        *map(statements.append, writes.entries),
    )


def _nothing(_connection: sqlite3.Connection) -> None:
    """Do nothing in a transaction."""


def _write(connection: sqlite3.Connection, written: _Statements, journal_bytes: int) -> None:
    for statement, row in written:
        connection.execute(statement, row)
    added = sum(statement is statements.APPEND for statement, _ in written)
    if added and journal_bytes:
        shortening.Trimming(journal_bytes).step(connection, added + shortening.MORE_THAN_ADDED)


def _swap(
    connection: sqlite3.Connection, row: Row, write: Callable[[sqlite3.Connection], None], *, first: bool
) -> Lease | None:
    """Swap and write; return None, or the lease that prevented the swap, with nothing written."""
    swapped = connection.execute(statements.SWAP, row).rowcount
    # a group that has never had a lease has no row to compare with
    if not swapped and first:
        swapped = connection.execute(statements.FIRST, row).rowcount
    if not swapped:
        return _lease(connection, GroupId(str(row["group_id"])))
    write(connection)
    return None


def _lease(connection: sqlite3.Connection, group: GroupId) -> Lease:
    row = connection.execute(QUERIES["lease.one"], {"group_id": group}).fetchone()
    return Lease(group=group) if row is None else LEASES.value(row, "lease")


def _load(connection: sqlite3.Connection) -> Stored:
    leases = [LEASES.value(row, "lease") for row in connection.execute(QUERIES["lease.all"]).fetchall()]
    return Stored(
        leases={lease.group: lease for lease in leases},
        generation=generation.read(connection) or Generation(),
        records=[record for kept in KEPT.values() for record in _all(connection, kept)],
    )


def _all(connection: sqlite3.Connection, kept: Kept) -> list[Record]:
    found = connection.execute(statements.TABLES[kept.of].all).fetchall()
    return [RECORDS[kept.of].value(row, kept.table) for row in found]


def _journal(connection: sqlite3.Connection, query: JournalQuery) -> Sequence[Entry]:
    statement, row = journal_read(query)
    return [ENTRIES.value(found, "journal entry") for found in connection.execute(statement, row).fetchall()]


def _last_entry_id(connection: sqlite3.Connection) -> int:
    found = connection.execute(QUERIES["journal.last"]).fetchone()
    return 0 if found is None else int(found["seq"])


def _cursor(connection: sqlite3.Connection, row: Row) -> int | None:
    found = connection.execute(QUERIES["cursor.one"], row).fetchone()
    return None if found is None else int(found["confirmed_id"])
