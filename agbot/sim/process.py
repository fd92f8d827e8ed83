"""A set of tasks that start and end together, like the threads of one program.

Tasks run in the task group of the whole simulation, so a bug in one of them ends the run and does
not go unnoticed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Process:
    """Start tasks; cancel them all at once."""

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
        """Cancel every task; a task that kills its own process ends at its next wait."""
        for task in tuple(self._tasks):
            task.cancel()

    @property
    def runs(self) -> bool:
        """Return whether any task is left."""
        return bool(self._tasks)


def draw(chance: random.Random, bounds: tuple[float, float]) -> float:
    """Draw a number of seconds from a range."""
    low, high = bounds
    return low if low == high else chance.uniform(low, high)
