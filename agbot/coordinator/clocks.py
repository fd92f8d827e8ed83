"""Whether the date can be trusted: ours against the monotonic clock at every look, the Exchange's against ours every few minutes.

A step of the date is a fact about our clock and about nothing else. Everything read is unread until it has been read again, moments that
are compared with the Exchange's stamps move along with the date, and until the Exchange's clock has been compared anew nothing is granted.
What ends by its date (a hold, a window, an old entry of the journal) waits until the date has been steady for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from agbot.clock import Clock
from agbot.exchange.timestamps import ExchangeClock
from agbot.rules.words import duration

STEP = timedelta(seconds=2)
"""A difference between date and monotonic clock, from one look to the next, that no adjustment of a clock makes."""
STEADY = timedelta(minutes=5)
APART = timedelta(hours=4)
"""So far apart are the two clocks only when one of them is wrong."""
AWAY_STEP = timedelta(seconds=5)
"""A difference between two offsets, of which each is known to two seconds, that is a step between them."""
_COMPARED_EVERY_SECONDS = 300.0
_COMPARED_WITHIN_SECONDS = 1200.0
"""An older comparison is none."""


class Clocks:
    """Our date, and the Exchange's. To be asked for the date wherever it is needed, so that no step goes unseen."""

    def __init__(self, clock: Clock, exchange: ExchangeClock, on_step: Callable[[timedelta], None]) -> None:
        """Call `on_step` in the moment in which a step is seen, with its size."""
        self._clock = clock
        self._exchange = exchange
        self._on_step = on_step
        self._last = (clock.now(), clock.monotonic_seconds())
        self._stepped_seconds: float | None = None
        self._compared_seconds: float | None = None

    def now(self) -> datetime:
        """Return the date."""
        wall, seconds = self._clock.now(), self._clock.monotonic_seconds()
        before, before_seconds = self._last
        self._last = (wall, seconds)
        step = wall - before - timedelta(seconds=seconds - before_seconds)
        if abs(step) > STEP:
            self.stepped()
            self._exchange.ours_moved(step)
            self._on_step(step)
        return wall

    def stepped(self) -> None:
        """Take down that the date has just stepped, or was found to have."""
        self._stepped_seconds = self._clock.monotonic_seconds()

    def monotonic_seconds(self) -> float:
        """Return seconds that only go forward."""
        return self._clock.monotonic_seconds()

    @property
    def is_steady(self) -> bool:
        """Whether the date has not stepped for a while, and is about the Exchange's."""
        since = self._stepped_seconds
        rested = since is None or timedelta(seconds=self._clock.monotonic_seconds() - since) >= STEADY
        return rested and not self.why_untrusted()

    @property
    def is_due(self) -> bool:
        """Whether the Exchange's clock is to be compared with ours now."""
        age = self._age_seconds()
        return age is None or age >= _COMPARED_EVERY_SECONDS or self._exchange.is_doubtful

    def compared(self) -> None:
        """Take down that they were compared."""
        self._compared_seconds = self._clock.monotonic_seconds()

    def why_unknown(self) -> str:
        """Say why the Exchange's stamps cannot be told in our time; empty when they can, however far the clocks are apart."""
        if not self._exchange.is_known:
            return self._exchange.why_unknown
        age = self._age_seconds()
        if age is None or age > _COMPARED_WITHIN_SECONDS:
            return "the Exchange's clock has not been compared with ours for too long"
        return ""

    def why_untrusted(self) -> str:
        """Say why nothing may be granted by the date or the Exchange's stamps; empty when it may."""
        unknown, offset = self.why_unknown(), self._exchange.offset
        if unknown or abs(offset) <= APART:
            return unknown
        which = "ahead of" if offset > timedelta() else "behind"
        return (
            f"the Exchange's clock is {duration(abs(offset))} {which} ours; one of them is wrong: "
            "set it right (timedatectl shows whether it is synchronised)"
        )

    def _age_seconds(self) -> float | None:
        compared = self._compared_seconds
        return None if compared is None else self._clock.monotonic_seconds() - compared
