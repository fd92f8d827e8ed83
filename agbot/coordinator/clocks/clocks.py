"""Checks whether the date can be trusted.

Our date is compared with the monotonic clock whenever it is read, and the Exchange's clock with
ours every few minutes. A step of the date is a fact about our clock only. After a step, everything
counts as unread until it has been read again, moments that are compared with the Exchange's stamps
move along with the date, and nothing is granted until the Exchange's clock has been compared again.
What ends at a date (a hold, a window, an old entry of the journal) waits until the date has been
steady for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from agbot.clock import Clock
from agbot.exchange.timestamps import ExchangeClock
from agbot.rules.words import duration

_STEP_SECONDS = 2.0
"""A difference between date and monotonic clock from one reading to the next that is a step.

A gradual adjustment of the clock makes none as large.
"""
_STEADY_SECONDS = 300.0
"""How long after a step the date counts as steady again."""
_APART = timedelta(hours=4)
"""If the two clocks differ by more than this, one of them is wrong."""
AWAY_STEP = timedelta(seconds=5)
"""A difference between two offsets that is a step. Each offset is known to two seconds."""
_COMPARED_EVERY_SECONDS = 300.0
_COMPARED_WITHIN_SECONDS = 1200.0
"""How long a comparison is valid."""


class Clocks:
    """Our clock and the Exchange's. All code reads the date here, so that every step is noticed."""

    def __init__(self, clock: Clock, exchange: ExchangeClock, on_step: Callable[[timedelta], None]) -> None:
        """Call `on_step` with the size of a step as soon as it is noticed."""
        self._clock = clock
        self._exchange = exchange
        self._on_step = on_step
        self._last = (clock.now(), clock.monotonic_seconds())
        self._stepped_seconds: float | None = None
        self._compared_seconds: float | None = None

    def now(self) -> datetime:
        """Return the date."""
        wall, seconds = self._clock.now(), self._clock.monotonic_seconds()
        (before_wall, before_seconds), self._last = self._last, (wall, seconds)
        if not -_STEP_SECONDS <= (wall - before_wall).total_seconds() - (seconds - before_seconds) <= _STEP_SECONDS:
            step = wall - before_wall - timedelta(seconds=seconds - before_seconds)
            self.stepped()
            self._exchange.ours_moved(step)
            self._on_step(step)
        return wall

    def stepped(self) -> None:
        """Note that the date has just stepped, or that an earlier step was found."""
        self._stepped_seconds = self._clock.monotonic_seconds()

    def monotonic_seconds(self) -> float:
        """Return the seconds of the monotonic clock."""
        return self._clock.monotonic_seconds()

    @property
    def read_seconds(self) -> float:
        """The monotonic clock when the date was last read, without another system call."""
        return self._last[1]

    @property
    def is_steady(self) -> bool:
        """Whether the date, as last read, is steady and close to the Exchange's."""
        since = self._stepped_seconds
        is_calm = since is None or self._last[1] - since >= _STEADY_SECONDS
        return is_calm and not self.why_untrusted()

    @property
    def is_due(self) -> bool:
        """Whether a comparison of the two clocks is due."""
        self.now()
        age = self._age_seconds()
        return age is None or age >= _COMPARED_EVERY_SECONDS or self._exchange.is_doubtful

    def compared(self) -> None:
        """Note that the clocks were compared."""
        self._compared_seconds = self._clock.monotonic_seconds()

    def why_unknown(self) -> str:
        """Return why the Exchange's stamps cannot be converted to our time; empty if they can.

        A large offset between the clocks does not prevent it.
        """
        if not self._exchange.is_known:
            return self._exchange.why_unknown
        compared = self._compared_seconds
        if compared is None or self._last[1] - compared > _COMPARED_WITHIN_SECONDS:
            return "the Exchange's clock has not been compared with ours for too long"
        return ""

    def why_untrusted(self) -> str:
        """Return why no grant may depend on the date or the Exchange's stamps; empty if it may."""
        unknown, offset = self.why_unknown(), self._exchange.offset
        if unknown or abs(offset) <= _APART:
            return unknown
        which = "ahead of" if offset > timedelta() else "behind"
        return (
            f"the Exchange's clock is {duration(abs(offset))} {which} ours; one of them is wrong: "
            "set it right (timedatectl shows whether it is synchronised)"
        )

    def _age_seconds(self) -> float | None:
        compared = self._compared_seconds
        return None if compared is None else self.read_seconds - compared
