"""One read that everybody who asks in the same moment shares.

A grant rests on what is true now, so it waits for a look that began at most a second ago. Under load that is one look a second, whoever
many ask: whoever comes while a young enough one is under way waits for that one, and later ones for the next. A failure is each waiter's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from agbot.clock import Clock

Value = TypeVar("Value")


@dataclass(slots=True, kw_only=True)
class _Look(Generic[Value]):
    task: asyncio.Task[Value]
    begun_seconds: float
    """On the clock's monotonic time: what is true is what was so when the look began, not when it came back."""


class SharedRead(Generic[Value]):
    """The latest look at one thing. Looks never overlap: a later one begins when the one before it has come back."""

    def __init__(self, read: Callable[[], Awaitable[Value]], clock: Clock, *, max_age_seconds: float = 1.0) -> None:
        """Hand out nothing that was read longer than `max_age_seconds` of `clock` ago."""
        self._read = read
        self._clock = clock
        self._max_age_seconds = max_age_seconds
        self._latest: _Look[Value] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def fresh(self) -> Value:
        """Return what a look found that began at most `max_age_seconds` before this question, or later.

        Raises whatever the look raised. A caller that is cancelled does not stop the look for the others.
        """
        asked_seconds = self._clock.monotonic_seconds()
        young = self._young(asked_seconds)
        if young is None:
            async with self._one_at_a_time:
                young = self._young(asked_seconds) or self._begin()
                await asyncio.wait({young.task})
        return await asyncio.shield(young.task)

    async def again(self) -> Value:
        """Look now, whatever was found a moment ago: for who reads at his own pace. The others share what it finds."""
        async with self._one_at_a_time:
            look = self._begin()
            await asyncio.wait({look.task})
        return await asyncio.shield(look.task)

    def _young(self, asked_seconds: float) -> _Look[Value] | None:
        look = self._latest
        if look is None or asked_seconds - look.begun_seconds > self._max_age_seconds:
            return None
        has_failed = look.task.done() and (look.task.cancelled() or look.task.exception() is not None)
        return None if has_failed and look.begun_seconds < asked_seconds else look

    def _begin(self) -> _Look[Value]:
        look = _Look(task=asyncio.ensure_future(self._look()), begun_seconds=self._clock.monotonic_seconds())
        self._latest = look
        look.task.add_done_callback(_seen)
        return look

    async def _look(self) -> Value:
        return await self._read()


def _seen(look: asyncio.Task[Value]) -> None:
    """Take note of a failure that nobody waits for any more: whoever asked was stopped meanwhile, and that is no error of the program."""
    if not look.cancelled():
        look.exception()
