"""Our date, the Exchange's date and seen time: whether they can be trusted, and what a step moves.

Our date is compared with the monotonic clock whenever it is read, and the Exchange's clock with
ours every few minutes. A step of the date is a fact about our clock only. After a step, everything
counts as unread until it has been read again, moments that are compared with the Exchange's stamps
move along with the date (the clocks and the picture at once, the store with the next write of the
cycle), and nothing is granted until the Exchange's clock has been compared again. What ends at a
date (a hold, a window, an old entry of the journal) waits until the date has been steady for a
while.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from agbot.clock import Clock
from agbot.coordinator.clocks.seen_clock import SeenClock
from agbot.exchange.timestamps import ExchangeClock
from agbot.fleet.picture import Picture
from agbot.rules.seen_time import ClockMark, Gap, Now, SeenTime
from agbot.rules.words import duration

_STEP_SECONDS = 2.0
"""A difference between date and monotonic clock from one reading to the next that is a step.

A gradual adjustment of the clock makes none as large.
"""
_STEADY_SECONDS = 300.0
"""How long after a step the date counts as steady again."""
_APART = timedelta(hours=4)
"""If the two clocks differ by more than this, one of them is wrong."""
_AWAY_STEP = timedelta(seconds=5)
"""A difference between two offsets that is a step. Each offset is known to two seconds."""
_COMPARED_EVERY_SECONDS = 300.0
_COMPARED_WITHIN_SECONDS = 1200.0
"""How long a comparison is valid."""
_DATE_WAS_SET = "the date was set a moment ago"


class Dates:
    """The clocks of a coordinator. All code reads the date here, so that every step is noticed."""

    def __init__(self, clock: Clock, exchange: ExchangeClock, picture: Picture, reach: timedelta) -> None:
        """Let seen time run for `reach` after a read of the change feed without the next one."""
        self._clock = clock
        self._exchange = exchange
        self._picture = picture
        self._seen_clock = SeenClock(reach)
        self._last = (clock.now(), clock.monotonic_seconds())
        """The date as it was last read, and when that was on the monotonic clock."""
        self._stepped_seconds: float | None = None
        self._compared_seconds: float | None = None
        self.unmoved = timedelta()
        """How far the date has stepped since the moments in the store were last moved with it."""
        self._exchange_ahead: timedelta | None = None
        """How far the Exchange's clock is ahead, or was when that was last stored; None if never
        known."""
        self._has_compared = False
        self._exchange_set_at: datetime | None = None
        """When the Exchange's clock was last set while this process ran. It has dated the stamps of
        before by the clock of that time, but a later process will date them by another one."""

    def now(self) -> Now:
        """Return the present moment, in both kinds of time."""
        wall, seconds = self._read()
        return self._seen_clock.now(wall, seconds, is_steady=self._is_steady())

    @property
    def is_running(self) -> bool:
        """Whether the seen clock has been resumed."""
        return self._seen_clock.is_running

    def resume(self, mark: ClockMark | None, latest: SeenTime | None) -> None:
        """Resume the seen clock from the stored mark, but not before `latest`."""
        self._exchange_ahead = mark.exchange_ahead if mark is not None else None
        self._seen_clock.resume(mark, latest, *self._read())

    def looked(self, begun_seconds: float) -> timedelta:
        """Note a successful look that began at this monotonic time; return how long we were blind.

        Raises:
            ValueError: the seen clock has not been resumed.
        """
        return self._seen_clock.looked(begun_seconds, *self._read())

    def unsaved(self, *, at_once: bool) -> ClockMark | None:
        """Return the mark to write to the store; None if that is not due (`SeenClock.unsaved`)."""
        mark, ahead = self._seen_clock.unsaved(self._clock.monotonic_seconds(), at_once=at_once), self._exchange_ahead
        if mark is None:
            return None
        if (at := self._exchange_set_at) is not None:
            mark = replace(mark, gaps=tuple(sorted({*mark.gaps, Gap(at, at, is_step=True)}, key=lambda gap: gap.end)))
        return replace(mark, exchange_ahead=None if ahead is None else ahead + self.unmoved)

    def saved(self) -> None:
        """Note that the mark was written."""
        self._seen_clock.saved(self._clock.monotonic_seconds())

    @property
    def is_comparison_due(self) -> bool:
        """Whether a comparison of our clock and the Exchange's is due."""
        _, seconds = self._read()
        compared = self._compared_seconds
        return compared is None or seconds - compared >= _COMPARED_EVERY_SECONDS or self._exchange.is_doubtful

    def compared(self) -> None:
        """Note that the clocks were compared, and learn how far the Exchange's is ahead of ours.

        The first time after a start, this shows whether our date has stepped while no process ran.
        If the Exchange's clock was set instead, its earlier stamps are of its old clock, and the
        moments that are compared with them have to move too.
        """
        self._compared_seconds = self._clock.monotonic_seconds()
        if not self._exchange.is_known:
            return
        before, self._exchange_ahead = self._exchange_ahead, self._exchange.offset
        step = before - self._exchange_ahead if before is not None else timedelta()
        if not self._has_compared:
            # they were converted to our time before the offset was known
            self._picture.stamps.forget()
        if abs(step) > _AWAY_STEP and self._has_compared:
            self._exchange_set_at, _ = self._read()
        elif abs(step) > _AWAY_STEP:
            self.unmoved += step
            self._seen_clock.date_had_stepped(step, self.now().seen)
            self._stepped_seconds = self._clock.monotonic_seconds()
        self._has_compared = True

    def why_unknown(self) -> str:
        """Return why stamps cannot be compared now, so that no lease can be judged.

        Empty if they can. A large offset between the clocks does not prevent it.
        """
        self._read()
        return _DATE_WAS_SET if self.unmoved else self._why_not_comparable()

    def why_untrusted(self) -> str:
        """Return why no grant may depend on the date or the Exchange's stamps; empty if it may."""
        self._read()
        return _DATE_WAS_SET if self.unmoved else self._why_wrong()

    def _read(self) -> tuple[datetime, float]:
        """Read the date, and the monotonic clock at that moment; note a step of the date."""
        wall, seconds = self._clock.now(), self._clock.monotonic_seconds()
        (before_wall, before_seconds), self._last = self._last, (wall, seconds)
        if not -_STEP_SECONDS <= (wall - before_wall).total_seconds() - (seconds - before_seconds) <= _STEP_SECONDS:
            self._stepped(wall - before_wall - timedelta(seconds=seconds - before_seconds))
        return wall, seconds

    def _stepped(self, step: timedelta) -> None:
        self._stepped_seconds = self._clock.monotonic_seconds()
        self._exchange.ours_moved(step)
        self.unmoved += step
        if self._exchange_ahead is not None:
            self._exchange_ahead -= step
        self._exchange_set_at = self._exchange_set_at and self._exchange_set_at + step
        self._seen_clock.date_stepped(step)
        self._picture.date_stepped(step)

    def _is_steady(self) -> bool:
        """Whether the date, as last read, is steady and close to the Exchange's."""
        since = self._stepped_seconds
        is_calm = since is None or self._last[1] - since >= _STEADY_SECONDS
        return is_calm and not self._why_wrong()

    def _why_not_comparable(self) -> str:
        if not self._exchange.is_known:
            return self._exchange.why_unknown
        compared = self._compared_seconds
        if compared is None or self._last[1] - compared > _COMPARED_WITHIN_SECONDS:
            return "the Exchange's clock has not been compared with ours for too long"
        return ""

    def _why_wrong(self) -> str:
        """Return that the clocks cannot be compared, or are far apart; empty if neither is so."""
        unknown, offset = self._why_not_comparable(), self._exchange.offset
        if unknown or abs(offset) <= _APART:
            return unknown
        which = "ahead of" if offset > timedelta() else "behind"
        return (
            f"the Exchange's clock is {duration(abs(offset))} {which} ours; one of them is wrong: "
            "set it right (timedatectl shows whether it is synchronised)"
        )
