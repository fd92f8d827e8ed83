"""Our date and the Exchange's, and what moves along when one of them is set.

The clocks and the picture move at once, moments in the store with the next write of the cycle.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from agbot.clock import Clock
from agbot.coordinator.clocks.clocks import AWAY_STEP, Clocks
from agbot.coordinator.clocks.seen_clock import SeenClock
from agbot.exchange.timestamps import ExchangeClock
from agbot.fleet.picture import Picture
from agbot.rules.seen_time import ClockMark, Gap, SeenTime

_DATE_WAS_SET = "the date was set a moment ago"


class Dates:
    """The clocks of one coordinator."""

    def __init__(self, clock: Clock, exchange: ExchangeClock, picture: Picture, reach: timedelta) -> None:
        """Let seen time run for `reach` after a read of the change feed without the next one."""
        self.clocks = Clocks(clock, exchange, self._stepped)
        self.seen_clock = SeenClock(self.clocks, reach)
        self._picture = picture
        self.unmoved = timedelta()
        """How far the date has stepped since the moments in the store were last moved with it."""
        self._exchange_ahead: timedelta | None = None
        """How far the Exchange's clock is ahead, or was when that was last stored; None if never
        known."""
        self._has_compared = False
        self._exchange_set_at: datetime | None = None
        """When the Exchange's clock was last set while this process ran. It has dated the stamps of
        before by the clock of that time, but a later process will date them by another one."""

    def resume(self, mark: ClockMark | None, latest: SeenTime | None) -> None:
        """Resume the seen clock from the stored mark, but not before `latest`."""
        self._exchange_ahead = mark.exchange_ahead if mark is not None else None
        self.seen_clock.resume(mark, latest)

    def unsaved(self, *, at_once: bool) -> ClockMark | None:
        """Return the mark to write to the store; None if that is not due (`SeenClock.unsaved`)."""
        mark, ahead = self.seen_clock.unsaved(at_once=at_once), self._exchange_ahead
        if mark is None:
            return None
        if (at := self._exchange_set_at) is not None:
            mark = replace(mark, gaps=tuple(sorted({*mark.gaps, Gap(at, at, is_step=True)}, key=lambda gap: gap.end)))
        return replace(mark, exchange_ahead=None if ahead is None else ahead + self.unmoved)

    def learnt_offset(self, ahead: timedelta) -> None:
        """Note how far the Exchange's clock is ahead.

        The first time after a start, this shows whether our date has stepped while no process ran.
        If the Exchange's clock was set instead, its earlier stamps are of its old clock, and the
        moments that are compared with them have to move too.
        """
        before, self._exchange_ahead = self._exchange_ahead, ahead
        step = before - ahead if before is not None else timedelta()
        if not self._has_compared:
            # they were converted to our time before the offset was known
            self._picture.stamps.forget()
        if abs(step) > AWAY_STEP and self._has_compared:
            self._exchange_set_at = self.clocks.now()
        elif abs(step) > AWAY_STEP:
            self.unmoved += step
            self.seen_clock.date_had_stepped(step)
            self.clocks.stepped()
        self._has_compared = True

    def _stepped(self, step: timedelta) -> None:
        self.unmoved += step
        if self._exchange_ahead is not None:
            self._exchange_ahead -= step
        self._exchange_set_at = self._exchange_set_at and self._exchange_set_at + step
        self.seen_clock.date_stepped(step)
        self._picture.date_stepped(step)

    def why_unknown(self) -> str:
        """Return why stamps cannot be compared now, so that no lease can be judged.

        Empty if they can.
        """
        self.clocks.now()
        return _DATE_WAS_SET if self.unmoved else self.clocks.why_unknown()

    def why_untrusted(self) -> str:
        """Return why no grant may depend on the clock; empty if it may."""
        self.clocks.now()
        return _DATE_WAS_SET if self.unmoved else self.clocks.why_untrusted()
