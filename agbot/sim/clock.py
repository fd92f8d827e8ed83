"""The clocks of the simulated hub: what time it is there, and how to wait.

Every part of the simulation takes one of these and reads no other clock, so that the same code runs in real time, faster
than real time, or on a virtual event loop where hours pass in milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tell the time of the simulated world and wait in it."""

    def now(self) -> datetime:
        """Return the simulated time, aware and in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for so many simulated seconds."""
        ...


class ScaledClock:
    """Simulated time that runs `speed` times as fast as real time, from `epoch` (default: the real time now)."""

    def __init__(self, speed: float = 1.0, *, epoch: datetime | None = None) -> None:
        """Start the clock.

        Raises:
            ValueError: the speed is not above zero.
        """
        if speed <= 0:
            message = f"speed must be above 0, not {speed}"
            raise ValueError(message)
        self.speed = speed
        self._epoch = epoch or datetime.now(UTC)
        self._started = time.monotonic()

    def now(self) -> datetime:
        """Return the simulated time."""
        return self._epoch + timedelta(seconds=(time.monotonic() - self._started) * self.speed)

    async def sleep(self, seconds: float) -> None:
        """Wait for so many simulated seconds."""
        await asyncio.sleep(seconds / self.speed)


class LoopClock:
    """Simulated time that follows the running event loop: `now()` is `epoch` when the loop says 0.

    With a virtual loop (looptime) a sleep takes no real time. `now()` must be called with that loop running.
    """

    def __init__(self, epoch: datetime) -> None:
        """Take the time that the loop's zero stands for."""
        self._epoch = epoch

    def now(self) -> datetime:
        """Return the simulated time."""
        return self._epoch + timedelta(seconds=asyncio.get_running_loop().time())

    async def sleep(self, seconds: float) -> None:
        """Wait for so many simulated seconds."""
        await asyncio.sleep(seconds)


class ManualClock:
    """Simulated time that stands still until somebody moves it; a sleep moves it and returns at once."""

    def __init__(self, epoch: datetime) -> None:
        """Start at `epoch`."""
        self._now = epoch

    def now(self) -> datetime:
        """Return the simulated time."""
        return self._now

    def set(self, moment: datetime) -> None:
        """Jump to a moment, forwards or backwards."""
        self._now = moment

    def advance(self, seconds: float) -> None:
        """Move on by so many seconds."""
        self._now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        """Move on by so many seconds and let other tasks run."""
        self.advance(seconds)
        await asyncio.sleep(0)
