"""A set of tasks that live and die together, as the threads of one program do.

Tasks run in the task group of the whole simulation, so that a bug in one of them ends the run instead of being lost.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Process:
    """Start tasks; kill them all at once."""

    def __init__(self, spawn: Spawn) -> None:
        """Take what starts a task, such as a task group's `create_task`."""
        self._spawn = spawn
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start one task of this process."""
        task = self._spawn(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def kill(self) -> None:
        """Cancel every task; one that kills its own process ends at its next wait."""
        for task in tuple(self._tasks):
            task.cancel()

    @property
    def runs(self) -> bool:
        """Say whether any task is left."""
        return bool(self._tasks)


def draw(chance: random.Random, bounds: tuple[float, float]) -> float:
    """Draw a number of seconds from a range."""
    low, high = bounds
    return low if low == high else chance.uniform(low, high)
