"""How long work shares the event loop with the questions: in slices, or beside the cycles.

A cycle handles thousands of groups without waiting for anything. That is cut into slices of a few
milliseconds, between which the questions that have come meanwhile are answered. For its reads, and
for the waiters to be written, a cycle waits only for a moment. So a slow Exchange, thousands of
reads after a start, or thousands of new waiters do not delay the reviews.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

_SLICE_SECONDS: Final = 0.004
"""A question waits for one slice of each part of the cycle at most."""
_WAITED_SECONDS: Final = 1.0
"""How long a cycle waits for work beside it: half the time between two cycles."""

Work = Callable[[], Coroutine[Any, Any, None]]


class Slices:
    """One piece of work, from the creation of this object on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()

    async def end(self) -> bool:
        """Let other work run if the present slice has been long enough; return whether it was.

        To be called where nothing depends on what was seen before.
        """
        if self._loop.time() - self._began_at < _SLICE_SECONDS:
            return False
        await asyncio.sleep(0)
        self._began_at = self._loop.time()
        return True


class Background:
    """One task for each kind of work, by its name."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def follow(self, **work: Work) -> None:
        """Begin each kind, or leave it under way, and wait for all of them for a moment.

        They begin in this order, so the first does not wait for the others. The exception of one
        that has failed is raised, also if it failed after an earlier call.
        """
        ends_at = asyncio.get_running_loop().time() + _WAITED_SECONDS
        for name, begin in work.items():
            await self._follow(name, begin, ends_at)

    def begin(self, name: str, work: Work) -> None:
        """Begin this work, unless it is under way or has failed, which the next `follow` raises."""
        task = self._tasks.get(name)
        if task is None or (task.done() and not task.cancelled() and task.exception() is None):
            self._tasks[name] = _create(name, work)

    async def stop(self) -> None:
        """Cancel what is under way, and forget how it has ended."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, name: str, begin: Work, ends_at: float) -> None:
        is_left = name in self._tasks
        if is_left and not await self._ends(name, ends_at):
            return
        self._tasks[name] = _create(name, begin)
        await self._ends(name, ends_at)

    async def _ends(self, name: str, ends_at: float) -> bool:
        """Wait for a task until that time; return whether it has ended. Its exception is raised."""
        task = self._tasks[name]
        await asyncio.wait({task}, timeout=max(ends_at - asyncio.get_running_loop().time(), 0))
        if not task.done() or self._tasks.get(name) is not task:  # it goes on, or was stopped meanwhile
            return False
        del self._tasks[name]
        await task
        return True


def _create(name: str, work: Work) -> asyncio.Task[None]:
    return asyncio.create_task(work(), name=f"beside the cycle: {name}")
