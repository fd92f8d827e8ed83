"""Keeps the garbage collector's longest pauses rare, and returns freed memory to the system.

A full collection looks through every object that lives long: 0.4 million with 40,000 nodes, for
which it takes up to a second in which nothing is answered. Python does it whenever the objects have
grown by a quarter, and as every read of a node replaces some, that was several times a minute. What
it finds are closed connections, a kilobyte each: a collection every ten minutes keeps them few.
Young objects are collected as usual, in milliseconds.

The C library keeps freed memory for itself: after twenty thousand first questions, tens of
megabytes. Once a minute it is asked to give back the pages that are free, which takes milliseconds.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable
from typing import Final

_EVERY_SECONDS: Final = 600.0
_TRIMMED_EVERY_SECONDS: Final = 60.0
_NEVER: Final = 1_000_000_000


def begin() -> None:
    """Leave full collections to `Garbage` from now on, and look through the program no more."""
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)


class Garbage:
    """Collects everything now and then, between two cycles."""

    def __init__(self, trim: Callable[[], object] | None = None) -> None:
        """`trim` gives free pages back to the system; by default as the C library does it."""
        self._collected_at: float | None = None
        self._trimmed_at = 0.0
        self._trim = trim or _trim_of_the_library()

    def look(self) -> None:
        """Collect if it is due."""
        now = asyncio.get_running_loop().time()
        if self._collected_at is None:
            self._collected_at = self._trimmed_at = now
        elif now - self._collected_at >= _EVERY_SECONDS:
            self._collected_at = now
            gc.collect()
        if now - self._trimmed_at >= _TRIMMED_EVERY_SECONDS:
            self._trimmed_at = now
            self._trim()


def _trim_of_the_library() -> Callable[[], object]:
    """Return glibc's function; another C library has none, and returns memory in its own way."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return lambda: None
    return lambda: trim(0)
