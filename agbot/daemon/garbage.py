"""Keeps the garbage collector's longest pauses rare.

A full collection looks through every object that lives long: 0.4 million with 40,000 nodes, for
which it takes up to a second in which nothing is answered. Python does it whenever the objects have
grown by a quarter, and as every read of a node replaces some, that was several times a minute. What
it finds are closed connections, a kilobyte each: a collection every ten minutes keeps them few.
Young objects are collected as usual, in milliseconds.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Final

_EVERY_SECONDS: Final = 600.0
_NEVER: Final = 1_000_000_000


def begin() -> None:
    """Leave full collections to `Garbage` from now on, and look through the program no more."""
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)


class Garbage:
    """Collects everything now and then, between two cycles."""

    def __init__(self) -> None:
        self._collected_at: float | None = None

    def look(self) -> None:
        """Collect if it is due."""
        now = asyncio.get_running_loop().time()
        if self._collected_at is None:
            self._collected_at = now
        elif now - self._collected_at >= _EVERY_SECONDS:
            self._collected_at = now
            gc.collect()
