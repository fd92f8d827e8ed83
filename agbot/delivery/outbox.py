"""The journal as an outbox: the entries after each sink's cursor, and the entries that it lost.

An entry is confirmed after the sink has delivered it, and the cursor is written after that. So
after a crash an entry may be delivered again, but none is left out. Entries are read in the order
of their ids, which is the order of commits, and so per group the order of tokens.

The journal is limited. An id that is missing was committed and dropped (`agbot.store.contract`): a
sink that had not delivered it never will. That is an event of its own, which is journalled before
the sink continues after the gap. So is an entry that a receiver refuses and a sink skips.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from agbot import log
from agbot.clock import Clock
from agbot.events.delivering import DeliveryLost, DeliveryRefused, OutboxFailed, OutboxRecovered
from agbot.events.event import Event
from agbot.events.outage import Outage
from agbot.store.contract import Entry, JournalQuery, Store, StoreUnavailableError, Writes

_POLL_SECONDS = 30.0
"""For changes without a wake-up, such as a store that has recovered."""
_AFTER_A_FAILURE_SECONDS = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """The kind of a sink and its receiver, for events about them."""

    sink: str
    receiver: str


class Outbox:
    """Reads the end of the journal for all sinks. A wake-up is a plain call that does not wait."""

    def __init__(
        self, store: Store, clock: Clock, report: Callable[[Entry], None], *, poll_seconds: float = _POLL_SECONDS
    ) -> None:
        """Set `report`, which receives the outbox's own entries after their commit."""
        self._store = store
        self._clock = clock
        self._report = report
        self.poll_seconds = poll_seconds
        self.end = 0
        """The id of the newest known entry, which may have been dropped."""
        self._outlets: list[Outlet] = []
        self._woken = asyncio.Event()
        self._outage = Outage()

    def outlet(self, sink: str, destination: Destination) -> Outlet:
        """Add a sink by the name of its cursor, before `begin`; `destination` is for events."""
        self._outlets.append(Outlet(self, self._store, sink, destination))
        return self._outlets[-1]

    def use(self, store: Store) -> None:
        """Read the journal of this store from the next `begin` on. No sink may be running."""
        self._store = store
        for outlet in self._outlets:
            outlet.use(store)

    async def begin(self) -> None:
        """Read the cursor of every sink; a new one begins at the end of the journal.

        Raises:
            StoreUnavailableError: the store cannot be read or written.
        """
        self.end = await self._store.last_entry_id()
        for outlet in self._outlets:
            await outlet.begin()

    def wake(self) -> None:
        """Read the journal soon, because entries were committed or can now be delivered."""
        self._woken.set()

    async def run(self) -> None:
        """Follow the end of the journal, without end."""
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

    async def newest(self) -> int:
        """Return the id of the newest entry; 0, after a delay, if the journal cannot be read."""
        return await self._answer(self._store.last_entry_id()) or 0

    async def read(self, query: JournalQuery) -> Sequence[Entry] | None:
        """Read the journal; None, after a delay, if that failed, which is logged once."""
        return await self._answer(self._store.journal(query))

    async def note(self, event: Event) -> bool:
        """Journal an event; False, after a delay, if that failed."""
        entry = Entry.of(event, self._clock.now())
        try:
            await self._store.write(Writes(entries=[entry]))
        except StoreUnavailableError:
            await asyncio.sleep(_AFTER_A_FAILURE_SECONDS)
            return False
        self._report(entry)
        return True

    async def _answer(self, question: Awaitable[T]) -> T | None:
        try:
            found = await question
        except StoreUnavailableError as error:
            if self._outage.begins(str(error)):
                log.write(OutboxFailed(error=str(error)))
            await asyncio.sleep(_AFTER_A_FAILURE_SECONDS)
            return None
        if self._outage.ends():
            log.write(OutboxRecovered())
        return found


class Outlet:
    """The position of one sink in the journal. For one task."""

    def __init__(self, outbox: Outbox, store: Store, sink: str, destination: Destination) -> None:
        self._outbox = outbox
        self._store = store
        self._sink = sink
        self._destination = destination
        self._news = asyncio.Event()
        self._confirmed = 0
        self._saved = 0

    def use(self, store: Store) -> None:
        """Keep the cursor in this store from now on."""
        self._store = store

    @property
    def confirmed(self) -> int:
        """The id of the last entry that is done."""
        return self._confirmed

    @property
    def lag(self) -> int:
        """How many entries the sink is behind, including dropped ones."""
        return max(self._outbox.end - self._confirmed, 0)

    async def begin(self) -> None:
        """Read the cursor, or create it.

        Raises:
            StoreUnavailableError: the store cannot be read or written.
        """
        found = await self._store.cursor(self._sink)
        if found is None:
            # written at once: after a restart before the first event, those of meanwhile are its
            # own
            found = self._outbox.end
            await self._store.save_cursor(self._sink, found)
        self._confirmed = self._saved = found

    def wake(self) -> None:
        """Let `next` return."""
        self._news.set()

    async def next(self, limit: int) -> Sequence[Entry]:
        """Wait for entries after the last confirmed one, and return them.

        The result is empty after a wake-up for another reason, and after some time without any.
        Entries that were dropped from the journal are reported as lost first, and skipped.
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
        # None although the end is higher: all of them have been dropped
        first = found[0].id if found else end + 1
        if first > self._confirmed + 1 and not await self._report_loss(first - 1):
            return ()
        return without_gap(found)

    async def keeps(self, entry: Entry) -> bool:
        """Whether the journal still has this entry; True if that is not known."""
        found = await self._outbox.read(JournalQuery(after=entry.id - 1, limit=1))
        return found is None or [each.id for each in found] == [entry.id]

    async def following(self, entry: Entry, limit: int) -> Sequence[Entry]:
        """Return at most `limit` entries after this one; none if the journal cannot be read."""
        return await self._outbox.read(JournalQuery(after=entry.id, limit=limit)) or ()

    async def skip(self, entries: Sequence[Entry], why: str, topic: str = "") -> bool:
        """Report that the receiver does not accept these entries.

        The caller confirms them afterwards. False, after a delay, if that could not be written.
        """
        # a refused report of a refusal is only logged, because each report would cause the next one
        numbers = tuple(entry.id for entry in entries if entry.event != DeliveryRefused.name)
        refused = DeliveryRefused(
            sink=self._destination.sink, receiver=self._destination.receiver, error=why, topic=topic, numbers=numbers
        )
        if numbers:
            return await self._outbox.note(refused)
        log.write(refused)
        return True

    def confirm(self, entry: Entry) -> None:
        """Note that this entry and all before it are done; `next` writes the cursor."""
        self._confirmed = entry.id

    async def _report_loss(self, last: int) -> bool:
        sink, receiver = self._destination.sink, self._destination.receiver
        lost = DeliveryLost(sink=sink, receiver=receiver, first=self._confirmed + 1, last=last)
        if not await self._outbox.note(lost):
            return False
        self._confirmed = last
        await self._save()  # or the loss would be reported again after a restart
        return True

    async def _save(self) -> None:
        if self._confirmed == self._saved:
            return
        # if this write fails, a later one covers it; a restart before that delivers some entries
        # again
        with contextlib.suppress(StoreUnavailableError):
            await self._store.save_cursor(self._sink, self._confirmed)
            self._saved = self._confirmed


def without_gap(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return the entries before the first gap: what was in the gap has been dropped."""
    return [entry for number, entry in enumerate(entries, entries[0].id if entries else 0) if entry.id == number]
