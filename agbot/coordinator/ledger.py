"""The store's content in memory: what the coordinator decides on without asking the store.

Every write goes to the store first and into memory after it has been committed. When a write may or may not have happened, the ledger
is no longer trusted and must be loaded anew before anything is decided: a lease is never granted on a guess. Writes of one group happen one
after the other, and a caller that is cancelled does not stop its write half way: memory follows the store in any case.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from agbot.coordinator.gate import Gate, stops
from agbot.rules.facts import Allowance, Approval, Ask, Brake, Contact, Deferral, Pause, Served, Waiter
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind, Lease, State
from agbot.rules.seen_time import ClockMark, SeenTime
from agbot.store.contract import (
    NOTHING,
    Entry,
    Generation,
    Lost,
    Pace,
    Store,
    Stored,
    StoreUnavailableError,
    Writes,
    at_once,
)
from agbot.store.records import KEPT, Key, Record, key_of, waiter_name
from agbot.store.swaps import is_as_expected

_Result = TypeVar("_Result")


class Ledger:
    """Leases and records by group, as the store has them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._locks: defaultdict[GroupId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._under_way: set[asyncio.Task[Any]] = set()
        self.gate = Gate()
        self.is_trusted = False
        self.was_read = False
        """Whether the store was ever read."""
        self.failure = ""
        """What the store said when a write failed, until it has been read anew."""
        self.leases: dict[GroupId, Lease] = {}
        self.granting: dict[GroupId, Lease] = {}
        """Grants on their way to the store. What counts groups, counts them: many agents ask in the same moment."""
        self.leaving: set[Key] = set()
        """What a grant on its way to the store takes away with it: nobody else ends that, or tells that it has ended."""
        self.brakes: defaultdict[GroupId, dict[tuple[Kind, PolicyId], Brake]] = defaultdict(dict)
        self.deferrals: defaultdict[GroupId, dict[NodeId, Deferral]] = defaultdict(dict)
        self.served: defaultdict[GroupId, dict[NodeId, Served]] = defaultdict(dict)
        self.waiters: defaultdict[GroupId, dict[tuple[str, ...], Waiter]] = defaultdict(dict)
        self.contacts: dict[NodeId, Contact] = {}
        self.pauses: dict[str, Pause] = {}
        self.allowances: dict[NodeId, Allowance] = {}
        self.approvals: dict[tuple[str, ...], Approval] = {}
        self._records: Mapping[type, dict[Any, Any]] = {
            Allowance: self.allowances,
            Approval: self.approvals,
            Brake: self.brakes,
            Contact: self.contacts,
            Deferral: self.deferrals,
            Pause: self.pauses,
            Served: self.served,
            Waiter: self.waiters,
        }
        self.generation = Generation()
        self.clock_mark: ClockMark | None = None
        """How far the seen clock had come when that was last written."""
        self._moved = timedelta()
        """How far dates have been moved since the start: what was put together before is behind by the rest."""
        self.version = 0
        """Rises with every change of a lease, a brake or a waiter: what is derived from all of them is derived anew then."""

    async def load(self) -> None:
        """Read everything anew from the store; waiters that were noted since are kept.

        Raises:
            StoreUnavailableError: the ledger stays untrusted.
        """
        self.is_trusted = False
        self._take(await self._store.load())
        self.is_trusted = self.was_read = True
        self.failure = ""

    @property
    def distrust(self) -> str:
        """Why the ledger is not trusted, while it is not."""
        return f"the lease store has not been read {'since it failed' if self.was_read else 'yet'}"

    def waiter(self, ask: Ask) -> Waiter | None:
        """Return who waits with this question."""
        return self.waiters[ask.group].get(waiter_name(ask))

    def lease(self, group: GroupId) -> Lease:
        """Return the group's lease; one that never had any has a free lease with token 0."""
        return self.leases.get(group) or Lease(group=group)

    def occupied(self) -> Iterator[Lease]:
        """Yield every lease that is held or suspect, by group."""
        return (self.leases[group] for group in sorted(self.leases) if self.leases[group].state is not State.FREE)

    def ended(self) -> Iterator[Lease]:
        """Yield every lease of which the last end is known and nothing was granted since: an agbot that does not ask does not rest."""
        known = (lease for lease in self.leases.values() if lease.last_end is not None)
        return (lease for lease in known if lease.hold is None or lease.hold.progress.observed)

    def groups_that_matter(self) -> list[GroupId]:
        """Return the groups with a lease, a waiter or a deferral, sorted."""
        found = {lease.group for lease in self.occupied()}
        found.update(group for group, waiters in self.waiters.items() if waiters)
        found.update(group for group, deferrals in self.deferrals.items() if deferrals)
        return sorted(found)

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        """Compare and set in the store, then here. See `agbot.store.contract.Store.swap`."""
        is_grant = new.token > expected.token
        if is_grant:
            self.granting[new.group] = new
            self.version += 1
        self.leaving.update(writes.drop)
        swap = self._swap(expected, new, writes, self._moved)
        if stops(writes):
            return await self.finish(self._stop(swap))
        return await self.finish(swap, is_grant=is_grant)

    async def write(self, writes: Writes) -> None:
        """Write records and entries to the store, then here. A waiter is dropped here at once: whoever asks meanwhile waits anew."""
        leaving = [key for key in writes.drop if key.of is Waiter]
        for key in leaving:
            self._drop(key)
        write = self._write(writes, leaving)
        await self.finish(self._stop(write) if stops(writes) else write)

    async def move(self, step: timedelta, writes: Writes) -> None:
        """Write these, and with them every lease with its date moved by this. Swaps that wait meanwhile are moved as well."""
        await self.finish(self._move(step, writes))

    async def settle_generation(self, entry: Entry) -> None:
        """End the doubt of the store's generation, in the store, then here."""
        await self.finish(self._settle(entry))

    async def check(self) -> None:
        """Make sure that what is written still is the store that was opened.

        Raises:
            StoreUnavailableError: it is not; the ledger is not trusted any more.
        """
        try:
            await self._store.check()
        except StoreUnavailableError as error:
            self._doubt(error)
            raise

    async def prune(self, before: datetime, pace: Pace = at_once) -> None:
        """Drop what is older than this from the journal, and marks of members that were served before it, as the store does."""
        try:
            await self._store.prune(before, pace)
        except StoreUnavailableError as error:
            self._doubt(error)
            raise
        for group, served in self.served.items():
            self.served[group] = {node: mark for node, mark in served.items() if mark.until >= SeenTime(before)}

    async def trim(self, most_bytes: int, pace: Pace = at_once) -> None:
        """Drop the oldest of the journal until it takes at most this much."""
        try:
            await self._store.trim(most_bytes, pace)
        except StoreUnavailableError as error:
            self._doubt(error)
            raise

    async def settle(self) -> None:
        """Wait for the writes under way, at the end."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def note(self, waiter: Waiter) -> None:
        """Keep a waiter in memory; the cycle writes it to the store."""
        waiters, name = self.waiters[waiter.ask.group], waiter_name(waiter.ask)
        if name not in waiters:
            self.version += 1
        waiters[name] = waiter

    async def _stop(self, write: Coroutine[Any, Any, _Result]) -> _Result:
        async with self.gate.closed():
            return await write

    async def finish(self, write: Coroutine[Any, Any, _Result], *, is_grant: bool = False) -> _Result:
        """Carry a write to its end, whatever becomes of who asked for it."""
        task = asyncio.ensure_future(write)
        self._under_way.add(task)
        if is_grant:
            self.gate.passing(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # a caller that was cancelled does not look; the ledger is untrusted already

    async def _swap(self, expected: Lease, new: Lease, writes: Writes, moved: timedelta) -> Lease | Lost:
        async with self._locks[new.group]:
            since = self._moved - moved
            expected, new = (expected.moved(since), new.moved(since)) if since else (expected, new)
            try:
                if self._is_outdated(expected, new):
                    return Lost(current=self.lease(new.group))
                outcome = await self._store.swap(expected, new, writes)
            except StoreUnavailableError as error:
                self._doubt(error)
                raise
            finally:
                self.version += 1
                self.granting.pop(new.group, None)
                self.leaving.difference_update(writes.drop)
            if isinstance(outcome, Lost):
                self.leases[new.group] = outcome.current
            else:
                self.leases[new.group] = outcome
                self._apply(writes)
            return outcome

    def _is_outdated(self, expected: Lease, new: Lease) -> bool:
        """Whether a step within one occupation rests on another one than there is now.

        The store compares token and state, which tells grants and ends apart; of two that see the same report in the same
        moment, or end the same rest, both would be told.
        """
        stays = (new.token, new.state) == (expected.token, expected.state)
        return stays and self.lease(new.group) != expected

    async def _write(self, writes: Writes, done: Sequence[Key] = ()) -> None:
        try:
            await self._store.write(writes)
        except StoreUnavailableError as error:
            self._doubt(error)
            raise
        put = [record for record in writes.put if not isinstance(record, Waiter) or key_of(record) not in done]
        self._apply(replace(writes, put=put, drop=[key for key in writes.drop if key not in done]))

    async def _move(self, step: timedelta, writes: Writes) -> None:
        async with AsyncExitStack() as swaps:
            for group in sorted(self._locks):
                await swaps.enter_async_context(self._locks[group])
            await self._write(replace(writes, moved=[lease.moved(step) for lease in self.leases.values()]))
            self._moved += step

    async def _settle(self, entry: Entry) -> None:
        try:
            await self._store.settle(entry)
        except StoreUnavailableError as error:
            self._doubt(error)
            raise
        self.generation = replace(self.generation, doubt="")

    def _doubt(self, error: StoreUnavailableError) -> None:
        self.is_trusted = False
        self.failure = str(error)

    def _apply(self, writes: Writes) -> None:
        self.version += 1
        for lease in writes.moved:
            if is_as_expected(self.lease(lease.group), lease):
                self.leases[lease.group] = lease
        for record in writes.put:
            self._put(record)
        for key in writes.drop:
            self._drop(key)

    def _put(self, record: Record) -> None:
        if isinstance(record, ClockMark):
            self.clock_mark = record
            return
        records, name = self._place(key_of(record))
        if not isinstance(record, Waiter) or name not in records:  # what a waiter has said since is in memory already
            records[name] = record

    def _drop(self, key: Key) -> None:
        records, name = self._place(key)
        if records.pop(name, None) is not None:
            self.version += 1

    def _place(self, key: Key) -> tuple[dict[Any, Any], str | tuple[str, ...]]:
        """Return where the record with this key is kept, and under which name: the rest of its key, where it belongs to a group."""
        records, name = self._records[key.of], key.values
        if KEPT[key.of].is_of_group:
            records, name = records[name[0]], name[1:]
        return records, name if len(name) > 1 else name[0]

    def _take(self, stored: Stored) -> None:
        self.leases, self.generation = dict(stored.leases), stored.generation
        self.version += 1
        self.clock_mark = None
        noted = [waiter for waiters in self.waiters.values() for waiter in waiters.values()]
        for records in self._records.values():
            records.clear()
        for record in stored.records:
            self._put(record)
        for waiter in noted:
            before = self.waiter(waiter.ask)
            # who asks a daemon that has just started has perhaps waited long before
            since = min(waiter.since, before.since) if before else waiter.since
            self.waiters[waiter.ask.group][waiter_name(waiter.ask)] = replace(waiter, since=since)
