"""One read for all callers that want the same at the same time.

`SingleFlight` shares a running read, by key. `SharedRead` shares the result of one read for a
moment longer: a grant depends on what is true now, so it waits for a read that began at most a
second ago. That limits the rate to one read per second, however many callers there are. A cancelled
caller does not cancel the read for the others, and each caller gets its error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from agbot.clock import Clock

Value = TypeVar("Value")


class SingleFlight(Generic[Value]):
    """Runs one read per key for all callers that come while it runs."""

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[Value]] = {}

    async def run(self, key: Hashable, read: Callable[[], Awaitable[Value]]) -> Value:
        """Return the result of the running read or a new one. Cancelled callers do not end it."""
        return await asyncio.shield(self._running.get(key) or self.start(key, read))

    def start(self, key: Hashable, read: Callable[[], Awaitable[Value]]) -> asyncio.Task[Value]:
        """Begin a read, which later callers share."""
        task = asyncio.ensure_future(read())
        self._running[key] = task
        task.add_done_callback(lambda done: self._ended(key, done))
        return task

    def _ended(self, key: Hashable, task: asyncio.Task[Value]) -> None:
        if self._running.get(key) is task:
            del self._running[key]
        if not task.cancelled():
            # retrieved, because asyncio would log it if all callers have been cancelled
            task.exception()

    async def stop(self) -> None:
        """Cancel the running reads."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(slots=True, kw_only=True)
class _Attempt(Generic[Value]):
    task: asyncio.Task[Value]
    begun_seconds: float
    """On the clock's monotonic time. A result is as old as its read's beginning."""


class SharedRead(Generic[Value]):
    """The latest read of one thing. Reads never overlap: each begins after the previous ends."""

    def __init__(self, read: Callable[[], Awaitable[Value]], clock: Clock, *, max_age_seconds: float = 1.0) -> None:
        """Share results of reads that began at most `max_age_seconds` of `clock` ago."""
        self._read = read
        self._clock = clock
        self._max_age_seconds = max_age_seconds
        self._flight: SingleFlight[Value] = SingleFlight()
        self._latest: _Attempt[Value] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def fresh(self) -> Value:
        """Return the result of a read that began after this call, or at most `max_age` before.

        Raises the exception of the read. A cancelled caller does not cancel it for the others.
        """
        asked_seconds = self._clock.monotonic_seconds()
        recent = self._recent(asked_seconds)
        if recent is None:
            async with self._one_at_a_time:
                await self._previous()
                recent = self._recent(asked_seconds) or self._begin()
                await asyncio.wait({recent.task})
        return await asyncio.shield(recent.task)

    async def again(self) -> Value:
        """Read now, whatever the age of the last result; `fresh` shares the new one."""
        async with self._one_at_a_time:
            await self._previous()
            attempt = self._begin()
            await asyncio.wait({attempt.task})
        return await asyncio.shield(attempt.task)

    async def _previous(self) -> None:
        # a cancelled caller has left the lock, and its read goes on: an older answer would end last
        if self._latest is not None and not self._latest.task.done():
            await asyncio.wait({self._latest.task})

    def _recent(self, asked_seconds: float) -> _Attempt[Value] | None:
        attempt = self._latest
        if attempt is None or asked_seconds - attempt.begun_seconds > self._max_age_seconds:
            return None
        has_failed = attempt.task.done() and (attempt.task.cancelled() or attempt.task.exception() is not None)
        return None if has_failed and attempt.begun_seconds < asked_seconds else attempt

    def _begin(self) -> _Attempt[Value]:
        begun_seconds = self._clock.monotonic_seconds()
        self._latest = _Attempt(task=self._flight.start(None, self._read), begun_seconds=begun_seconds)
        return self._latest
