"""The store's content in memory, and the writes that change both.

Every write goes to the store first, and into memory after the commit. When it is not known whether
a write has happened, the ledger is no longer trusted and must be loaded again before anything is
decided: no lease is granted on a guess. Swaps of one group's lease happen one after the other. The
cancellation of a caller does not interrupt its write, so memory always follows the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from agbot.coordinator.memory.barrier import Barrier, stops
from agbot.coordinator.memory.contents import Contents
from agbot.rules.ids import GroupId
from agbot.rules.lease import Lease
from agbot.rules.records import Waiter
from agbot.rules.seen_time import ClockMark, Now
from agbot.store.contract import (
    NOTHING,
    Entry,
    Lost,
    Pace,
    Store,
    Stored,
    StoreUnavailableError,
    Writes,
    at_once,
)
from agbot.store.records import Key, key_of

_Result = TypeVar("_Result")


class Ledger(Contents):
    """Leases and records by group, with the writes that change them."""

    def __init__(self, store: Store, clock: Callable[[], ClockMark | None] = lambda: None) -> None:
        """Write to this store, and with each write the seen clock that `clock` returns, if any."""
        super().__init__()
        self._store = store
        self._clock = clock
        self._locks: WeakValueDictionary[GroupId, asyncio.Lock] = WeakValueDictionary()
        """The lock of each group whose lease is being swapped."""
        self._under_way: set[asyncio.Task[Any]] = set()
        self._forgotten = 0
        """How many writes have ended, in whatever way, and are no longer under way."""
        self.barrier = Barrier()
        self.is_trusted = False
        self.was_read = False
        """Whether the store has ever been read."""
        self.failure: StoreUnavailableError | None = None
        """The last error of the store, until it has been read again."""
        self._moved = timedelta()
        """How far dates have been moved since the start. A swap that was prepared earlier is moved
        by the rest."""

    async def load(self) -> None:
        """Read everything from the store again; waiters that have been noted meanwhile are kept.

        Raises:
            StoreUnavailableError: the ledger stays untrusted.
        """
        self.is_trusted = False
        with self._doubting():
            self._take(await self._read())
        self.is_trusted = self.was_read = True
        self.failure = None

    async def _read(self) -> Stored:
        while True:
            ended = self._ended()
            stored = await self._store.load()
            # a write that ended meanwhile may be missing in it, also one whose answer was lost
            if self._ended() == ended:
                return stored

    def _ended(self) -> int:
        """Return how many writes have ended."""
        # one that has just ended is forgotten a step of the event loop later
        return self._forgotten + sum(task.done() for task in self._under_way)

    @property
    def distrust(self) -> str:
        """Why the ledger is not trusted. It has a meaning only while it is not."""
        why = f": {self.failure}" if self.failure is not None else ""
        return f"the lease store has not been read {'since it failed' if self.was_read else 'yet'}{why}"

    async def swap(
        self, expected: Lease, new: Lease, writes: Writes = NOTHING, done: Callable[[Lease | Lost], None] | None = None
    ) -> Lease | Lost:
        """Compare and set in the store, then in memory. See `agbot.store.contract.Store.swap`.

        `done` is called with the outcome, as in `finish`.
        """
        is_grant = new.token > expected.token
        if is_grant:
            self.granting[new.group] = new
            self.tally.update(new.group)
        self.leaving.update(writes.drop)
        swap = partial(self._swap, expected, new, writes, self._moved)
        # a grant drops the allowance that it uses, which is no withdrawal
        if stops(replace(writes, drop=()) if is_grant else writes):
            return await self.finish(self._stop(swap), done=done)
        return await self.finish(swap(), is_grant=is_grant, done=done)

    async def read_again(self, group: GroupId) -> Lease:
        """Read a lease again that may have been granted in the store itself, by the guard."""
        async with self._lock(group):
            with self._doubting():
                lease = await self._store.lease(group)
            if lease != self.lease(group):
                self.leases[group] = lease
                self.tally.update(group)
            return lease

    async def write(self, writes: Writes, done: Callable[[None], None] | None = None) -> None:
        """Write records and entries to the store, then to memory.

        Waiters are dropped from memory at once: a node that asks meanwhile becomes a new waiter.
        """
        leaving = [key for key in writes.drop if key.of is Waiter]
        for key in leaving:
            self._drop(key)
        write = partial(self._write, writes, leaving)
        await self.finish(self._stop(write) if stops(writes) else write(), done=done)

    async def move(self, begin: Callable[[], tuple[timedelta, Writes]]) -> None:
        """Move the date of every lease, with what `begin` returns when no swap is under way.

        That is the step, and what is written too. Swaps that wait meanwhile are moved as well.
        """
        await self.finish(self._move(begin))

    async def renew(self, renewed: Sequence[tuple[Lease, Lease]], done: Callable[[None], None] | None = None) -> None:
        """Write leases that only get another expiry, all in one transaction.

        Each is a lease as it was known, and renewed. One that has changed meanwhile stays as it is.
        """
        await self.finish(self._renew(renewed, self._moved), done=done)

    async def settle_generation(self, entry: Entry, done: Callable[[None], None]) -> None:
        """End the doubt about the store's generation, in the store, then in memory."""
        await self.finish(self._settle(entry), done=done)

    async def check(self) -> None:
        """Check that the store is still the one that was opened.

        Raises:
            StoreUnavailableError: it is not; the ledger is no longer trusted.
        """
        with self._doubting():
            await self._store.check()

    async def prune(self, age: timedelta, now: Now, pace: Pace = at_once) -> None:
        """Drop what is older than this: journal entries, and turns that members have had.

        The store drops the same.
        """
        # Entries by their date, and turns in seen time, which lags behind by all blindness there
        # has been: by the date, a turn of this minute would be old once that is more than the age.
        turns_before = now.seen - age
        with self._doubting():
            await self._store.prune(now.wall - age, pace, turns=turns_before)
        for group, turns in self.turns.items():
            self.turns[group] = {node: mark for node, mark in turns.items() if mark.until >= turns_before}

    async def trim(self, most_bytes: int, pace: Pace = at_once) -> None:
        """Drop the oldest entries of the journal until it takes at most this many bytes."""
        with self._doubting():
            await self._store.trim(most_bytes, pace)

    async def settle(self) -> None:
        """Wait for the writes under way, at shutdown."""
        while self._under_way:  # one of them may begin another
            await asyncio.wait(self._under_way)

    async def _stop(self, write: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
        async with self.barrier.closed():
            return await write()

    async def finish(
        self,
        write: Coroutine[Any, Any, _Result],
        *,
        is_grant: bool = False,
        done: Callable[[_Result], None] | None = None,
    ) -> _Result:
        """Complete a write, and call `done` with its result, even if its caller is cancelled."""
        task = asyncio.ensure_future(write)
        self._under_way.add(task)
        if is_grant:
            self.barrier.passing(task)
        task.add_done_callback(self._forget)
        if done is not None:  # before the shield's own callback: before the caller goes on
            task.add_done_callback(partial(_report, done))
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        self._forgotten += 1
        if not task.cancelled():
            # a cancelled caller does not retrieve it; the ledger is already untrusted
            task.exception()

    async def _swap(self, expected: Lease, new: Lease, writes: Writes, moved: timedelta) -> Lease | Lost:
        async with self._lock(new.group):
            since = self._moved - moved
            expected, new = (expected.moved(since), new.moved(since)) if since else (expected, new)
            try:
                if self._is_outdated(expected, new):
                    return Lost(current=self.lease(new.group))
                writes = self._with_clock(writes)
                with self._doubting():
                    outcome = await self._store.swap(expected, new, writes)
                self.leases[new.group] = outcome.current if isinstance(outcome, Lost) else outcome
            finally:
                self.granting.pop(new.group, None)
                self.leaving.difference_update(writes.drop)
                self.tally.update(new.group)
            if not isinstance(outcome, Lost):
                self._apply(writes)
            return outcome

    def _lock(self, group: GroupId) -> asyncio.Lock:
        """Return the lock of a group, which exists while one caller holds it or waits for it."""
        return self._locks.setdefault(group, asyncio.Lock())

    def _is_outdated(self, expected: Lease, new: Lease) -> bool:
        """Whether a change within one tenure was derived from another lease than the present one.

        The store compares only token and state. That distinguishes grants and ends, but of two
        callers that see the same report at the same moment, or end the same rest, both would report
        it.
        """
        stays = (new.token, new.state) == (expected.token, expected.state)
        return stays and self.lease(new.group) != expected

    def _with_clock(self, writes: Writes) -> Writes:
        # After a restart the clock must not be behind any stored moment. So it is that of the write
        # itself: one that has waited for a lock would set it back behind the writes of meanwhile.
        mark = self._clock()
        return writes if mark is None else replace(writes, put=(*writes.put, mark))

    async def _write(self, writes: Writes, done: Sequence[Key] = ()) -> None:
        writes = self._with_clock(writes)
        with self._doubting():
            await self._store.write(writes)
        put = [record for record in writes.put if not isinstance(record, Waiter) or key_of(record) not in done]
        self._apply(replace(writes, put=put, drop=[key for key in writes.drop if key not in done]))

    async def _move(self, begin: Callable[[], tuple[timedelta, Writes]]) -> None:
        async with AsyncExitStack() as swaps:
            # A swap that begins now waits for the new dates. In order, as in `_renew`: two that
            # take several locks must not wait for each other.
            for group in sorted({*self.leases, *self._locks}):
                await swaps.enter_async_context(self._lock(group))
            step, writes = begin()
            await self._write(replace(writes, moved=[lease.moved(step) for lease in self.leases.values()]))
            self._moved += step

    async def _renew(self, renewed: Sequence[tuple[Lease, Lease]], moved: timedelta) -> None:
        async with AsyncExitStack() as swaps:
            for group in sorted(known.group for known, _ in renewed):
                await swaps.enter_async_context(self._lock(group))
            since = self._moved - moved
            left = [new.moved(since) for known, new in renewed if self.lease(known.group) == known.moved(since)]
            writes = self._with_clock(NOTHING)
            with self._doubting():
                await self._store.write(replace(writes, moved=left))
            # state and holder are the same, so nothing that is counted or due has changed
            self.leases.update((lease.group, lease) for lease in left)
            self._apply(writes)

    async def _settle(self, entry: Entry) -> None:
        with self._doubting():
            await self._store.settle(entry)
        self.generation = replace(self.generation, doubt="")

    @contextmanager
    def _doubting(self) -> Iterator[None]:
        """Use the store: if it fails, the ledger is no longer trusted."""
        try:
            yield
        except StoreUnavailableError as error:
            self.is_trusted, self.failure = False, error
            raise


def _report(done: Callable[[_Result], None], task: asyncio.Task[_Result]) -> None:
    if not task.cancelled() and task.exception() is None:
        done(task.result())
