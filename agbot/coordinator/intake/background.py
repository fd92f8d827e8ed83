"""Reads that go on beside the cycles.

A cycle waits for its reads only for a moment, so that a slow Exchange, or thousands of reads after
a start, do not delay the reviews. What the feed has announced is read first, and does not wait for
what is only due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

_WAITED_SECONDS: Final = 1.0
"""How long a cycle waits for its reads: half the time between two cycles."""

Reads = Callable[[], Coroutine[Any, Any, None]]


class Background:
    """One task for what was announced, and one for what is due."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def follow(self, announced: Reads, due: Reads) -> None:
        """Begin both, or leave them under way, and wait for them for a moment."""
        ends_at = asyncio.get_running_loop().time() + _WAITED_SECONDS
        await self._follow("announced", announced, ends_at)
        await self._follow("due", due, ends_at)

    async def stop(self) -> None:
        """Cancel what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, name: str, reads: Reads, ends_at: float) -> None:
        is_left = name in self._tasks
        if is_left and not await self._ends(name, ends_at):
            return
        self._tasks[name] = asyncio.create_task(reads(), name=f"reads: {name}")
        await self._ends(name, ends_at)

    async def _ends(self, name: str, ends_at: float) -> bool:
        """Wait for a task until that time; return whether it has ended. Its exception is raised."""
        task = self._tasks[name]
        await asyncio.wait({task}, timeout=max(ends_at - asyncio.get_running_loop().time(), 0))
        if not task.done():
            return False
        del self._tasks[name]
        await task
        return True
