"""A store that lets somebody else hear every journal entry when it has been committed. Everything it does, another store does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from agbot.rules.ids import GroupId
from agbot.rules.lease import Lease
from agbot.store.contract import NOTHING, Entry, JournalQuery, Lost, Pace, Store, Stored, Writes, at_once


class OverheardStore:
    """See `agbot.store.contract.Store` for the promises; they are those of the store inside."""

    def __init__(self, inner: Store, hear: Callable[[Entry], None]) -> None:
        self._inner = inner
        self._hear = hear

    async def open(self) -> None:
        """Make the store inside ready."""
        await self._inner.open()

    async def close(self) -> None:
        """Close the store inside."""
        await self._inner.close()

    async def load(self) -> Stored:
        """Read everything that is live."""
        return await self._inner.load()

    async def check(self) -> None:
        """Make sure that the store inside is still there."""
        await self._inner.check()

    async def settle(self, entry: Entry) -> None:
        """End the doubt of the store's generation, then let the entry be heard."""
        await self._inner.settle(entry)
        self._hear(entry)

    async def lease(self, group: GroupId) -> Lease:
        """Read one lease."""
        return await self._inner.lease(group)

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        """Compare and set; the entries are heard unless the race was lost."""
        outcome = await self._inner.swap(expected, new, writes)
        if not isinstance(outcome, Lost):
            self._tell(writes)
        return outcome

    async def write(self, writes: Writes) -> None:
        """Write records and entries, then let the entries be heard."""
        await self._inner.write(writes)
        self._tell(writes)

    async def journal(self, query: JournalQuery) -> Sequence[Entry]:
        """Read journal entries."""
        return await self._inner.journal(query)

    async def last_entry_id(self) -> int:
        """Return the newest id."""
        return await self._inner.last_entry_id()

    async def cursor(self, sink: str) -> int | None:
        """Return how far a sink has confirmed the journal."""
        return await self._inner.cursor(sink)

    async def save_cursor(self, sink: str, entry_id: int) -> None:
        """Move a sink's cursor on."""
        await self._inner.save_cursor(sink, entry_id)

    async def prune(self, before: datetime, pace: Pace = at_once) -> int:
        """Delete what is older."""
        return await self._inner.prune(before, pace)

    async def trim(self, most_bytes: int, pace: Pace = at_once) -> int:
        """Delete what is too much."""
        return await self._inner.trim(most_bytes, pace)

    def _tell(self, writes: Writes) -> None:
        for entry in writes.entries:
            self._hear(entry)
