"""The two clocks of the tests, which fit the product and the simulator: one follows the event loop, one is moved by a test.

The clocks beside them each have a reason of their own: `agbot.clock.SystemClock` is the host's;
`agbot.sim.clock.ScaledClock` is the simulator's, which imports nothing of the product;
`agbot.cli.demo.clock.DemoClock` never runs ahead of the work.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


class LoopClock:
    """For code that runs by itself: it shows `NOON` when the loop's time is 0, so that on a virtual loop a sleep takes no time."""

    def __init__(self, ahead_seconds: float = 0.0, *, epoch: datetime = NOON) -> None:
        self._epoch = epoch + timedelta(seconds=ahead_seconds)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shown = (0.0, self._epoch)
        """Of a virtual loop's moments each is asked for often."""

    def now(self) -> datetime:
        seconds = self.monotonic_seconds()
        if seconds != self._shown[0]:
            self._shown = seconds, self._epoch + timedelta(seconds=seconds)
        return self._shown[1]

    def step(self, seconds: float) -> None:
        """Set the date, as a person or a time server does."""
        self._epoch += timedelta(seconds=seconds)
        self._shown = (0.0, self._epoch)

    def monotonic_seconds(self) -> float:
        if self._loop is None:  # to ask for it is a system call each time
            self._loop = asyncio.get_running_loop()
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def real_seconds(self, seconds: float) -> float:
        return seconds


class HandClock:
    """For one piece of code at one moment: it stands still until a test moves it.

    A sleep moves it and returns at once.
    """

    def __init__(self, moment: datetime = NOON) -> None:
        self._moment = moment
        self._elapsed_seconds = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._moment

    def set(self, moment: datetime) -> None:
        """Set the date, forwards or backwards, while no time goes by."""
        self._moment = moment

    def monotonic_seconds(self) -> float:
        return self._elapsed_seconds

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        self._moment += timedelta(seconds=seconds)
        self._elapsed_seconds += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    def real_seconds(self, seconds: float) -> float:
        return seconds


def jump(seconds: float) -> None:
    """Let the clock of the running loop go forward, so that no test waits for a time that a busy machine may need itself."""
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]  # the loop itself asks this
