"""A store in memory that fails on request, is killed, and is replaced by another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

from agbot.rules.lease import Lease
from agbot.store.contract import NOTHING, Entry, Generation, Lost, StoreUnavailableError, Writes
from agbot.store.memory import Content, MemoryStore

_T = TypeVar("_T")


class Failure(StrEnum):
    """When a call fails."""

    BEFORE_COMMIT = "before-commit"
    """Nothing was written."""
    AFTER_COMMIT = "after-commit"
    """It was written, and the answer was lost."""


class FaultyStore(MemoryStore):
    """The store in memory, with the faults that a file or a database can have."""

    def __init__(self, content: Content | None = None, fence: Callable[[], None] = lambda: None) -> None:
        super().__init__(content, fence)
        self._failures: list[Failure] = []

    def fail_next(self, failure: Failure, calls: int = 1) -> None:
        """Make the next calls raise `StoreUnavailableError`, after those already set to fail."""
        self._failures.extend([failure] * calls)

    def heal(self) -> None:
        """Cancel the failures that have not happened yet."""
        self._failures.clear()

    def crash(self) -> None:
        """Stop without closing: open calls never return, the lock is free, commits stay."""
        self._is_open = False

    def change_generation(self, doubt: str, token_floor: int) -> None:
        """Become another generation, like a file that was replaced by an older copy."""
        self._content.generation = Generation(id=f"memory above {token_floor}", token_floor=token_floor, doubt=doubt)

    async def _call(self, work: Callable[[], _T]) -> _T:
        def fallible() -> tuple[_T, Failure | None]:
            failure = self._failures.pop(0) if self._failures else None
            if failure is Failure.BEFORE_COMMIT:
                raise StoreUnavailableError("could not write to the memory store: a test made it fail")
            return work(), failure

        result, failure = await super()._call(fallible)
        if failure is Failure.AFTER_COMMIT:
            raise StoreUnavailableError("no answer from the memory store: a test made it fail after the commit")
        return result


class Refusing(FaultyStore):
    """Fails once, in the moment in which this is to be written."""

    def __init__(self, event: str) -> None:
        super().__init__()
        self.event = event

    async def write(self, writes: Writes) -> None:
        if any(entry.event == self.event for entry in writes.entries):
            self.event = ""
            self.fail_next(Failure.BEFORE_COMMIT)
        await super().write(writes)


class Slow(FaultyStore):
    """Takes ten seconds for what belongs to one event, and thirty for the lease of one group."""

    def __init__(self) -> None:
        super().__init__()
        self.slow_event = ""
        self.slow_group = ""

    async def write(self, writes: Writes) -> None:
        if self.slow_event in [entry.event for entry in writes.entries]:
            await asyncio.sleep(10)
        await super().write(writes)

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        if new.group == self.slow_group:
            await asyncio.sleep(30)
        return await super().swap(expected, new, writes)

    async def settle(self, entry: Entry) -> None:
        await asyncio.sleep(10 if self.slow_event == entry.event else 0)
        await super().settle(entry)
