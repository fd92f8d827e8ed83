"""Work that goes on beside the cycles.

A cycle waits for its reads, and for the waiters to be written, only for a moment. So a slow
Exchange, thousands of reads after a start, or thousands of new waiters do not delay the reviews.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

_WAITED_SECONDS: Final = 1.0
"""How long a cycle waits for such work: half the time between two cycles."""

Work = Callable[[], Coroutine[Any, Any, None]]


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
