"""How long a test waits for what must come, and by how much a busy machine may be late.

A test waits for a condition, never for a time; the one limit is only there so that a hang ends.
Where the time itself is what a test is about, it allows for the lateness of the machine, which is
measured at that moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from inspect import isawaitable
from typing import Any, TypeVar, overload

PATIENCE_SECONDS = 300.0
"""For what takes a second or ten on an idle machine: whoever has not come by then hangs."""
_GLANCE_SECONDS = (0.02, 0.06)
"""From one look to the next: a tenth of the time that has passed, but no less and no more than these."""
_SAMPLE_SECONDS = 0.03
"""Of processor time, to see how much longer that takes by the clock: as long as several turns of
the system's scheduler."""

T = TypeVar("T")


@overload
async def until(what: str, look: Callable[[], Coroutine[Any, Any, T]]) -> T: ...
@overload
async def until(what: str, look: Callable[[], T]) -> T: ...
async def until(what: str, look: Callable[[], Any]) -> Any:
    """Wait until a look shows something that counts as true, and return it."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        found = look()
        seen = await found if isawaitable(found) else found
        if seen:
            return seen
        waited = loop.time() - began
        assert waited < PATIENCE_SECONDS, f"{what}: not within {PATIENCE_SECONDS:g} s, seen last: {seen!r}"
        await asyncio.sleep(min(max(waited / 10, _GLANCE_SECONDS[0]), _GLANCE_SECONDS[1]))


def allowed_seconds(idle_seconds: float) -> float:
    """Return how long something may take now that may take so many seconds on an idle machine."""
    return idle_seconds * _slowness()


@contextmanager
def in_time(seconds: float, *, slack_seconds: float = 1.0) -> Iterator[None]:
    """Require that a block ends in this time.

    `slack_seconds` are allowed on an idle machine, and more on one that is slower now.
    """
    before, began = _slowness(), time.monotonic()
    yield
    took = time.monotonic() - began
    limit = seconds + slack_seconds * max(before, _slowness())
    assert took < limit, (
        f"{took:.2f} s instead of {seconds:g} s, and no more than {limit:.2f} s on this machine at present"
    )


def _slowness() -> float:
    """Return how many times as long as its processor time a piece of work takes at present."""
    began, worked = time.monotonic(), time.thread_time()
    while time.thread_time() - worked < _SAMPLE_SECONDS:
        pass
    return max((time.monotonic() - began) / _SAMPLE_SECONDS, 1.0)
