"""The journal as an outbox: what has been committed since a sink last confirmed something, and how far each sink has come.

An entry is confirmed only after the sink has taken it, and the cursor is written after that: whatever happens in between, the entry is
told again, never not at all. Entries are read in the order of their ids, which is the order of commits, and so per group of tokens.

The journal keeps nothing for ever. An id that is missing was committed and is gone (`agbot.store.contract`): a sink that had not taken it
never will, and that is an event of its own, which is written to the journal before the sink goes on behind the gap. So is an entry that a
receiver refuses and that a sink passes over.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import structlog

from agbot.clock import Clock
from agbot.store.contract import Entry, JournalQuery, Store, StoreUnavailableError, Writes

_POLL_SECONDS = 30.0
"""Nobody waits for this: it is for what no wake-up announces, such as a store that works again."""
_AFTER_A_FAILURE_SECONDS = 1.0

_log = structlog.get_logger()
T = TypeVar("T")


class Outbox:
    """The one reader of the journal's end, and the places of all sinks. A wake-up is a plain call that waits for nothing."""

    def __init__(
        self, store: Store, clock: Clock, tell: Callable[[Entry], None], *, poll_seconds: float = _POLL_SECONDS
    ) -> None:
        """Take who hears of what is lost, after it was committed: as of any other entry."""
        self._store = store
        self._clock = clock
        self._tell = tell
        self.poll_seconds = poll_seconds
        self.end = 0
        """The id of the newest entry that is known of; it may be gone."""
        self._outlets: list[Outlet] = []
        self._woken = asyncio.Event()
        self._is_failing = False

    def outlet(self, sink: str, about: Mapping[str, object]) -> Outlet:
        """Make a place for a sink, before `begin`. `about` says in an event whose place it is."""
        self._outlets.append(Outlet(self, self._store, sink, about))
        return self._outlets[-1]

    async def begin(self) -> None:
        """Find where every sink stands; one that is new begins at the end of the journal.

        Raises:
            StoreUnavailableError: the store cannot be read or written.
        """
        self.end = await self._store.last_entry_id()
        for outlet in self._outlets:
            await outlet.begin()

    def wake(self) -> None:
        """Look for news soon: something was committed, or the sinks may have been waiting for what is known now."""
        self._woken.set()

    async def run(self) -> None:
        """Look for news for ever."""
        while True:
            self._woken.clear()
            newest = await self._answer(self._store.last_entry_id())
            if newest is None:
                continue
            self.end = newest
            for outlet in self._outlets:
                outlet.wake()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.poll_seconds):
                    await self._woken.wait()

    async def read(self, query: JournalQuery) -> Sequence[Entry] | None:
        """Read the journal; None after a moment when that failed, which is told once."""
        return await self._answer(self._store.journal(query))

    async def note(self, event: str, facts: Mapping[str, object]) -> bool:
        """Take down that a sink will never be told of something; False after a moment when that failed."""
        entry = Entry(at=self._clock.now(), event=event, facts=facts)
        try:
            await self._store.write(Writes(entries=[entry]))
        except StoreUnavailableError:
            await asyncio.sleep(_AFTER_A_FAILURE_SECONDS)
            return False
        self._tell(entry)
        return True

    async def _answer(self, question: Awaitable[T]) -> T | None:
        try:
            found = await question
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

    def __init__(self, outbox: Outbox, store: Store, sink: str, about: Mapping[str, object]) -> None:
        self._outbox = outbox
        self._store = store
        self._sink = sink
        self._about = about
        self._news = asyncio.Event()
        self._confirmed = 0
        self._saved = 0

    @property
    def lag(self) -> int:
        """How many entries the sink is behind, those included that are gone."""
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
        """Wait for entries after the last confirmed one. None come when it was woken for another reason, or after a while.

        Those that are gone from the journal are told as lost first, and passed over.
        """
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
        if found is None:
            return ()
        first = found[0].id if found else end + 1
        if first > self._confirmed + 1 and not await self._lose_up_to(first - 1):
            return ()
        return without_gap(found)

    async def keeps(self, entry: Entry) -> bool:
        """Whether the journal still has this entry, as far as is known."""
        found = await self._outbox.read(JournalQuery(after=entry.id - 1, limit=1))
        return found is None or [each.id for each in found] == [entry.id]

    async def following(self, entry: Entry, limit: int) -> Sequence[Entry]:
        """Return so many entries behind this one at most, as far as is known."""
        return await self._outbox.read(JournalQuery(after=entry.id, limit=limit)) or ()

    async def pass_over(self, entries: Sequence[Entry], why: str, **about: str) -> bool:
        """Take down that the receiver does not take these entries and is not told of them any more. To be confirmed afterwards.

        What refuses even that is not written down again, or each note would call for the next. False after a moment when it failed.
        """
        numbers = [entry.id for entry in entries if entry.event != "delivery.refused"]
        facts = {**self._about, **about, "error": why}
        if numbers:
            return await self._outbox.note("delivery.refused", {**facts, "numbers": numbers})
        _log.error("delivery.refused", **facts)
        return True

    def confirm(self, entry: Entry) -> None:
        """Take down that the sink has taken this entry and all before it; the cursor is written before the next ones are read."""
        self._confirmed = entry.id

    async def _lose_up_to(self, last: int) -> bool:
        if not await self._outbox.note("delivery.lost", {**self._about, "first": self._confirmed + 1, "last": last}):
            return False
        self._confirmed = last
        await self._save()  # or it would be told again after a restart
        return True

    async def _save(self) -> None:
        if self._confirmed == self._saved:
            return
        # when it cannot be written, a later one covers it; after a restart before that, some are told again
        with contextlib.suppress(StoreUnavailableError):
            await self._store.save_cursor(self._sink, self._confirmed)
            self._saved = self._confirmed


def without_gap(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return the entries as far as the first that does not follow the one before: what was between them is gone."""
    return [entry for number, entry in enumerate(entries, entries[0].id if entries else 0) if entry.id == number]
