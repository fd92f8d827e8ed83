"""A coordinator's clock that stands still until a test moves it; a sleep moves it and returns at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


class HandClock:
    """Time under the test's control."""

    def __init__(self, moment: datetime = NOON) -> None:
        self._moment = moment
        self._elapsed_seconds = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._moment

    def monotonic_seconds(self) -> float:
        return self._elapsed_seconds

    def advance(self, seconds: float) -> None:
        self._moment += timedelta(seconds=seconds)
        self._elapsed_seconds += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    def real_seconds(self, seconds: float) -> float:
        return seconds
