"""The journal as an outbox: what has been committed since a sink last confirmed something, and how far each sink has come.

An entry is confirmed only after the sink has taken it, and the cursor is written after that: whatever happens in between, the entry is
told again, never not at all. Entries are read in the order of their ids, which is the order of commits, and so per group of tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import structlog

from agbot.store.contract import Entry, JournalQuery, Store, StoreUnavailableError

_POLL_SECONDS = 30.0
"""Nobody waits for this: it is for what no wake-up announces, such as a store that works again."""
_AFTER_A_FAILURE_SECONDS = 1.0
_NEWEST = JournalQuery(limit=1)

_log = structlog.get_logger()


class Outbox:
    """The one reader of the journal's end, and the places of all sinks. A wake-up is a plain call that waits for nothing."""

    def __init__(self, store: Store, *, poll_seconds: float = _POLL_SECONDS) -> None:
        self._store = store
        self.poll_seconds = poll_seconds
        self.end = 0
        """The id of the newest entry that was seen."""
        self._outlets: list[Outlet] = []
        self._woken = asyncio.Event()
        self._is_failing = False

    def outlet(self, sink: str) -> Outlet:
        """Make a place for a sink, before `begin`."""
        self._outlets.append(Outlet(self, self._store, sink))
        return self._outlets[-1]

    async def begin(self) -> None:
        """Find where every sink stands; one that is new begins at the end of the journal.

        Raises:
            StoreUnavailableError: the store cannot be read or written.
        """
        self.end = max((entry.id for entry in await self._store.journal(_NEWEST)), default=0)
        for outlet in self._outlets:
            await outlet.begin()

    def wake(self) -> None:
        """Look for news soon: something was committed, or the sinks may have been waiting for what is known now."""
        self._woken.set()

    async def run(self) -> None:
        """Look for news for ever."""
        while True:
            self._woken.clear()
            newest = await self.read(_NEWEST)
            if newest is None:
                continue
            self.end = max((entry.id for entry in newest), default=self.end)
            for outlet in self._outlets:
                outlet.wake()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.poll_seconds):
                    await self._woken.wait()

    async def read(self, query: JournalQuery) -> Sequence[Entry] | None:
        """Read the journal; None after a moment when that failed, which is told once."""
        try:
            found = await self._store.journal(query)
        except StoreUnavailableError as error:
            if not self._is_failing:
                _log.warning("outbox.failed", error=str(error))
            self._is_failing = True
            await asyncio.sleep(_AFTER_A_FAILURE_SECONDS)
            return None
        if self._is_failing:
            _log.info("outbox.recovered")
        self._is_failing = False
        return found


class Outlet:
    """How far one sink has come. For one task."""

    def __init__(self, outbox: Outbox, store: Store, sink: str) -> None:
        self._outbox = outbox
        self._store = store
        self._sink = sink
        self._news = asyncio.Event()
        self._confirmed = 0
        self._saved = 0

    @property
    def lag(self) -> int:
        """How many entries the sink is behind, as far as ids tell."""
        return max(self._outbox.end - self._confirmed, 0)

    async def begin(self) -> None:
        """Read the cursor, or make one.

        Raises:
            StoreUnavailableError: the store cannot be read or written.
        """
        found = await self._store.cursor(self._sink)
        if found is None:
            found = self._outbox.end
            await self._store.save_cursor(self._sink, found)
        self._confirmed = self._saved = found

    def wake(self) -> None:
        """Let `next` return."""
        self._news.set()

    async def next(self, limit: int) -> Sequence[Entry]:
        """Wait for entries after the last confirmed one. None come when it was woken for another reason, or after a while."""
        await self._save()
        if not self.lag:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._outbox.poll_seconds):
                    await self._news.wait()
        self._news.clear()
        end = self._outbox.end
        if end <= self._confirmed:
            return ()
        found = await self._outbox.read(JournalQuery(after=self._confirmed, limit=limit))
        if found is not None and not found:
            self._confirmed = end  # they grew older than the journal keeps anything while the sink was away
        return found or ()

    def confirm(self, entry: Entry) -> None:
        """Take down that the sink has taken this entry and all before it; the cursor is written before the next ones are read."""
        self._confirmed = entry.id

    async def _save(self) -> None:
        if self._confirmed == self._saved:
            return
        # when it cannot be written, a later one covers it; after a restart before that, some are told again
        with contextlib.suppress(StoreUnavailableError):
            await self._store.save_cursor(self._sink, self._confirmed)
            self._saved = self._confirmed
