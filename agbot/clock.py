"""Time as an argument. The rim of the program asks a `Clock`; rules and fleet are given `now`.

The demo runs faster than the wall clock, the simulation on a virtual one; both hand in their own implementation.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Final, Protocol

NOW_HEADER: Final = "X-Agbot-Now"
"""In which the operators' listener says its time: with the demo's clock, and beside a laptop that is wrong, ages are to be right."""


class Clock(Protocol):
    """What time it is, and waiting."""

    def now(self) -> datetime:
        """Return the present time, aware, UTC."""

    def monotonic_seconds(self) -> float:
        """Return seconds that only ever go forward: for durations. Their zero means nothing."""

    async def sleep(self, seconds: float) -> None:
        """Wait for this many seconds of this clock."""

    def real_seconds(self, seconds: float) -> float:
        """Return how long that is on the event loop's clock, for timeouts of sockets and transactions."""


class SystemClock:
    """The host's clock."""

    def now(self) -> datetime:
        """Return the host's time."""
        return datetime.now(UTC)

    def monotonic_seconds(self) -> float:
        """Return the time since the host's start, which no step of its date moves; a machine that sleeps is away all the same."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)

    def real_seconds(self, seconds: float) -> float:
        """One second is one second."""
        return seconds
