"""When a rollout will end, as far as its pace so far shows that. Pure.

The ends of groups are taken as a random process of constant rate, from the first end on: before it,
every group was only under way. From `n` ends in a time `T`, the time for `R` more is `T * R / n`,
and the logarithm of its error has the variance `1/n + 1/R` approximately (a ratio of two gamma
distributed times). The interval holds in four of five cases
if the pace stays as it is. Nothing is forecast from fewer than five ends, and groups that wait for
a person are not counted: no pace says when a person acts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from agbot.console.page.standing import Standing, Summary
from agbot.console.page.words import count, length
from agbot.rules.reasons import Code

FEWEST: Final = 5
"""Ends of groups before anything is forecast."""
_LATEST: Final = 60
"""Only so many of the latest ends make the pace: it changes over a long rollout."""
_WIDTH: Final = 1.2816
"""Of a normal distribution, the central 80 % are within so many deviations."""
_IDLE_FACTOR: Final = 4.0
"""If the last end is this many times the usual distance ago, the pace is that of the past."""
FOR_A_PERSON: Final = frozenset({Code.BRAKE, Code.ORG_BRAKE, Code.PAUSED, Code.NOT_APPROVED, Code.LEASE_SUSPECT})
"""Reasons that only a person ends."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class NoForecast:
    """Why nothing is forecast."""

    why: str


def forecast(summary: Summary, now: datetime) -> Forecast | NoForecast:
    """Return when the groups that need no person will be done."""
    open_ones = [each for each in summary.stands if each.is_expected and each.standing is not Standing.DONE]
    free = [each for each in open_ones if not _needs_person(each.standing, each.code)]
    if not open_ones:
        return NoForecast(why="every group that follows the policy is done")
    if not free:
        left = f"{count(len(open_ones), 'group')} left"
        return NoForecast(
            why=f"the {left} needs a person first" if len(open_ones) == 1 else f"the {left} need a person first"
        )
    ends = sorted(each.done_at for each in summary.stands if each.done_at is not None)
    if len(ends) < FEWEST:
        return NoForecast(
            why=f"{count(len(ends), 'group')} done so far with a known time; it takes {FEWEST} for a pace"
        )
    return _from_pace(ends, len(free), now)


def _from_pace(ends: Sequence[datetime], remaining: int, now: datetime) -> Forecast | NoForecast:
    start, *latest = ends[-_LATEST - 1 :]
    span, number = (latest[-1] - start).total_seconds(), len(latest)
    if span <= 0.0:
        return NoForecast(why="the groups so far were done at the same moment")
    pace, idle = span / number, (now - latest[-1]).total_seconds()
    if idle > _IDLE_FACTOR * pace and idle > timedelta(minutes=10).total_seconds():
        return NoForecast(
            why=f"no group was done for {length(now - latest[-1])}; before, one every {length(timedelta(seconds=pace))}"
        )
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


def _needs_person(standing: Standing, code: str) -> bool:
    return standing in {Standing.FAILED, Standing.SUSPECT} or code in FOR_A_PERSON
