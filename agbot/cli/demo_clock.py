"""The clock of the demo: simulated time that runs `speed` times as fast as real time, but never ahead of the work.

The hub and the real daemon live in one process on one such clock, so that the daemon's default settings hold in simulated time. When the
machine cannot keep up (its event loop comes late), simulated time slows down instead of making nodes look silent that were only not served.
"""

from __future__ import annotations

import asyncio
import heapq
from datetime import datetime, timedelta
from typing import Final

_TICK_SECONDS: Final = 0.004
_LONGEST_STEP_SECONDS: Final = 0.02
"""Simulated time moves on for at most this much real time between two ticks."""
PATIENCE_SECONDS: Final = 2.0
"""Sockets are not faster because time is: no time limit is scaled to less than this (or than it is)."""


class DemoClock:
    """Fits the product's `Clock` and the simulation's. It stands still unless `run` runs, and belongs to one event loop."""

    def __init__(self, speed: float, epoch: datetime) -> None:
        if speed <= 0:
            raise ValueError(f"the speed must be above 0, not {speed:g}")
        self.speed = speed
        self.epoch = epoch
        self._elapsed = 0.0
        self._ticked_at: float | None = None
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._slept = 0

    async def run(self) -> None:
        """Let time pass, until cancelled."""
        loop = asyncio.get_running_loop()
        self._ticked_at = loop.time()
        try:
            while True:
                await asyncio.sleep(_TICK_SECONDS)
                now = loop.time()
                self._elapsed += self._step(now)
                self._ticked_at = now
                self._wake()
        finally:
            self._ticked_at = None

    @property
    def elapsed_seconds(self) -> float:
        """Simulated seconds since the epoch."""
        if self._ticked_at is None:
            return self._elapsed
        return self._elapsed + self._step(asyncio.get_running_loop().time())

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
        """Return how long a time limit is on the event loop: scaled, but never too short for a socket."""
        return max(seconds / self.speed, min(seconds, PATIENCE_SECONDS))

    def _step(self, now: float) -> float:
        since = now if self._ticked_at is None else self._ticked_at
        return min(now - since, _LONGEST_STEP_SECONDS) * self.speed

    def _wake(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self._elapsed:
            _, _, waiting = heapq.heappop(self._sleepers)
            if not waiting.done():  # a sleeper that was cancelled is done
                waiting.set_result(None)
