"""Two kinds of time. What people, calendars and the Exchange say is wall time; how long something has lasted is counted in seen time.

Seen time goes on only while we could see: the Exchange readable, the process running, the clock steady. So a lease does not expire, and a
node does not fall silent, while nobody was able to look: our blindness is no evidence about a node. A `SeenTime` cannot be mistaken for
wall time: comparing it with a datetime, or taking one from the other, is a `TypeError` (and an error of mypy before that).

A `SeenTime` is written like a time of day, as if we had never been blind. It therefore only ever lags behind the wall clock, and what was
stored before there was seen time reads as the same moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import overload

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
class Now:
    """The present moment, in both kinds of time."""

    wall: datetime
    """The coordinator's wall clock: for windows, pauses and the Exchange's stamps, which are mapped onto it."""
    seen: SeenTime
    """For every age, expiry, deadline and window of proof."""

    @classmethod
    def unblinded(cls, wall: datetime) -> Now:
        """Return the moment of somebody who has never been blind."""
        return cls(wall=wall, seen=SeenTime(wall))

    def __add__(self, duration: timedelta) -> Now:
        """Return the moment after this much time in which we could see."""
        return Now(wall=self.wall + duration, seen=self.seen + duration)

    def __sub__(self, duration: timedelta) -> Now:
        """Return the moment before it."""
        return self + -duration

    def seen_at(self, moment: datetime) -> SeenTime:
        """Return what the seen clock showed at a moment of the wall clock, such as a stamp of the Exchange."""
        return self.seen - (self.wall - moment)

    def age_of(self, moment: datetime) -> timedelta:
        """Return how much seen time has gone by since a moment of the wall clock. Negative for one in the future."""
        return self.seen - self.seen_at(moment)

    def shown(self, moment: SeenTime) -> datetime:
        """Return when that was on the wall clock, or when it will be at the earliest: for people and for the journal."""
        return self.wall + (moment - self.seen)
