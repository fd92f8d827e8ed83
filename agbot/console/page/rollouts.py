"""The rollouts as they are now, each summarised from the coordinator and the journal."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from agbot.console.page import drawing, forecast
from agbot.console.page.accuracy import Accuracy, accuracy
from agbot.console.page.chronicle import Record, Rollout
from agbot.console.page.chronicler import Chronicler
from agbot.console.page.drawing import Curve
from agbot.console.page.forecast import Forecast, NoForecast
from agbot.console.page.standing import Stand, Standing, Summary, stand, summarise
from agbot.coordinator.listings import Subject
from agbot.coordinator.operations import Operations
from agbot.rules.ids import GroupId

_MOST_LISTED: Final = 50
_FRESH_SECONDS: Final = 2.0
"""A summary is shown again for this time at most: every open page asks after every event."""
_FRESH_FACTOR: Final = 10.0
"""A summary is shown again for at most this many times as long as it took. If a quick one was kept
longer, a page that reads it after the last of several events would show the state before that event
until its next read, 15 s later."""
_AT_ONCE: Final = 250
"""Groups between two pauses, in which questions of nodes are answered."""
_MOMENTS: Final = 8
_HALTED: Final = "nothing is granted at present"
_IN_ORDER: Final = (
    Standing.FAILED,
    Standing.SUSPECT,
    Standing.RUNNING,
    Standing.WAITING,
    Standing.PARTLY,
    Standing.DONE,
    Standing.UNTOUCHED,
)
_URGENT: Final = {standing: place for place, standing in enumerate(_IN_ORDER)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One rollout in a list."""

    rollout: Rollout
    subject: Subject
    last_at: datetime | None = None
    summary: Summary | None = None
    end: Forecast | NoForecast | None = None

    @property
    def is_active(self) -> bool:
        """Whether it is under way, waited for or stopped anywhere."""
        return bool(self.subject.running or self.subject.waiting or self.subject.stopped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The first rollouts of all."""

    lines: Sequence[Line]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """One rollout with its past and its expected end."""

    summary: Summary
    begins: Mapping[GroupId, datetime]
    begun_at: datetime | None
    curve: Curve | None
    end: Forecast | NoForecast


class Rollouts:
    """Summarises rollouts, each at most every other second."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self.chronicler = Chronicler(operations)
        self._known: dict[Rollout, tuple[float, Summary]] = {}
        """Each summary, and until when it is shown again."""
        self._wholes: dict[Rollout, Whole] = {}
        self._lock = asyncio.Lock()

    async def lines(self, now: datetime, *, summarised: int, most: int = _MOST_LISTED) -> Listed:
        """List the rollouts, active ones first, then by their last event.

        The first `summarised` have their summary.
        """
        chronicle = await self.chronicler.current()
        subjects = {(each.kind, each.policy): each for each in self._operations.subjects()}
        found = [
            Line(
                rollout=rollout,
                subject=subjects.get(rollout) or Subject(kind=rollout[0], policy=rollout[1]),
                last_at=record.last_at if (record := chronicle.rollouts.get(rollout)) else None,
            )
            for rollout in {**subjects, **chronicle.rollouts}
        ]
        # also by their name, so that those of one moment keep their places while one looks at them
        found.sort(
            key=lambda each: (not each.is_active, -(each.last_at.timestamp() if each.last_at else 0.0), each.rollout)
        )
        shown = found[:most]
        head = [await self._summarised(each, now) for each in shown[:summarised]]
        return Listed(lines=[*head, *shown[summarised:]], total=len(found))

    async def has_begun(self, rollout: Rollout) -> bool:
        """Whether it is under way, waited for or stopped anywhere, or in the journal."""
        chronicle = await self.chronicler.current()
        return rollout in chronicle.rollouts or rollout in {
            (each.kind, each.policy) for each in self._operations.subjects()
        }

    async def _summarised(self, line: Line, now: datetime) -> Line:
        summary = await self.summary(line.rollout)
        if not line.is_active:
            return replace(line, summary=summary)
        record = self.chronicler.chronicle.rollouts.get(line.rollout) or Record()
        return replace(line, summary=summary, end=self._end(line.rollout, record, summary, now))

    def _end(self, rollout: Rollout, record: Record, summary: Summary, now: datetime) -> Forecast | NoForecast:
        found = forecast.forecast(summary, now, record.tenures(self._operations.revised_at(*rollout)))
        # the pace is that of a time in which upgrades began, and says nothing about when they will
        is_halted = isinstance(found, Forecast) and not self._operations.overview().ready
        return NoForecast(why=_HALTED) if is_halted else found

    async def summary(self, rollout: Rollout) -> Summary:
        """Return how far all groups are."""
        loop, chronicle = asyncio.get_running_loop(), self.chronicler.chronicle
        # one at a time: ten pages that ask at once would each go through all groups
        async with self._lock:
            known = self._known.get(rollout)
            if known is not None and loop.time() < known[0]:
                return known[1]
            began = loop.time()
            found = await self._fold(rollout, chronicle.rollouts.get(rollout) or Record())
            ended = loop.time()
            until = ended + min((ended - began) * _FRESH_FACTOR, _FRESH_SECONDS)
            self._known = {key: each for key, each in self._known.items() if ended < each[0]}
            self._known[rollout] = (until, found)
            return found

    def drop_summaries(self) -> None:
        """Forget the summaries: those of thousands of groups take megabytes."""
        self._known.clear()
        self._wholes.clear()  # each has its summary too

    async def whole(self, rollout: Rollout, now: datetime) -> Whole:
        """Return one rollout with its past."""
        chronicle = await self.chronicler.current()
        record, summary = chronicle.rollouts.get(rollout) or Record(), await self.summary(rollout)
        known = self._wholes.get(rollout)
        if known is not None and known.summary is summary:
            return known
        revised_at = self._operations.revised_at(*rollout)
        begins = _first_begins(record, revised_at)
        await asyncio.sleep(0)
        curve = _curve_of(summary, begins, now)
        await asyncio.sleep(0)
        found = Whole(
            summary=summary,
            begins=begins,
            begun_at=begun_at(begins),
            curve=curve,
            end=self._end(rollout, record, summary, now),
        )
        current = {key: each for key, (_, each) in self._known.items()}
        self._wholes = {key: each for key, each in self._wholes.items() if current.get(key) is each.summary}
        self._wholes[rollout] = found
        return found

    @property
    def accuracy(self) -> Accuracy:
        """How the estimates of past rollouts turned out."""
        return accuracy(self.chronicler.chronicle.ended)

    async def _fold(self, rollout: Rollout, record: Record) -> Summary:
        revised_at, found = self._operations.revised_at(*rollout), list[Stand]()
        for facts in self._operations.progress(*rollout):
            found.append(stand(facts, record.of(facts.group), revised_at))
            if len(found) % _AT_ONCE == 0:
                await asyncio.sleep(0)
        return summarise(found)


def _first_begins(record: Record, revised_at: datetime | None) -> Mapping[GroupId, datetime]:
    """Return when each group first received the lease for the policy's present revision."""
    found: dict[GroupId, datetime] = {}
    for at, group in record.begun:
        # an upgrade to an earlier revision is another rollout under the same name
        if revised_at is None or at >= revised_at:
            found.setdefault(group, at)
    return found


def begun_at(begins: Mapping[GroupId, datetime]) -> datetime | None:
    """Return when the first group began."""
    return min(begins.values(), default=None)


def _curve_of(summary: Summary, begins: Mapping[GroupId, datetime], now: datetime) -> Curve | None:
    """Draw how many groups that follow the policy had begun, and how many were done.

    None before any has begun.
    """
    begun = begun_at(begins)
    # after a step of the date back, the beginning may be in the future
    if begun is None or begun >= now:
        return None
    ends = [each.done_at for each in summary.stands if each.done_at is not None]
    # done before the journal begins, or without a lease: they raise the curve from its left edge on
    undated = summary.counts[Standing.DONE] - len(ends)
    failures = [each.since for each in summary.stands if each.standing is Standing.FAILED and each.since is not None]
    return drawing.curve(
        list(begins.values()),
        ends,
        failures,
        groups=summary.expected,
        known_before=undated,
        over=drawing.axis(begun, now),
    )


def over_time(summary: Summary, begins: Mapping[GroupId, datetime], now: datetime) -> list[tuple[datetime, int, int]]:
    """Return a handful of moments, with how many groups had begun and were done by then."""
    first = begun_at(begins)
    if first is None or first >= now:
        return []
    started = sorted(begins.values())
    ends = sorted(each.done_at for each in summary.stands if each.done_at is not None)
    undated = summary.counts[Standing.DONE] - len(ends)
    moments = [first + (now - first) * step / _MOMENTS for step in range(1, _MOMENTS + 1)]
    return [(at, undated + bisect_right(started, at), undated + bisect_right(ends, at)) for at in moments]


def selected(stands: Iterable[Stand], *, find: str, standing: str, code: str) -> Sequence[Stand]:
    """Return the groups of a rollout that match, those that need a look first."""
    part = find.casefold()
    found = [
        each
        for each in stands
        if (not standing or each.standing == standing)
        and (not code or each.code == code)
        and part in each.group.casefold()
    ]
    return sorted(found, key=lambda each: (_URGENT[each.standing], each.group))
