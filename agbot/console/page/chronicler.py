"""Keeps the chronicle of the rollouts up to date: reads the journal once, and then what is new.

The first read may take seconds on a large journal. It begins with the first request and goes on by
itself; until it ends, a view shows what has been read and says so.
"""

from __future__ import annotations

import asyncio
from typing import Final

from agbot.console.page.chronicle import READ, Chronicle
from agbot.console.streaming import newest_id
from agbot.coordinator.operations import Operations
from agbot.store.contract import JournalQuery, StoreError

_AT_ONCE: Final = 500
"""Entries that one read passes over: the store does nothing else meanwhile, for some 10 ms."""
_PATIENCE_SECONDS: Final = 1.0


class Chronicler:
    """Follows the journal of one console."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._reading: asyncio.Task[None] | None = None
        self.chronicle = Chronicle()
        self.lack = ""
        """What the chronicle lacks, in a sentence; empty if nothing."""

    async def current(self) -> Chronicle:
        """Return the chronicle with what is new, or as far as it was read within a moment."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        reading = self._reading
        # not `wait_for`, which would cancel the read for everyone that waits for it
        await asyncio.wait({reading}, timeout=_PATIENCE_SECONDS)
        self.lack = "" if reading.done() else "The journal is still being read: the past is not complete yet."
        if reading.done() and isinstance(failure := reading.exception(), StoreError):
            self.lack = f"The journal cannot be read, so the past is missing: {failure}"
        elif reading.done() and failure is not None:
            raise failure
        return self.chronicle

    async def stop(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        """Read piece by piece, with both ends given: most entries are waits, which are left out."""
        last, chronicle = await newest_id(self._operations), self.chronicle
        if not last:
            return
        # An older copy of the store, or another one, has replaced the one that was read: what the
        # chronicle has after its end did not happen, and what happens now would be passed over.
        if last < chronicle.last_id:
            chronicle = self.chronicle = Chronicle()
        if not chronicle.last_id:  # the first entries were deleted long ago, perhaps a million of them
            oldest = await self._operations.journal(JournalQuery(after=0, limit=1))
            chronicle.last_id = oldest[0].id - 1 if oldest else last
        while chronicle.last_id < last:
            end = min(chronicle.last_id + _AT_ONCE, last)
            query = JournalQuery(after=chronicle.last_id, before=end + 1, events=READ, limit=_AT_ONCE)
            chronicle.take(await self._operations.journal(query))
            chronicle.last_id = end  # also where none of these entries was of a rollout
