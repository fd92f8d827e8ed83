"""The clocks of the simulated hub: the simulated time, and waits in it.

Every part of the simulation takes one of these and reads no other clock. So the same code runs in
real time, faster than real time, or on a virtual event loop where hours pass in milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """The simulated time, and waits in it."""

    def now(self) -> datetime:
        """Return the simulated time, aware and in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for a number of simulated seconds."""
        ...


class ScaledClock:
    """Simulated time that runs `speed` times as fast as real time.

    It begins at `epoch`, by default the real time now.
    """

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
        """Wait for a number of simulated seconds."""
        await asyncio.sleep(seconds / self.speed)
