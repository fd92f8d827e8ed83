"""Cuts long work on the event loop into slices of a few milliseconds.

A cycle handles thousands of groups without waiting for anything. Between two slices the questions
that have come meanwhile are answered.
"""

from __future__ import annotations

import asyncio
from typing import Final

_SLICE_SECONDS: Final = 0.004
"""A question waits for one slice of each part of the cycle at most."""


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
