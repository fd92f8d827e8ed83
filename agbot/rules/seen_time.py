"""Two kinds of time. What people, calendars and the Exchange say is wall time; how long something has lasted is counted in seen time.

Seen time goes on only while we could see: the Exchange readable, the process running, the clock steady. So a lease does not expire, and a
node does not fall silent, while nobody was able to look: our blindness is no evidence about a node. A `SeenTime` cannot be mistaken for
wall time: comparing it with a datetime, or taking one from the other, is a `TypeError` (and an error of mypy before that).

A `SeenTime` is written like a time of day, as if we had never been blind. It therefore only ever lags behind the wall clock, and what was
stored before there was seen time reads as the same moment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import overload

_NOTHING = timedelta()
_MIXED = "seen time is compared with seen time only: the wall clock goes on while we cannot see"


class SeenTime:
    """A moment on the clock that stands still while we cannot see. Not a dataclass: JSON is to hold it as one text."""

    __slots__ = ("_as_if_never_blind",)
    _as_if_never_blind: datetime

    def __init__(self, as_if_never_blind: datetime) -> None:
        """Take the moment as the wall clock would show it had we never been blind: aware."""
        object.__setattr__(self, "_as_if_never_blind", as_if_never_blind)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: it is a value."""
        message = f"a SeenTime does not change: {name}={value!r}"
        raise AttributeError(message)

    @property
    def as_if_never_blind(self) -> datetime:
        """How it is written down. Not a time to show to people, nor to compare with a stamp: see `Now.shown`."""
        return self._as_if_never_blind

    def __repr__(self) -> str:
        """Return it as it is made."""
        return f"SeenTime({self._as_if_never_blind!r})"

    def __hash__(self) -> int:
        """Hash it as a value."""
        return hash((SeenTime, self._as_if_never_blind))

    def __eq__(self, other: object) -> bool:
        """Equal to the same seen time, never to a datetime."""
        return isinstance(other, SeenTime) and self._as_if_never_blind == other._as_if_never_blind

    def __lt__(self, other: SeenTime) -> bool:
        """Tell whether it is earlier."""
        return self._as_if_never_blind < _inside(other)

    def __le__(self, other: SeenTime) -> bool:
        """Tell whether it is not later."""
        return self._as_if_never_blind <= _inside(other)

    def __gt__(self, other: SeenTime) -> bool:
        """Tell whether it is later."""
        return self._as_if_never_blind > _inside(other)

    def __ge__(self, other: SeenTime) -> bool:
        """Tell whether it is not earlier."""
        return self._as_if_never_blind >= _inside(other)

    def __add__(self, other: timedelta) -> SeenTime:
        """Return the moment so much seen time later."""
        return SeenTime(self._as_if_never_blind + other)

    @overload
    def __sub__(self, other: SeenTime) -> timedelta: ...
    @overload
    def __sub__(self, other: timedelta) -> SeenTime: ...
    def __sub__(self, other: SeenTime | timedelta) -> SeenTime | timedelta:
        """Return the seen time between two moments, or the moment so much earlier."""
        if isinstance(other, SeenTime):
            return self._as_if_never_blind - other._as_if_never_blind
        return SeenTime(self._as_if_never_blind + -other)  # a datetime has no minus, and is refused


def _inside(moment: SeenTime) -> datetime:
    try:
        return moment.as_if_never_blind
    except AttributeError as error:
        raise TypeError(_MIXED) from error


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of the wall clock in which we were blind: the seen clock stood still."""

    start: datetime
    end: datetime


SETTLING = timedelta(seconds=60)
"""After a blindness everybody is given this long, and a node its own heartbeat interval, before anything follows from its silence: what the
Exchange did not take is sent again every 10 s, and a heartbeat comes when it is due."""


def settling_of(interval_seconds: float) -> timedelta:
    """Return how long something is waited for, after a blindness, that comes every so many seconds."""
    return max(SETTLING, timedelta(seconds=interval_seconds))


@dataclass(frozen=True, slots=True)
class Now:
    """The present moment, in both kinds of time."""

    wall: datetime
    """The coordinator's wall clock: for windows, pauses and the Exchange's stamps, which are mapped onto it."""
    seen: SeenTime
    """For every age, expiry, deadline and window of proof."""
    clear_since: SeenTime | None = None
    """When we could see again after the last blindness; None when there was none lately."""
    gaps: tuple[Gap, ...] = ()
    """When we were blind, in order, as far back as it matters."""
    is_steady: bool = True
    """Whether the date has not stepped for a while and is about the Exchange's: otherwise nothing ends or begins by its date."""

    @classmethod
    def unblinded(cls, wall: datetime) -> Now:
        """Return the moment of somebody who has never been blind."""
        return cls(wall=wall, seen=SeenTime(wall))

    def __add__(self, duration: timedelta) -> Now:
        """Return the moment after this much time in which we could see."""
        return replace(self, wall=self.wall + duration, seen=self.seen + duration)

    def __sub__(self, duration: timedelta) -> Now:
        """Return the moment before it."""
        return self + -duration

    def is_settled(self, interval_seconds: float = 0.0) -> bool:
        """Tell whether something that comes every so many seconds has had the time to come since we can see again."""
        return self.clear_since is None or self.seen - self.clear_since >= settling_of(interval_seconds)

    def seen_at(self, moment: datetime) -> SeenTime:
        """Return what the seen clock showed at a moment of the wall clock, such as a stamp of the Exchange."""
        blind = (max(gap.end - max(gap.start, moment), _NOTHING) for gap in self.gaps)
        return self.seen - (self.wall - moment) + sum(blind, _NOTHING)

    def age_of(self, moment: datetime) -> timedelta:
        """Return how much seen time has gone by since a moment of the wall clock. Negative for one in the future."""
        return self.seen - self.seen_at(moment)

    def shown(self, moment: SeenTime) -> datetime:
        """Return when that was on the wall clock, or when it will be at the earliest: for people and for the journal."""
        shown = self.wall + (moment - self.seen)
        for gap in reversed(self.gaps):
            if shown >= gap.end:
                break
            shown -= gap.end - gap.start
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockMark:
    """How far the seen clock has come, for the store: after a restart it goes on from there."""

    seen: SeenTime
    wall: datetime
    """What the wall clock showed at that moment."""
    clear_since: SeenTime | None = None
    settlings: int = 0
    """How many blindnesses have followed each other without a calm between them."""
    gaps: tuple[Gap, ...] = ()
    exchange_ahead: timedelta | None = None
    """How far the Exchange's clock was ahead of the one by which the stored dates are told; None where that was not known."""
