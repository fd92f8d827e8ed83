"""Two kinds of time: wall time and seen time.

People, calendars and the Exchange use wall time. How long something has lasted is counted in seen
time.

Seen time advances only while the coordinator can see: the Exchange is readable, the process runs,
and the clock is steady. So a lease does not expire, and a node does not fall silent, while the
coordinator could not look: its blindness is no evidence about a node. A `SeenTime` cannot be
mistaken for wall time: comparing it with a datetime, or subtracting one from the other, is a
`TypeError` (and before that an error of mypy).

A `SeenTime` is written as the time of day would be if the coordinator had never been blind.
Therefore it can only lag behind the wall clock, and a record from before there was seen time is
read as the same moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import overload

import msgspec

_NOTHING = timedelta()
_MIXED = "seen time is compared with seen time only: the wall clock continues while we cannot see"


class SeenTime:
    """A moment on the clock that stands still while the coordinator cannot see.

    Not a dataclass, because JSON has to hold it as one text.
    """

    __slots__ = ("as_if_never_blind",)
    as_if_never_blind: datetime
    """The form in which it is stored. It is not a time to show to people or to compare with a
    stamp: see `Now.shown`."""

    def __init__(self, as_if_never_blind: datetime) -> None:
        """Take an aware datetime: the wall clock if the coordinator had never been blind."""
        _keep(self, as_if_never_blind)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse, because it is a value."""
        message = f"a SeenTime does not change: {name}={value!r}"
        raise AttributeError(message)

    def __repr__(self) -> str:
        """Return the expression that makes it."""
        return f"SeenTime({self.as_if_never_blind!r})"

    def __hash__(self) -> int:
        """Hash it as a value."""
        return hash((SeenTime, self.as_if_never_blind))

    def __eq__(self, other: object) -> bool:
        """Equal to the same seen time, never to a datetime."""
        return isinstance(other, SeenTime) and self.as_if_never_blind == other.as_if_never_blind

    # Python takes `>` and `>=` from these. They are called thousands of times in a cycle.
    def __lt__(self, other: SeenTime) -> bool:
        """Return whether it is earlier."""
        try:
            return self.as_if_never_blind < other.as_if_never_blind
        except AttributeError as error:
            raise TypeError(_MIXED) from error

    def __le__(self, other: SeenTime) -> bool:
        """Return whether it is not later."""
        try:
            return self.as_if_never_blind <= other.as_if_never_blind
        except AttributeError as error:
            raise TypeError(_MIXED) from error

    def __add__(self, other: timedelta) -> SeenTime:
        """Return the moment that is this much seen time later."""
        return SeenTime(self.as_if_never_blind + other)

    @overload
    def __sub__(self, other: SeenTime) -> timedelta: ...
    @overload
    def __sub__(self, other: timedelta) -> SeenTime: ...
    def __sub__(self, other: SeenTime | timedelta) -> SeenTime | timedelta:
        """Return the seen time between two moments, or the moment that is this much earlier."""
        if isinstance(other, SeenTime):
            return self.as_if_never_blind - other.as_if_never_blind
        # a datetime cannot be negated, so it is refused
        return SeenTime(self.as_if_never_blind + -other)


_keep = SeenTime.__dict__["as_if_never_blind"].__set__
"""Past `__setattr__`, and twice as fast as by `object`: every moment is one."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A period of the wall clock in which the coordinator was blind: the seen clock stood still.

    If it ends before it starts, the Exchange's clock was set back at its end: the times before it,
    by that clock, run on into the present.
    """

    start: datetime
    end: datetime
    is_step: bool = False
    """One of the two clocks was set in it."""


SETTLING = timedelta(seconds=60)
"""The least time after a blindness before anything follows from silence; a node gets its own
heartbeat interval if that is longer. An agent sends again every 10 s what the Exchange did not
take, and a heartbeat when it is due."""


def settling_of(interval_seconds: float) -> timedelta:
    """Return how long a periodic event is waited for after a blindness."""
    return max(SETTLING, timedelta(seconds=interval_seconds))


class Now(msgspec.Struct, frozen=True):
    """The present moment in both kinds of time."""

    wall: datetime
    """The coordinator's wall clock: for windows, holds and the Exchange's stamps, which are
    mapped onto it."""
    seen: SeenTime
    """For every age, expiry, deadline and window of proof."""
    clear_since: SeenTime | None = None
    """When the coordinator could see again after the last blindness; None if there was none
    recently."""
    gaps: tuple[Gap, ...] = ()
    """When the coordinator was blind, in order, as far back as it matters."""
    is_steady: bool = True
    """Whether the date has not been set for a while and agrees roughly with the Exchange's:
    otherwise nothing begins or ends by its date."""
    blind: timedelta = _NOTHING
    """For how long the coordinator has been blind, if it still is. Seen time stands still, so only
    what is shown to people counts it."""

    @classmethod
    def unblinded(cls, wall: datetime) -> Now:
        """Return a moment with no blindness before it."""
        return cls(wall=wall, seen=SeenTime(wall))

    def __add__(self, duration: timedelta) -> Now:
        """Return the moment after this much time without blindness."""
        return msgspec.structs.replace(self, wall=self.wall + duration, seen=self.seen + duration)

    def __sub__(self, duration: timedelta) -> Now:
        """Return the moment that is this much earlier."""
        return self + -duration

    def is_settled(self, interval_seconds: float = 0.0) -> bool:
        """Return whether a periodic event could have come since the last blindness."""
        return self.clear_since is None or self.seen - self.clear_since >= settling_of(interval_seconds)

    def seen_at(self, moment: datetime) -> SeenTime:
        """Return the seen time at a moment of the wall clock, such as a stamp of the Exchange."""
        # A gap that ends before it starts counts negatively: the Exchange's clock was set back
        # then, and what it stamped before is older than it looks by the size of the step.
        blind = _NOTHING
        for gap in reversed(self.gaps):
            if moment >= gap.end:
                break  # earlier gaps were over by then
            blind += gap.end - max(gap.start, moment)
        return self.seen - (self.wall - moment) + blind

    def age_of(self, moment: datetime) -> timedelta:
        """Return the seen time that has passed since a moment of the wall clock.

        Negative if the moment is in the future.
        """
        return self.seen - self.seen_at(moment)

    @property
    def certain_since(self) -> datetime | None:
        """Since when a time by the Exchange's clock is certain; None: always."""
        # which clock was set while no coordinator ran is not known, so a time from before may be
        # that of any moment before
        return next((gap.end for gap in reversed(self.gaps) if gap.is_step), None)

    def shown(self, moment: SeenTime) -> datetime:
        """Return that moment on the wall clock, for people and for the journal.

        For a moment in the future it is the earliest possible time.
        """
        shown = self.wall + (moment - self.seen)
        # One at which time stands still may be any since then, and is shown as now: a member that
        # first asks in an outage has not waited since its beginning. The journal has its date.
        if moment < self.seen:
            shown -= self.blind
        for gap in reversed(self.gaps):
            # a step back of the Exchange's clock has taken no time on ours
            if shown >= gap.end or gap.end < gap.start:
                break
            shown -= gap.end - gap.start
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockMark:
    """The state of the seen clock in the store: after a restart it continues from there."""

    seen: SeenTime
    wall: datetime
    """What the wall clock showed at that moment."""
    clear_since: SeenTime | None = None
    settlings: int = 0
    """How many blindnesses have followed each other without a calm period between them."""
    gaps: tuple[Gap, ...] = ()
    exchange_ahead: timedelta | None = None
    """How far the Exchange's clock was ahead of the clock of the stored dates; None if that was not
    known."""
