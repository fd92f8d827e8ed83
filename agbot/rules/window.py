"""Maintenance windows: when an upgrade may start.

A window opens at a local wall-clock time on given weekdays and closes at another, possibly on the
next day. The wall clock of its time zone decides, so it keeps its local hours when daylight saving
time begins or ends. The end of a window stops new grants and revokes none.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_LOOK_AHEAD_DAYS = 16
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A weekly window in local time. `weekdays` are 0 (Monday) to 6, the days on which it opens."""

    weekdays: frozenset[int]
    opens: time
    closes: time
    zone: tzinfo = UTC
    written: str = field(default="", compare=False)
    """The text that the window was read from."""

    def __str__(self) -> str:
        """Return the window as an operator writes it."""
        if self.written:
            return self.written
        days = ",".join(WEEKDAYS[day] for day in sorted(self.weekdays))
        return f"{days} {self.opens:%H:%M}-{self.closes:%H:%M} {self.zone}"


def is_open(window: Window, now: datetime) -> bool:
    """Return whether the window is open at `now`."""
    local = now.astimezone(window.zone)
    # 22:00-04:00 lasts into the next day, and 00:00-24:00 is kept as 00:00-00:00: the whole day
    overnight = window.closes <= window.opens
    clock = local.time().replace(tzinfo=None)
    opened_today = local.weekday() in window.weekdays and clock >= window.opens
    if not overnight:
        return opened_today and clock < window.closes
    opened_yesterday = (local.weekday() - 1) % 7 in window.weekdays and clock < window.closes
    return opened_today or opened_yesterday


def next_opening(windows: tuple[Window, ...], now: datetime) -> datetime | None:
    """Return the earliest time at or after `now` when a window is open, to the minute.

    None if none ever opens.
    """
    if any(is_open(window, now) for window in windows):
        return now
    found = [opening for window in windows for opening in (next(_openings(window, now), None), _reopening(window, now))]
    return min((opening for opening in found if opening is not None), default=None)


def _openings(window: Window, now: datetime) -> Iterator[datetime]:
    """Yield when the window opens on each of the coming days, in order."""
    # more than two weeks, because a change of the clocks may skip the one opening of a week
    today = now.astimezone(window.zone).date()
    for day in (today + timedelta(days=ahead) for ahead in range(_LOOK_AHEAD_DAYS)):
        opening = _opening(window, day, now) if day.weekday() in window.weekdays else None
        if opening is not None:
            yield opening


def _opening(window: Window, day: date, now: datetime) -> datetime | None:
    """Return when the window opens on this day, not before `now`; None if it does not."""
    # If the clocks change at that time, it comes twice or never: then each minute between the two
    # readings of it is tried. On all other days they are one, and so is the minute.
    opens = datetime.combine(day, window.opens, window.zone)
    either = (opens.astimezone(UTC), opens.replace(fold=1).astimezone(UTC))
    minutes = int((max(either) - min(either)) / _MINUTE)
    moments = (min(either) + minute * _MINUTE for minute in range(minutes + 1))
    return next((moment for moment in moments if moment >= now and is_open(window, moment)), None)


def _reopening(window: Window, now: datetime) -> datetime | None:
    """Return when the clocks are put back into the window; None if they are not."""
    start, zone = now.replace(second=0, microsecond=0), window.zone
    offset, minutes = start.astimezone(zone).utcoffset(), range(_LOOK_AHEAD_DAYS * 24 * 60)
    if offset == (start + len(minutes) * _MINUTE).astimezone(zone).utcoffset():
        return None
    # a change of the clocks is found by halves: there is one in these 16 days, or none
    changed = bisect_left(
        minutes, x=True, key=lambda minute: (start + minute * _MINUTE).astimezone(zone).utcoffset() != offset
    )
    moment = start + changed * _MINUTE
    # it has closed in the hour that comes twice, and opens again in the second one
    return moment if is_open(window, moment) else None
