"""Time as an argument: the shell uses a `Clock`; rules and fleet get `now`.

The demo runs faster than real time and the simulation on a virtual clock; both pass an
implementation of their own.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final, Protocol

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

NOW_HEADER: Final = "X-Agbot-Now"
"""The header with the console's time. With the demo's clock, or a wrong clock on the client's
machine, ages are still right."""


class Clock(Protocol):
    """The current time, and waiting."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""

    def monotonic_seconds(self) -> float:
        """Return seconds that never go back, for durations. Their zero has no meaning."""

    async def sleep(self, seconds: float) -> None:
        """Wait for this many seconds of this clock."""

    def real_seconds(self, seconds: float) -> float:
        """Return the duration on the event loop's clock, for timeouts of sockets and the store."""


class SystemClock:
    """The host's clock."""

    def now(self) -> datetime:
        """Return the host's time."""
        return datetime.now(UTC)

    def monotonic_seconds(self) -> float:
        """Return the time since boot, with suspension; steps of the date do not change it."""
        return time.clock_gettime(_CLOCK)

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        import asyncio  # noqa: PLC0415 - a command needs the time alone, and starts faster without

        await asyncio.sleep(seconds)

    def real_seconds(self, seconds: float) -> float:
        """Return the same duration."""
        return seconds
