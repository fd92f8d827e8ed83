"""The lease store in memory, for forecasts and tests.

It keeps the contract except for durability. It is deterministic: no thread, no clock, no
randomness. Each call yields to the other tasks before it reads and after it has committed, as a
real store does, so that races appear.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from agbot.rules.ids import GroupId
from agbot.rules.lease import Lease
from agbot.rules.records import Turn
from agbot.rules.seen_time import SeenTime
from agbot.store import statements
from agbot.store.codec import ENTRIES, LEASES
from agbot.store.contract import (
    ENTRY_BYTES,
    NOTHING,
    Entry,
    Generation,
    JournalQuery,
    Lost,
    Pace,
    Stored,
    StoreLockedError,
    StoreUnavailableError,
    Writes,
    at_once,
)
from agbot.store.records import KEPT, Record, key_of
from agbot.store.swaps import is_as_expected, refuse_impossible

_T = TypeVar("_T")


@dataclass(slots=True)
class Content:
    """The content that a file or a database would have."""

    leases: dict[GroupId, Lease] = field(default_factory=dict)
    records: dict[type, dict[tuple[str, ...], Record]] = field(default_factory=lambda: {of: {} for of in KEPT})
    entries: list[Entry] = field(default_factory=list)
    last_id: int = 0
    cursors: dict[str, int] = field(default_factory=dict)
    generation: Generation = field(default_factory=lambda: Generation(id="memory"))


class MemoryStore:
    """A store with the lifetime of this object; reopening it is a restart of the daemon."""

    def __init__(self, content: Content | None = None, fence: Callable[[], None] = lambda: None) -> None:
        """Use `content`, which others may share. `fence` raises if a write is to be refused."""
        self._content = content or Content()
        self._fence = fence
        self._is_open = False

    async def open(self) -> None:
        """Take the lock."""
        if self._is_open:
            message = "this memory store is in use already"
            raise StoreLockedError(message)
        self._is_open = True

    async def close(self) -> None:
        """Release the lock."""
        self._is_open = False

    async def load(self) -> Stored:
        """Return everything but the journal."""
        return await self._call(self._load)

    async def check(self) -> None:
        """Verify that it is open and still of the term that leads: it cannot be replaced."""
        self._refuse_closed()
        self._fence()

    async def settle(self, entry: Entry) -> None:
        """End the doubt, with its entry."""
        entries = _checked(Writes(entries=[entry]))

        def settle() -> None:
            self._content.generation = replace(self._content.generation, doubt="")
            self._write(NOTHING, entries)

        await self._write_call(settle)

    async def lease(self, group: GroupId) -> Lease:
        """Return one lease."""
        return await self._call(lambda: self._lease(group))

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        """Compare and set the lease, with everything that belongs to it."""
        refuse_impossible(expected, new, self._content.generation.token_floor)
        LEASES.row(new)  # fails, as in a file, for a value that cannot be stored
        entries = _checked(writes)

        def swap() -> Lease | Lost:
            current = self._lease(expected.group)
            if not is_as_expected(current, expected):
                return Lost(current=current)
            self._content.leases[new.group] = new
            self._write(writes, entries)
            return new

        return await self._write_call(swap)

    async def write(self, writes: Writes) -> None:
        """Write records and entries."""
        entries = _checked(writes)
        await self._write_call(lambda: self._write(writes, entries))

    async def journal(self, query: JournalQuery) -> Sequence[Entry]:
        """Return journal entries."""
        return await self._call(lambda: self._journal(query))

    async def last_entry_id(self) -> int:
        """Return the newest id."""
        return await self._call(lambda: self._content.last_id)

    async def cursor(self, sink: str) -> int | None:
        """Return how far a sink has confirmed the journal."""
        return await self._call(lambda: self._content.cursors.get(sink))

    async def save_cursor(self, sink: str, entry_id: int) -> None:
        """Advance a sink's cursor."""
        await self._write_call(lambda: self._save_cursor(sink, entry_id))

    async def prune(self, before: datetime, pace: Pace = at_once, *, turns: SeenTime | None = None) -> int:
        """Delete older entries and turns."""
        return await self._write_call(lambda: self._prune(before, turns))

    async def trim(self, most_bytes: int, pace: Pace = at_once) -> int:
        """Delete the oldest entries beyond the limit."""
        return await self._write_call(lambda: self._trim(most_bytes))

    async def _write_call(self, work: Callable[[], _T]) -> _T:
        """Do the work unless the fence refuses it, in the same step."""

        def fenced() -> _T:
            self._fence()
            return work()

        return await self._call(fenced)

    async def _call(self, work: Callable[[], _T]) -> _T:
        """Do the work as one step between two turns of the loop."""
        await asyncio.sleep(0)
        self._refuse_closed()
        result = work()
        await asyncio.sleep(0)
        return result

    def _refuse_closed(self) -> None:
        if not self._is_open:
            message = "the memory store is not open"
            raise StoreUnavailableError(message)

    def _lease(self, group: GroupId) -> Lease:
        return self._content.leases.get(group, Lease(group=group))

    def _write(self, writes: Writes, entries: Sequence[Entry]) -> None:
        content = self._content
        for lease in writes.moved:
            if is_as_expected(self._lease(lease.group), lease):
                content.leases[lease.group] = lease
        for record in writes.put:
            content.records[type(record)][key_of(record).values] = record
        for key in writes.drop:
            content.records[key.of].pop(key.values, None)
        for entry in entries:
            content.last_id += 1
            content.entries.append(replace(entry, id=content.last_id))

    def _load(self) -> Stored:
        return Stored(
            leases=dict(sorted(self._content.leases.items())),
            generation=self._content.generation,
            records=[of_type[values] for of_type in self._content.records.values() for values in sorted(of_type)],
        )

    def _journal(self, query: JournalQuery) -> Sequence[Entry]:
        found = [entry for entry in self._content.entries if _matches(entry, query)]
        in_order = found if query.after is not None else found[::-1]
        return in_order[: max(query.limit, 0)]

    def _save_cursor(self, sink: str, entry_id: int) -> None:
        cursors = self._content.cursors
        cursors[sink] = max(cursors.get(sink, entry_id), entry_id)

    def _prune(self, before: datetime, turns_before: SeenTime | None) -> int:
        content = self._content
        turns = content.records[Turn]
        for place, mark in list(turns.items()):
            if isinstance(mark, Turn) and turns_before is not None and mark.until < turns_before:
                del turns[place]
        kept = [entry for entry in content.entries if entry.at >= before]
        pruned = len(content.entries) - len(kept)
        content.entries = kept
        return pruned

    def _trim(self, most_bytes: int) -> int:
        entries = self._content.entries
        left, kept = most_bytes, 0
        for entry in reversed(entries):
            left -= ENTRY_BYTES + len(str(ENTRIES.row(entry)["facts"]).encode())
            if left < 0:
                break
            kept += 1
        self._content.entries = entries[len(entries) - kept :]
        return len(entries) - kept


def _checked(writes: Writes) -> Sequence[Entry]:
    """Reject what a file could not store, and return the entries as read back from a file."""
    for record in writes.put:
        statements.put(record)
    return [ENTRIES.value(ENTRIES.row(entry), "journal entry") for entry in writes.entries]


def _matches(entry: Entry, query: JournalQuery) -> bool:
    return (
        (query.org is None or _concerns(entry, query.org))
        and query.group in {None, entry.group}
        and query.node in {None, entry.node}
        and (query.since is None or entry.at >= query.since)
        and (query.after is None or entry.id > query.after)
        and (query.before is None or entry.id < query.before)
        and (not query.events or entry.event in query.events)
        and entry.event not in query.without
    )


def _concerns(entry: Entry, org: str) -> bool:
    named = (entry.group, entry.node, entry.facts.get("scope"))
    about = str(next((each for each in named if each is not None), ""))
    return about in {org, "*"} or about.startswith(f"{org}/")
