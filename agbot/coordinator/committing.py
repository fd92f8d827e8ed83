"""Commits changes, and publishes their events after that: the one way to the store.

If the store fails, it is not known whether the write has happened, and the ledger is no longer
trusted (`StoreUnavailableError`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from agbot.coordinator.clocks.dates import Dates
from agbot.coordinator.memory.ledger import Ledger
from agbot.events.event import Event
from agbot.events.process import ClockStepped
from agbot.events.store import StoreSettled
from agbot.rules.lease import Lease
from agbot.rules.records import Approval, Deferral
from agbot.rules.seen_time import Now
from agbot.store.contract import Entry, Lost, StoreUnavailableError, Writes
from agbot.transitions.change import NO_CHANGE, Change

Publish = Callable[[Entry], None]
"""Logs and delivers an entry."""


@dataclass(slots=True, kw_only=True)
class Committing:
    """The part of the situation that writes. `publish` gets every entry after its commit."""

    ledger: Ledger
    dates: Dates
    publish: Publish
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    def now(self) -> Now:
        """Return the present moment, in both kinds of time."""
        return self.dates.now()

    def report_event(self, event: Event) -> None:
        """Publish an event of this moment that is not in the journal."""
        self.publish(Entry.of(event, self.now().wall))

    async def commit(self, *changes: Change) -> bool:
        """Commit changes in one transaction, then report their events.

        Only the first may change a lease.

        False: the lease has been changed meanwhile, and nothing was written.
        """
        writes = Writes(
            put=[record for change in changes for record in change.put],
            drop=[key for change in changes for key in change.drop],
            entries=[Entry.of(event, change.at or self.now().wall) for change in changes for event in change.events],
        )
        first = changes[0] if changes else NO_CHANGE

        def written(outcome: Lease | Lost | None) -> None:
            if not isinstance(outcome, Lost):
                self._written(writes.entries)

        # Not after the write, but with it: who asks may stop waiting in the middle of it, and what
        # is committed all the same must be logged, counted and delivered.
        if first.before is None or first.after is None:
            await self.ledger.write(writes, written)
            return True
        return not isinstance(await self.ledger.swap(first.before, first.after, writes, written), Lost)

    async def commit_due(self, due: Callable[[], Change]) -> Change:
        """Commit what is due, one call after the other; return what it was.

        Each call derives what is due after the commit of the call before. Of two that find the
        same, the second finds it written, so it happens once and is reported once.
        """
        return await self.ledger.finish(self._commit_due(due))

    async def _commit_due(self, due: Callable[[], Change]) -> Change:
        async with self._one_at_a_time:
            change = due()
            if change:
                await self.commit(change)
            return change

    async def commit_renewals(self, renewed: Sequence[tuple[Lease, Lease]]) -> None:
        """Write leases that only get another expiry; see `Ledger.renew`."""
        await self.ledger.renew(renewed, lambda _: self._written())

    async def save_clock(self, *, at_once: bool = False) -> None:
        """Write the seen clock to the store if that is due."""
        if self.dates.unsaved(at_once=at_once) is not None:
            await self.commit()

    async def move_along(self) -> None:
        """After a step of the date, move the moments that are compared with the Exchange's stamps.

        This happens in one transaction, and is reported.
        """
        self.now()  # notices a step
        # to its end, as in `commit`: who has found the step may stop waiting
        if self.dates.unmoved and self.ledger.is_trusted:
            await self.ledger.finish(self._move_along())

    async def _move_along(self) -> None:
        entries: list[Entry] = []
        step = timedelta()

        def begin() -> tuple[timedelta, Writes]:
            nonlocal step
            # with the clock that is written along, which must not be moved without the moments
            step, self.dates.unmoved = self.dates.unmoved, timedelta()
            entries.append(Entry.of(ClockStepped(seconds=round(step.total_seconds(), 3)), self.now().wall))
            return step, Writes(
                put=[replace(each, since=each.since + step) for each in self._stamped()], entries=entries
            )

        async with self._one_at_a_time:
            if not self.dates.unmoved or not self.ledger.is_trusted:
                return  # another call has moved them, or has failed to
            try:
                await self.ledger.move(begin)
            except StoreUnavailableError:
                self.dates.unmoved += step
                raise
            self._written(entries)

    def _stamped(self) -> Iterator[Deferral | Approval]:
        for of_group in self.ledger.deferrals.values():
            yield from of_group.values()
        yield from self.ledger.approvals.values()

    async def settle_store(self, event: StoreSettled) -> None:
        """End the doubt about the store's generation, and report what ended it and why."""
        entry = Entry.of(event, self.now().wall)
        await self.ledger.settle_generation(entry, lambda _: self.publish(entry))

    def _written(self, entries: Iterable[Entry] = ()) -> None:
        self.dates.saved()
        for entry in entries:
            self.publish(entry)
