"""A program that can be killed at any await: every task that it starts, however deep, is known and dies with it.

Who owns a task is taken from the context in which it was created, as an operating system knows the
threads of a process.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Killed(Exception):
    """The program died before it answered."""


class Process:
    """The tasks of one program, in the order in which they were started."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._context = contextvars.copy_context()
        self._context.run(_owner.set, self)
        self.is_dead = False

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start something of this program."""
        return asyncio.get_running_loop().create_task(work, context=self._context.copy())

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Have the program do something, from outside; a caller that gives up leaves it running.

        Raises:
            Killed: it died meanwhile.
        """
        if self.is_dead:
            work.close()
            raise Killed
        task = self.start(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._has_died() and task.cancelled() and not (caller and caller.cancelling()):
                raise Killed from None
            raise

    def kill(self) -> None:
        """End everything at once."""
        self.is_dead = True
        for task in tuple(self._tasks):
            task.cancel()

    def _has_died(self) -> bool:
        return self.is_dead

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Take a task that was started in this program's context."""
        self._tasks[task] = None
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            task.exception()  # whoever waited has seen it


_owner: contextvars.ContextVar[Process | None] = contextvars.ContextVar("owner", default=None)


def watch_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Let processes know their tasks on this loop."""

    def start(
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, Any],
        *,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=loop, context=context)
        owner = _owner.get() if context is None else context.get(_owner)
        if owner is not None:
            owner.adopt(task)
        return task

    loop.set_task_factory(start)  # type: ignore[arg-type]  # typeshed does not know the `context` that asyncio hands over
