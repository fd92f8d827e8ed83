"""When a rollout will end, as far as its pace so far shows that. Pure.

The ends of groups are taken as a random process of constant rate, from the first end on: before it,
every group was only under way. From `n` ends in a time `T`, the time for `R` more is `T * R / n`,
and the logarithm of its error has the variance `1/n + 1/R` approximately (a ratio of two gamma
distributed times). The interval holds in four of five cases if the pace stays as it is. Nothing is
forecast from fewer than five ends, and groups that wait for a person, the end of a hold or a
maintenance window are not counted: no pace says when that comes. Where there is no forecast, there
is what is known: when there will be one, how long a member takes, and how many are left one after
another.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from agbot.console.page.attention import needs_a_person
from agbot.console.page.standing import Stand, Standing, Summary
from agbot.console.page.words import clock, length
from agbot.rules.reasons import Code
from agbot.rules.words import count

FEWEST: Final = 5
"""Ends of groups before anything is forecast."""
_LATEST: Final = 60
"""Only so many of the latest ends make the pace: it changes over a long rollout."""
_WIDTH: Final = 1.2816
"""Of a normal distribution, the central 80 % are within so many deviations."""
_IDLE_FACTOR: Final = 4.0
"""If the last end is this many times the usual distance ago, the pace is that of the past."""
_WINDOW: Final = "for a maintenance window"
_NO_PACE: Final[Mapping[str, str]] = {Code.OUTSIDE_WINDOW: _WINDOW, Code.PAUSED: "for the end of a hold"}
_NOT_FOLLOWED: Final = "no group is known to follow the policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When the groups that are under way will be done."""

    remaining: int
    earliest: datetime
    likely: datetime
    latest: datetime
    pace_seconds: float
    """Mean time between two ends."""
    ends: int
    """On how many ends it rests, besides the first."""
    shut: int = 0
    """Groups that wait for a maintenance window besides: the pace of the others says nothing about
    them."""
    opens_at: datetime | None = None
    """When the last of these windows opens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoForecast:
    """Why nothing is forecast."""

    why: str
    known: str = ""
    """What is known all the same, in sentences; empty if nothing."""


def forecast(summary: Summary, now: datetime, tenures: Iterable[timedelta] = ()) -> Forecast | NoForecast:
    """Return when the groups that wait for no person, hold or window will be done.

    `tenures` are how long members have held the lease for it that ended well; read only if there
    is no pace, because there may be many.
    """
    open_ones = [each for each in summary.stands if each.is_expected and each.standing is not Standing.DONE]
    waits = [_waits_for(each) for each in open_ones]
    free = [each for each, wait in zip(open_ones, waits, strict=True) if not wait]
    shut = [each for each, wait in zip(open_ones, waits, strict=True) if wait == _WINDOW]
    if not open_ones:
        return NoForecast(why="every group that follows the policy is done" if summary.expected else _NOT_FOLLOWED)
    if not free:
        return NoForecast(why=_in_words(waits), known=_opening(shut))
    ends = sorted(each.done_at for each in summary.stands if each.done_at is not None)
    # there never will be a pace: it would be promised from the first to the last group
    if len(ends) + len(free) + len(shut) < FEWEST:
        return NoForecast(
            why=f"an estimate takes {FEWEST} groups that are done at a known time, and there will not be as many",
            known=_of_few(free, tuple(tenures)),
        )
    if len(ends) < FEWEST:
        return NoForecast(
            why=f"an estimate takes {FEWEST} groups that are done at a known time, and so far there {_are(len(ends))}",
            known=f"{_when_there_is_one(ends, now)} {_of_members(tuple(tenures))}",
        )
    found = _from_pace(ends, len(free), now)
    return replace(found, shut=len(shut), opens_at=_opens_at(shut)) if isinstance(found, Forecast) else found


def _waits_for(group: Stand) -> str:
    """Return what a group waits for that has no pace; empty if it goes on by itself."""
    if needs_a_person(group.standing, group.code):
        return "for a person"
    return _NO_PACE.get(group.code, "")


def _in_words(waits: Sequence[str]) -> str:
    """Say what every group that is left waits for."""
    counted = Counter(waits).most_common()
    causes = [wait if len(counted) == 1 else f"{wait} ({number})" for wait, number in counted]
    named = " or ".join([", ".join(causes[:-1]), causes[-1]] if causes[1:] else causes)
    return f"the {count(len(waits), 'group')} left {'waits' if len(waits) == 1 else 'wait'} {named}"


def _opens_at(shut: Sequence[Stand]) -> datetime | None:
    return max((each.until for each in shut if each.until is not None), default=None)


def _opening(shut: Sequence[Stand]) -> str:
    first = min((each.until for each in shut if each.until is not None), default=None)
    return f"The first opens at {clock(first)}." if first is not None else ""


def _are(number: int) -> str:
    return "is none" if number == 0 else "is 1" if number == 1 else f"are {number}"


def _when_there_is_one(ends: Sequence[datetime], now: datetime) -> str:
    """Say when there will be an estimate, as far as the ends so far show that."""
    missing = FEWEST - len(ends)
    more = f"{missing} more {'is' if missing == 1 else 'are'} done" if ends else f"{missing} are"
    if len(ends) < 2:  # noqa: PLR2004 - a distance is between two
        return f"There will be an estimate when {more}."
    each = (ends[-1] - ends[0]) / (len(ends) - 1)
    left = ends[-1] + each * missing - now
    soon = f", in about {length(left)} if it goes on like that" if left > timedelta() else ""
    return f"So far one was done every {length(each)}. There will be an estimate when {more}{soon}."


def _of_members(tenures: Sequence[timedelta]) -> str:
    """Say how long a member takes."""
    if not tenures:
        return "No member is done yet, so it is not known how long one takes."
    if len(tenures) == 1:
        return f"The one member that is done took {length(tenures[0])}."
    least, most = length(min(tenures)), length(max(tenures))
    took = f"{least} each" if least == most else f"{least} to {most} each"
    return f"The {len(tenures)} members that are done took {took}."


def _of_few(free: Sequence[Stand], tenures: Sequence[timedelta]) -> str:
    """Say what is known of few groups: in each, the members go one after another."""
    left = max(each.members - each.done for each in free)
    if left < 1 or not tenures:
        return _of_members(tenures)
    where = "One member is left in a group" if left == 1 else f"At most {left} members are left in a group, one by one"
    least, most = length(left * min(tenures)), length(left * max(tenures))
    about = least if least == most else f"{least} to {most}"
    return f"{_of_members(tenures)} {where}: about {about}, and whatever they wait for in between."


def _from_pace(ends: Sequence[datetime], remaining: int, now: datetime) -> Forecast | NoForecast:
    start, *latest = ends[-_LATEST - 1 :]
    span, number = (latest[-1] - start).total_seconds(), len(latest)
    # after an outage the ends of many groups are seen in one cycle
    if span <= 0.0:
        return NoForecast(why="the groups so far were done at the same moment")
    pace, idle = span / number, (now - latest[-1]).total_seconds()
    # ten minutes at least: of a fast rollout, four times the usual distance are a few seconds
    if idle > _IDLE_FACTOR * pace and idle > timedelta(minutes=10).total_seconds():
        return NoForecast(
            why=f"no group was done for {length(now - latest[-1])}; before, one every {length(timedelta(seconds=pace))}"
        )
    # up to now, and not to the last end: the time since then without an end is evidence too
    whole = max((now - start).total_seconds(), span)
    likely = whole * remaining / number
    factor = math.exp(_WIDTH * math.sqrt(1 / number + 1 / remaining))
    return Forecast(
        remaining=remaining,
        earliest=now + timedelta(seconds=likely / factor),
        likely=now + timedelta(seconds=likely),
        latest=now + timedelta(seconds=likely * factor),
        pace_seconds=whole / number,
        ends=number,
    )
