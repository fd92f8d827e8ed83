"""The statements of the store on PostgreSQL: one for each write, with all that belongs to it.

A write is one statement of data-modifying parts: the fence, the swap of a lease, the counter of the
journal, its entries, records to put and to drop. Each part depends on the one before, so that a
fence or a swap that fails lets nothing happen. Parts and rows derive from the same descriptions as
SQLite's (`agbot.store.statements`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Final

from agbot.rules.lease import Lease
from agbot.store import statements
from agbot.store.codec import ENTRIES, RECORDS
from agbot.store.contract import ENTRY_BYTES, Entry, Writes
from agbot.store.postgres.quoting import filled
from agbot.store.records import Key, Record, key_of
from agbot.store.swaps import is_as_expected
from agbot.store.texts import Row

_CHUNK: Final = 40
"""Maximum number of parts in one statement; further ones of a write are more statements of its
transaction."""

HOME: Final = """(SELECT format('%s/%s/%s/%s', (SELECT system_identifier FROM pg_control_system()),
 CASE WHEN pg_is_in_recovery() THEN 'replica' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END,
 (SELECT oid FROM pg_database WHERE datname = current_database()), 'lease'::regclass::oid))"""
"""Where this content lives: the server's identity, its timeline, the database and its table. A
promoted replica has another timeline, a restored dump another table."""

TIMELINE: Final = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"

_FENCE: Final = """WITH fence AS MATERIALIZED (SELECT seen_at - clock_timestamp() AS behind, :timeline = {timeline} AS is_home,
 (SELECT id FROM journal_end) >= :known AS is_complete FROM leader WHERE epoch = :epoch AND writer = :writer FOR KEY SHARE),
 passed AS MATERIALIZED (SELECT 1 AS one FROM fence WHERE is_home AND is_complete{clock})"""
_CLOCK: Final = " AND behind <= interval '0'"
_OUTCOME: Final = """SELECT (SELECT count(*) FROM fence) AS leads, (SELECT is_home AND is_complete FROM fence) AS is_home,
 (SELECT extract(epoch FROM behind)::float8 FROM fence) AS behind, (SELECT count(*) FROM done) AS done,
 {last} AS last, {bytes} AS bytes"""

_SWAP: Final = statements.SWAP.replace(" WHERE ", " FROM passed WHERE ", 1)
_FIRST: Final = statements.FIRST.replace("VALUES (", "SELECT ", 1).replace(
    ") ON CONFLICT", " FROM passed WHERE NOT EXISTS (SELECT FROM swapped) ON CONFLICT", 1
)
_DONE: Final = "done AS MATERIALIZED (SELECT one FROM passed)"
_SIZE: Final = f"coalesce((SELECT sum(size + {ENTRY_BYTES}) FROM gone), 0)"
_COUNT: Final = (
    "counted AS (UPDATE journal_end SET id = id + :count, bytes = bytes + :bytes{less} FROM done RETURNING id, bytes)"
)
_CUT: Final = """gone AS (DELETE FROM journal USING done WHERE id IN (SELECT id FROM journal ORDER BY id LIMIT :cut)
 RETURNING octet_length(facts) AS size)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """What a write of a leader depends on."""

    epoch: int
    timeline: str
    """The timeline of the server whose content was loaded."""
    known: int
    """The last entry of the journal that is known to be committed."""
    writer: str

    def text(self, *, is_grant: bool) -> str:
        """Return the first parts of a statement. A grant needs a steady clock, too."""
        row: Row = {"epoch": self.epoch, "writer": self.writer, "timeline": self.timeline, "known": self.known}
        return filled(_FENCE.format(timeline=TIMELINE, clock=_CLOCK if is_grant else ""), row)


@dataclass(frozen=True, slots=True)
class Rest:
    """What is written with a swap, or without one. Its values have been converted already."""

    entries: Sequence[Row]
    parts: Sequence[str]
    cut: int = 0
    """How many of the oldest entries of the journal are deleted, if any are appended."""

    @classmethod
    def of(cls, writes: Writes, cut: int = 0) -> Rest:
        """Convert the values, in the caller's task."""
        # One statement changes no row twice, and which of two changes it makes is not defined: of
        # several changes of one record only the last is given to it.
        last: dict[Key, Record | None] = {key_of(record): record for record in writes.put}
        last |= dict.fromkeys(writes.drop)
        moved = {lease.group: lease for lease in writes.moved}
        parts = (
            *map(_moved, moved.values()),
            *(_dropped(key) if record is None else _put(record) for key, record in last.items()),
        )
        return cls([_entry(entry) for entry in writes.entries], parts, cut)


def swap(fence: Fence, expected: Lease, new: Lease, rest: Rest, *, may_be_first: bool) -> str:
    """Compare and set a lease, with the rest."""
    row = statements.swap_row(expected, new)
    parts = [fence.text(is_grant=new.token > expected.token), f"swapped AS ({filled(_SWAP, row)} RETURNING 1 AS one)"]
    if may_be_first:
        parts.append(f"created AS ({filled(_FIRST, row)} RETURNING 1 AS one)")
    done = "SELECT one FROM swapped" + (" UNION ALL SELECT one FROM created" if may_be_first else "")
    parts.append(f"done AS MATERIALIZED ({done})")
    return _statement(parts, rest.entries, rest.parts, rest.cut)


def write(fence: Fence, rest: Rest) -> list[str]:
    """Write all of this, or nothing, as statements of one transaction."""
    begin = [fence.text(is_grant=False), _DONE]
    parts = [rest.parts[at : at + _CHUNK] for at in range(0, len(rest.parts), _CHUNK)]
    entries = [rest.entries[at : at + _CHUNK] for at in range(0, len(rest.entries), _CHUNK)]
    pairs = list(zip_longest(entries, parts)) or [((), ())]
    return [_statement(begin, row or (), part or (), 0 if at else rest.cut) for at, (row, part) in enumerate(pairs)]


def fenced(fence: Fence, *parts: str) -> str:
    """Do these parts, each of which depends on `done`, if the fence lets them pass."""
    return _statement([fence.text(is_grant=False), _DONE], (), parts)


def _statement(begin: Sequence[str], entries: Sequence[Row], parts: Sequence[str], cut: int = 0) -> str:
    written = list(begin)
    if entries:
        size = sum(ENTRY_BYTES + len(str(row["facts"]).encode()) for row in entries)
        if cut:
            written.append(filled(_CUT, {"cut": cut}))
        count: Row = {"count": len(entries), "bytes": size}
        written.append(filled(_COUNT.format(less=f" - {_SIZE}" if cut else ""), count))
    # the counter has been raised for all of them: the first entry has the lowest id
    numbered = (*(_appended(row, len(entries) - 1 - at) for at, row in enumerate(entries)), *parts)
    written.extend(f"part_{at} AS ({part})" for at, part in enumerate(numbered))
    last, size_now = ("(SELECT id FROM counted)", "(SELECT bytes FROM counted)") if entries else ("NULL", "NULL")
    return f"{', '.join(written)} {_OUTCOME.format(last=last, bytes=size_now)}"


_APPENDED: Final = ", ".join(f'"{name}"' for name in (*statements.APPENDED, "scope"))
_APPENDED_VALUES: Final = ", ".join(f":{name}" for name in (*statements.APPENDED, "scope"))
_APPEND: Final = f"INSERT INTO journal (id, {_APPENDED}) SELECT id - :back, {_APPENDED_VALUES} FROM counted"


def _appended(row: Row, back: int) -> str:
    return filled(_APPEND, row | {"back": back})


def _entry(entry: Entry) -> Row:
    row = ENTRIES.row(entry)
    del row["id"]
    about = entry.facts.get("scope") if entry.group is None and entry.node is None else None
    return row | {"scope": about if isinstance(about, str) else None}


def _put(record: Record) -> str:
    table = statements.TABLES[type(record)]
    return filled(f"{table.insert} SELECT {table.values} FROM done {table.replace}", RECORDS[type(record)].row(record))


def _dropped(key: Key) -> str:
    drop, row = statements.drop(key)
    return filled(drop.replace(" WHERE ", " USING done WHERE ", 1), row)


def _moved(lease: Lease) -> str:
    return filled(statements.SWAP.replace(" WHERE ", " FROM done WHERE ", 1), statements.swap_row(lease, lease))


def after_swap(new: Lease, writes: Writes) -> tuple[Lease, Writes]:
    """Let the swap itself write what a moved lease of its group would write after it."""
    same = [lease for lease in writes.moved if lease.group == new.group]
    others = [lease for lease in writes.moved if lease.group != new.group]
    for lease in same:
        new = lease if is_as_expected(new, lease) else new
    return new, replace(writes, moved=others) if same else writes
