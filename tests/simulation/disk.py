"""The store of the simulation: a disk that outlives the programs that write on it, fails on request, and reports of every commit."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Protocol, TypeVar

from agbot.rules.ids import GroupId
from agbot.rules.lease import Lease
from agbot.rules.records import Brake, Hold
from agbot.store.contract import NOTHING, Entry, Lost, Stored, StoreUnavailableError, Writes
from tests.support.faulty_store import FaultyStore

T = TypeVar("T")

_STALL_SECONDS = 5.0


class Fault(Enum):
    """What becomes of one call."""

    BEFORE = "fails before its commit"
    AFTER = "fails after its commit"
    STALL = "takes long"
    KILL_BEFORE = "the program dies before the commit"
    KILL_AFTER = "the program dies after the commit"


class Watcher(Protocol):
    """Who judges what is written."""

    def committed(self, before: Mapping[GroupId, Lease], after: Mapping[GroupId, Lease], emitted: list[Entry]) -> None:
        """Look at what one transaction changed."""

    def wrote_time(self) -> None:
        """Take down that a commit has brought with it how far the seen clock has come."""

    def wants_swap(self, expected: Lease, new: Lease) -> None:
        """Look at a transition that is about to be tried."""


@dataclass(slots=True)
class Disk:
    """What stays. `seconds` bounds the time of each half of a call."""

    chance: random.Random
    seconds: float
    watcher: Watcher
    content: FaultyStore = field(default_factory=FaultyStore)
    rates: dict[Fault, float] = field(default_factory=dict)
    kill_at_write: tuple[int, Fault] | None = None
    """At the so-many-th write from now on."""
    failed_at: float | None = None
    """When a call last failed, if nothing has been loaded since."""
    replaced: bool = False
    """An older copy took its place, and no one has settled that yet."""

    def copy(self) -> FaultyStore:
        """Return what is written now, to be put back later."""
        found, now = FaultyStore(), self.content._content  # noqa: SLF001 - the bytes, as a backup has them
        found._content = replace(  # noqa: SLF001 - see above; all that is kept are values
            now,
            leases=dict(now.leases),
            records={kind: dict(records) for kind, records in now.records.items()},
            entries=list(now.entries),
            cursors=dict(now.cursors),
        )
        return found

    def replace(self, content: FaultyStore) -> None:
        """Put something older in the place of what was written last, as `Generation` says that a real store finds out."""
        highest = max((lease.token for lease in self.leases().values()), default=0)
        self.content = content
        self.content.change_generation("it is an older copy", highest)
        self.replaced = True

    def draw(self, *, writes: bool) -> Fault | None:
        """Say what becomes of the next call."""
        if writes and self.kill_at_write is not None:
            left, fault = self.kill_at_write
            self.kill_at_write = None if left == 0 else (left - 1, fault)
            if left == 0:
                return fault
        for fault, rate in self.rates.items():
            if self.chance.random() < rate:
                return fault
        return None

    def leases(self) -> dict[GroupId, Lease]:
        """Return every lease as it is stored."""
        return dict(self.content._content.leases)  # noqa: SLF001 - the truth, without a transaction that time passes in

    def holds(self) -> list[Hold]:
        """Return every hold that a person has not ended, as it is stored."""
        return list(self.content._content.records[Hold].values())  # type: ignore[arg-type]  # noqa: SLF001 - see leases

    def brakes(self) -> list[Brake]:
        """Return every brake that no one has lifted, as it is stored."""
        return list(self.content._content.records[Brake].values())  # type: ignore[arg-type]  # noqa: SLF001 - see leases

    def entries(self) -> list[Entry]:
        """Return the whole journal."""
        return list(self.content._content.entries)  # noqa: SLF001 - see leases


class SimStore(FaultyStore):
    """One program's way to the disk. It dies with the program."""

    def __init__(self, disk: Disk, kill: Callable[[], None]) -> None:
        super().__init__()
        self._content = disk.content._content  # noqa: SLF001 - the same bytes for every program
        self._disk = disk
        self._kill = kill
        self._writes = False

    async def load(self) -> Stored:
        """Read everything; only then is the store trusted again."""
        stored = await super().load()
        self._disk.failed_at = None
        return stored

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        """Compare and set."""
        self._disk.watcher.wants_swap(expected, new)
        self._writes = True
        return await super().swap(expected, new, writes)

    async def write(self, writes: Writes) -> None:
        """Write records and entries."""
        self._writes = True
        await super().write(writes)

    async def _call(self, work: Callable[[], T]) -> T:
        disk = self._disk
        writes, self._writes = self._writes, False
        fault = disk.draw(writes=writes)
        await self._take_time(fault)
        if fault is Fault.BEFORE:
            raise self._failed("it was told to fail")
        if fault is Fault.KILL_BEFORE:
            await self._die()
        before, last = disk.leases(), self._content.last_id
        result = work()
        if writes and not isinstance(result, Lost):
            disk.watcher.wrote_time()
        disk.watcher.committed(before, disk.leases(), self._entries_after(last))
        if fault is Fault.KILL_AFTER:
            await self._die()
        await self._take_time(None)
        if fault is Fault.AFTER:
            raise self._failed("it was told to fail after the commit")
        return result

    def _entries_after(self, last: int) -> list[Entry]:
        new = self._content.last_id - last
        return self._content.entries[-new:] if new > 0 else []

    async def _take_time(self, fault: Fault | None) -> None:
        await asyncio.sleep(
            _STALL_SECONDS if fault is Fault.STALL else self._disk.chance.uniform(0, self._disk.seconds)
        )
        if not self._is_open:
            message = "the store is not open"
            raise StoreUnavailableError(message)

    async def _die(self) -> None:
        self._kill()
        await asyncio.sleep(0)

    def _failed(self, why: str) -> StoreUnavailableError:
        self._disk.failed_at = asyncio.get_running_loop().time()
        return StoreUnavailableError(f"the simulated disk failed: {why}")
