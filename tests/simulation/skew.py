"""The coordinator's wall clock, which steps when the plan says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.support.hub import LoopClock


@dataclass(slots=True)
class Skew:
    """How far the coordinator's wall clock is off, beside what the plan says from the beginning."""

    seconds: float = 0.0


class SteppedClock(LoopClock):
    """The coordinator's clock: its wall time steps, its monotonic time does not."""

    def __init__(self, ahead_seconds: float, skew: Skew) -> None:
        super().__init__(ahead_seconds)
        self._skew = skew

    def now(self) -> datetime:
        """Return what the wall clock shows."""
        return super().now() + timedelta(seconds=self._skew.seconds)
