"""Where the lines of a drawing are, in its own units: the templates write them as SVG. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from agbot.console.page.words import short_clock

WIDTH: Final = 1000.0
_STEPS: Final = tuple(
    timedelta(seconds=seconds)
    for seconds in (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800)
)
_MOST_TICKS: Final = 6
_MARK: Final = 5.0
"""Marks nearer to each other than this are one: thousands of groups may have failed."""
_EDGE: Final = 150.0
"""Nearer to an end than this, half a label would be outside a drawing of the width of a phone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A span of time over the width of a drawing."""

    begins: datetime
    ends: datetime

    def x(self, moment: datetime) -> float:
        """Return where a moment is; outside the span, its nearest end."""
        part = (moment - self.begins) / (self.ends - self.begins)
        return round(min(max(part, 0.0), 1.0) * WIDTH, 1)

    def ticks(self) -> list[Tick]:
        """Return round times to label, a handful."""
        span = self.ends - self.begins
        step = next((each for each in _STEPS if span / each <= _MOST_TICKS), span / _MOST_TICKS)
        # a Monday, so that steps of a week begin with the week
        zero = datetime(2000, 1, 3, tzinfo=UTC)
        first = zero + (self.begins - zero) // step * step + step
        found = (first + number * step for number in range(_MOST_TICKS + 1))
        return [Tick(x=self.x(each), text=short_clock(each, self.ends)) for each in found if each < self.ends]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A labelled moment."""

    x: float
    text: str

    @property
    def anchor(self) -> str:
        """Where its text begins, as SVG names it: within the drawing, also on a phone."""
        return "start" if self.x < _EDGE else "end" if self.x > WIDTH - _EDGE else "middle"


def axis(begins: datetime, ends: datetime, least: timedelta = timedelta(minutes=10)) -> Axis:
    """Return the axis of a span, which is at least `least` long."""
    return Axis(begins=min(begins, ends - least), ends=ends)


_HEIGHT: Final = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The number of groups that were done, over time."""

    axis: Axis
    line: str
    """The points of a stepped line, as SVG writes them."""
    area: str
    begun: str
    """The area of the groups that had begun, likewise."""
    top: int
    """The number at the upper edge."""
    failures: Sequence[float]
    """Where groups failed."""


def curve(
    begins: Sequence[datetime],
    ends: Sequence[datetime],
    failures: Sequence[datetime],
    *,
    groups: int,
    known_before: int,
    over: Axis,
) -> Curve:
    """Draw how many groups had begun, and how many were done, at each moment.

    `known_before` are done at a time that is not known: they count from the left edge on.
    """
    top = max(groups, 1)
    line = _steps(ends, known_before, top, over)
    return Curve(
        axis=over,
        line=line,
        area=_area(line),
        begun=_area(_steps(begins, known_before, top, over)),
        top=top,
        failures=sorted({_MARK * round(over.x(each) / _MARK) for each in failures}),
    )


def _area(line: str) -> str:
    return f"0,{_HEIGHT:g} {line} {WIDTH:g},{_HEIGHT:g}"


def _steps(moments: Sequence[datetime], before: int, top: int, over: Axis) -> str:
    """Return the points of a line that rises by one at each moment.

    It is drawn by columns, of which each asks for its number: there may be many more moments.
    """
    known, span = sorted(moments), (over.ends - over.begins) / WIDTH

    def y(number: int) -> float:
        return round(_HEIGHT - min(number, top) / top * _HEIGHT, 1)

    points, number = [(0.0, y(before))], before
    for column in range(int(WIDTH) + 1):
        until = over.begins + span * (column + 0.5)
        # the last column is now: an end of this moment belongs to it
        now = before + (bisect_right(known, until) if column < WIDTH else len(known))
        if now != number:
            points += [(float(column), y(number)), (float(column), y(now))]
            number = now
    points.append((WIDTH, y(number)))
    return " ".join(f"{x:g},{height:g}" for x, height in dict.fromkeys(points))
