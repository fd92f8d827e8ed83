"""The demo's clock: `speed` times as fast as real time, but never ahead of the work.

The hub and the real daemon run in one process on this clock, so that the daemon's default settings
apply in simulated time. If the machine cannot keep up (its event loop is late), simulated time
slows down; otherwise nodes would look silent that only had no turn. Between two ticks it stands
still, so that the date and the monotonic time that one piece of code reads are of the same moment.
"""

from __future__ import annotations

import asyncio
import heapq
from datetime import datetime, timedelta
from typing import Final

_TICK_SECONDS: Final = 0.004
_LONGEST_STEP_SECONDS: Final = 0.02
"""The maximum real time that counts between two ticks."""
PATIENCE_SECONDS: Final = 2.0
"""Sockets do not become faster: no timeout is scaled to less than this (or than itself)."""


class DemoClock:
    """Implements the product's `Clock` and the simulation's.

    It advances only while `run` runs, and belongs to one event loop.
    """

    def __init__(self, speed: float, epoch: datetime) -> None:
        if speed <= 0:
            raise ValueError(f"the speed must be above 0, not {speed:g}")
        self.speed = speed
        self.epoch = epoch
        self.elapsed_seconds = 0.0
        """Simulated seconds since the epoch."""
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._slept = 0

    async def run(self) -> None:
        """Let time pass, until cancelled."""
        loop = asyncio.get_running_loop()
        ticked_at = loop.time()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = loop.time()
            self.elapsed_seconds += min(now - ticked_at, _LONGEST_STEP_SECONDS) * self.speed
            ticked_at = now
            self._wake()

    def now(self) -> datetime:
        """Return the simulated time, aware and in UTC."""
        return self.epoch + timedelta(seconds=self.elapsed_seconds)

    def monotonic_seconds(self) -> float:
        """Return the simulated seconds since the epoch."""
        return self.elapsed_seconds

    async def sleep(self, seconds: float) -> None:
        """Wait for so many simulated seconds."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._slept += 1
        heapq.heappush(self._sleepers, (self.elapsed_seconds + seconds, self._slept, waiting))
        await waiting

    def real_seconds(self, seconds: float) -> float:
        """Return a timeout for the event loop: scaled, but never too short for a socket."""
        return max(seconds / self.speed, min(seconds, PATIENCE_SECONDS))

    def _wake(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self.elapsed_seconds:
            _, _, waiting = heapq.heappop(self._sleepers)
            if not waiting.done():  # a sleeper that was cancelled is done
                waiting.set_result(None)
