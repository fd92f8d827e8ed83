"""The lease store in one SQLite file: the default, for one daemon. See `contract` for what it promises.

Each call is one hop to the store's thread (`sqlite_thread`). Rows are made before the hop (`codec`), so that a value that cannot be stored
fails in its caller's task. A file lock keeps a second daemon out; if that ever failed, the SQL would still let only one of them win a swap.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from agbot.rules.ids import GroupId
from agbot.rules.lease import Lease
from agbot.store import codec, connection, generation, member_codec, migrations
from agbot.store.contract import ENTRY_BYTES, NOTHING, Entry, Generation, JournalQuery, Lost, Stored, Writes
from agbot.store.filelock import FileLock
from agbot.store.keeping import Keeper
from agbot.store.queries import QUERIES, journal_read
from agbot.store.sqlite_thread import SqliteThread
from agbot.store.swaps import is_virgin, refuse_impossible
from agbot.store.texts import Row, stamp

T = TypeVar("T")
Statements = Sequence[tuple[str, Row]]

BUSY_SECONDS = 1.0
"""How long a statement waits for another program's lock: shorter than the gateway's patience with a question (3 s)."""

STRETCH = 500
"""So many entries of the journal are measured or deleted at once: some milliseconds, then the next in the queue has its turn."""


class SqliteStore:
    """Leases and everything around them in the file at `path`.

    The directory must exist: it is not created, because an empty store in place of one that is not mounted would forget who holds a lease.
    `steps` are the schema's versions, other than the shipped ones only in tests of the migration.
    """

    def __init__(
        self, path: Path, *, busy_seconds: float = BUSY_SECONDS, steps: Sequence[migrations.Step] | None = None
    ) -> None:
        self._path = path
        self._steps = migrations.shipped() if steps is None else steps
        self._lock = FileLock(path)
        self._keeper = Keeper(path, partial(connection.connect, path, busy_seconds, self._steps))
        self._thread = SqliteThread(path, self._keeper)

    @property
    def commits(self) -> int:
        """How many transactions have been committed; fewer than writes where callers shared some."""
        return self._thread.commits

    async def open(self) -> None:
        """Take the lock, open and check the file, bring its schema up to date."""
        self._lock.take()
        try:
            await self._thread.start(self._keeper.connect)
        except BaseException:
            self._lock.give_back()
            raise

    async def close(self) -> None:
        """Finish what is queued, close the file, let go of the lock."""
        await self._thread.stop()
        self._lock.give_back()

    async def load(self) -> Stored:
        """Read everything but the journal."""
        return await self._thread.run(_load, writes=False, mends=True)

    async def check(self) -> None:
        """Compare the open files with the names."""
        await self._thread.run(_nothing, writes=False)

    async def settle(self, entry: Entry) -> None:
        """End the doubt, with its entry."""
        await self._thread.run(partial(_settle, row=codec.entry_row(entry)), writes=True)

    async def lease(self, group: GroupId) -> Lease:
        """Read one lease."""
        return await self._thread.run(partial(_lease, group=group), writes=False)

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        """Compare and set the lease, with everything that belongs to it, in one transaction."""
        refuse_impossible(expected, new, self._keeper.generation.token_floor)
        row = codec.lease_row(new) | {"expected_token": expected.token, "expected_state": expected.state.value}
        swapped = partial(_swap, row=row, first=is_virgin(expected), statements=_statements(writes))
        current = await self._thread.run(self._keeper.noting(new.token, swapped), writes=True)
        return new if current is None else Lost(current=current)

    async def write(self, writes: Writes) -> None:
        """Write records and entries in one transaction."""
        await self._thread.run(partial(_write, statements=_statements(writes)), writes=True)

    async def journal(self, query: JournalQuery) -> Sequence[Entry]:
        """Read journal entries."""
        return await self._thread.run(partial(_journal, query=query), writes=False)

    async def last_entry_id(self) -> int:
        """Read the newest id."""
        return await self._thread.run(_last_entry_id, writes=False)

    async def cursor(self, sink: str) -> int | None:
        """Read how far a sink has confirmed the journal."""
        return await self._thread.run(partial(_cursor, row={"sink": sink}), writes=False)

    async def save_cursor(self, sink: str, entry_id: int) -> None:
        """Move a sink's cursor on."""
        row: Row = {"sink": sink, "confirmed_id": entry_id}
        await self._thread.run(partial(_write, statements=[("cursor.save", row)]), writes=True)

    async def prune(self, before: datetime) -> int:
        """Delete what is older."""
        return await self._thread.run(partial(_prune, row={"before": stamp(before)}), writes=True)

    async def trim(self, most_bytes: int) -> int:
        """Measure from the newest entry back, a stretch at a time, then delete what is too much, a stretch in each transaction."""
        last = await self._last_too_much(most_bytes)
        gone = 0
        while last is not None:
            cut = await self._thread.run(partial(_cut, row={"upto": last, "stretch": STRETCH}), writes=True)
            gone += cut
            last = last if cut == STRETCH else None
        return gone

    async def _last_too_much(self, most_bytes: int) -> int | None:
        """Return the newest entry that has no room any more; None when all have."""
        left, below = most_bytes, 2**63 - 1
        while sizes := await self._thread.run(partial(_sizes, row={"below": below, "stretch": STRETCH}), writes=False):
            for entry, size in sizes:
                left -= size
                if left < 0:
                    return entry
            below = sizes[-1][0]
        return None


def _statements(writes: Writes) -> Statements:
    return (
        *(("lease.swap", _unchanged(lease)) for lease in writes.moved),
        *(codec.record_row(record) for record in writes.put),
        *(codec.key_row(key) for key in writes.drop),
        *(("journal.append", codec.entry_row(entry)) for entry in writes.entries),
    )


def _unchanged(lease: Lease) -> Row:
    return codec.lease_row(lease) | {"expected_token": lease.token, "expected_state": lease.state.value}


def _nothing(_connection: sqlite3.Connection) -> None:
    """Only be let in."""


def _settle(connection: sqlite3.Connection, row: Row) -> None:
    connection.execute(QUERIES["generation.settle"])
    connection.execute(QUERIES["journal.append"], row)


def _write(connection: sqlite3.Connection, statements: Statements) -> None:
    for name, row in statements:
        connection.execute(QUERIES[name], row)


def _swap(connection: sqlite3.Connection, row: Row, statements: Statements, *, first: bool) -> Lease | None:
    """Swap and write; None, or the lease that stands in the way, with nothing written."""
    swapped = connection.execute(QUERIES["lease.swap"], row).rowcount
    if not swapped and first:
        swapped = connection.execute(QUERIES["lease.first"], row).rowcount
    if not swapped:
        return _lease(connection, GroupId(str(row["group_id"])))
    _write(connection, statements)
    return None


def _lease(connection: sqlite3.Connection, group: GroupId) -> Lease:
    row = connection.execute(QUERIES["lease.one"], {"group_id": group}).fetchone()
    return Lease(group=group) if row is None else codec.readable(codec.lease_of, row)


def _load(connection: sqlite3.Connection) -> Stored:
    leases = _all(connection, "lease.all", codec.lease_of)
    return Stored(
        leases={lease.group: lease for lease in leases},
        generation=generation.read(connection) or Generation(),
        allowances=_all(connection, "allowance.all", codec.allowance_of),
        approvals=_all(connection, "approval.all", codec.approval_of),
        brakes=_all(connection, "brake.all", codec.brake_of),
        contacts=_all(connection, "contact.all", member_codec.contact_of),
        deferrals=_all(connection, "deferral.all", member_codec.deferral_of),
        clock_mark=next(iter(_all(connection, "clock.all", codec.clock_of)), None),
        pauses=_all(connection, "pause.all", codec.pause_of),
        served=_all(connection, "served.all", member_codec.served_of),
        waiters=_all(connection, "waiter.all", codec.waiter_of),
    )


def _all(connection: sqlite3.Connection, name: str, build: Callable[[sqlite3.Row], T]) -> list[T]:
    return [codec.readable(build, row) for row in connection.execute(QUERIES[name]).fetchall()]


def _journal(connection: sqlite3.Connection, query: JournalQuery) -> Sequence[Entry]:
    statement, row = journal_read(query)
    return [codec.readable(codec.entry_of, found) for found in connection.execute(statement, row).fetchall()]


def _last_entry_id(connection: sqlite3.Connection) -> int:
    found = connection.execute(QUERIES["journal.last"]).fetchone()
    return 0 if found is None else int(found["seq"])


def _sizes(connection: sqlite3.Connection, row: Row) -> list[tuple[int, int]]:
    rows = connection.execute(QUERIES["journal.sizes"], row).fetchall()
    return [(found["id"], found["bytes"] + ENTRY_BYTES) for found in rows]


def _cut(connection: sqlite3.Connection, row: Row) -> int:
    return connection.execute(QUERIES["journal.cut"], row).rowcount


def _cursor(connection: sqlite3.Connection, row: Row) -> int | None:
    found = connection.execute(QUERIES["cursor.one"], row).fetchone()
    return None if found is None else int(found["confirmed_id"])


def _prune(connection: sqlite3.Connection, row: Row) -> int:
    connection.execute(QUERIES["served.prune"], row)
    return connection.execute(QUERIES["journal.prune"], row).rowcount
