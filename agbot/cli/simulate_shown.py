"""What `agbot simulate` shows: a table with a summary at its end, JSON, and the progress."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Final

import click
import msgspec
from rich.console import Console

from agbot.cli import screen
from agbot.forecast.course import Course, GroupCourse
from agbot.forecast.durations import Durations
from agbot.forecast.following import Following
from agbot.forecast.running import HORIZON
from agbot.forecast.snapshot import Snapshot, Tenure
from agbot.rules.ids import GroupId, name_of
from agbot.rules.reasons import Code
from agbot.rules.rulebook import UNBLOCKS
from agbot.rules.words import apart, count, few, span

_EVERY_SECONDS: Final = 0.2
_LABEL: Final = 12


@dataclass(frozen=True, slots=True)
class Forecast:
    """A forecast with what it rests on."""

    title: str
    hub: Snapshot
    plan: Following
    course: Course
    lasts: Durations
    under_way: tuple[Tenure, ...]
    """Upgrades that had begun before."""
    resting: Mapping[GroupId, datetime]
    """Groups of the forecast that rest at its beginning, and until when."""


class Progress:
    """A line on the terminal that grows over itself, and is gone at the end."""

    def __init__(self, word: str, total: int) -> None:
        self._word = word
        self._total = total
        self._shown = 0.0
        self._is_on = sys.stderr.isatty()

    def __enter__(self) -> Progress:  # noqa: PYI034 - not subclassed
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._is_on and self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)

    def at(self, moment: datetime, done: int) -> None:
        """Show how many members are done, and at what time of the forecast."""
        self._show(f"{self._word} until {moment:%Y-%m-%d %H:%M}Z: {done} of {self._total} members")

    def count(self, done: int, of: int) -> None:
        """Show how many members were read."""
        self._show(f"{self._word} {done} of {of} members")

    def _show(self, text: str) -> None:
        now = time.monotonic()
        if self._is_on and now - self._shown >= _EVERY_SECONDS:
            self._shown = now
            click.echo(f"\r{text}\x1b[K", nl=False, err=True)


def show(forecast: Forecast, *, as_json: bool) -> None:
    """Print the forecast."""
    if as_json:
        screen.print_json(_plain(forecast))
        return
    out, course = screen.console(), forecast.course
    _write_groups(out, course)
    _write_blocked(out, course)
    _write_summary(out, forecast)


def _write_groups(out: Console, course: Course) -> None:
    begin = course.begins_at
    rows = [
        (
            each.group,
            _moment(each.begins_at, begin),
            _moment(each.ends_at, begin) or ("stays blocked" if each.left else ""),
            f"{each.upgraded} of {each.members}",
            f"{each.lowest} of {each.available}",
        )
        for each in course.groups
    ]
    if rows:
        screen.table(out, ("GROUP", "BEGINS", "ENDS", "UPGRADED", "FEWEST AVAILABLE"), rows)
        out.print()


def _write_blocked(out: Console, course: Course) -> None:
    """Print each group in which a member is left, with the reasons of its members."""
    for each in course.blocked:
        screen.say(out, (each.group, "bold"), " stays blocked", indent=2)
        nodes: dict[str, list[str]] = {}
        for left in each.left:
            nodes.setdefault(f"{left.code}: {left.text}" if left.code else left.text, []).append(name_of(left.node))
        for text, names in nodes.items():
            screen.say(out, f"  {few(names)}: {text}", indent=4)
    for code in sorted({left.code for each in course.blocked for left in each.left if left.code}):
        filled = {"group": "ORG/GROUP", "org": "ORG", "token": "TOKEN", "policy": "POLICY", "resume": "`agbot resume`"}
        screen.labelled(out, code, UNBLOCKS[Code(code)].format(**filled), width=len(code) + 2)
    if course.blocked:
        out.print()


def _write_summary(out: Console, forecast: Forecast) -> None:
    course, plan, hub = forecast.course, forecast.plan, forecast.hub
    screen.say(
        out, (f"Forecast of {forecast.title}", "bold"), f", as {hub.exchange} was at {_of(hub.taken_at)}", indent=2
    )
    _say(out, "upgrades", _upgrades(forecast))
    lasts = apart(course.begins_at, course.ends_at)
    _say(out, "end", f"{_of(course.ends_at)}, after {lasts}" if course.upgraded else "nothing is upgraded")
    if course.blocked:
        _say(out, "blocked", f"{count(len(course.blocked), 'group')}, within {HORIZON.days} days: {_reasons(course)}")
    _write_under_way(out, forecast)
    low = course.lowest
    members = max(point.available for point in course.points)
    fewest = min(point.lowest for point in course.points)
    _say(out, "available", f"at least {low.available} of {members} members ({_of(low.at)}), {fewest} in one group")
    most = max(point.upgrading for point in course.points)
    if most:
        _say(out, "at once", f"up to {count(most, 'member')}")
    for kind in sorted({each.ask.claim.kind for each in plan.wishes}):
        _say(out, f"{kind}", forecast.lasts.in_words(kind))
    _say(out, "assumed", "every upgrade succeeds, and members that are alive stay alive")
    if plan.unclear:
        _say(
            out,
            "unclear",
            f"whether it applies to {count(plan.unclear, 'member')}: its constraints are not evaluated here",
        )
    for each in hub.lacks:
        _say(out, "unread", each)


def _upgrades(forecast: Forecast) -> str:
    """Write how much there is to do, and how much there is not."""
    course, plan = forecast.course, forecast.plan
    begun = sum(each.upgraded > 0 for each in course.groups)
    others = len(forecast.hub.groups) - len(course.groups)
    parts = [
        f"{count(course.upgraded, 'member')} of {count(begun, 'group')}",
        *([f"{count(plan.done, 'more member is', 'more members are')} done already"] if plan.done else []),
        *([f"{count(others, 'other group has', 'other groups have')} nothing to do"] if others else []),
    ]
    return "; ".join(parts)


def _write_under_way(out: Console, forecast: Forecast) -> None:
    """Print what had begun before: rests delay the forecast, and the lines below count upgrades."""
    if forecast.resting:
        groups, latest = count(len(forecast.resting), "group"), _of(max(forecast.resting.values()))
        last = f"until {latest}" if len(forecast.resting) == 1 else f"the last one until {latest}"
        _say(out, "resting", f"{groups} after an upgrade that ended before, {last}")
    if not forecast.under_way:
        return
    number = count(len(forecast.under_way), "upgrade")
    _say(out, "under way", f"{number} that began before, counted in the next two lines")
    for kind in sorted(forecast.lasts.unknown) if forecast.plan.wishes else ():
        longest = span(forecast.lasts.of[kind][0])
        _say(out, f"{kind}", f"not known; {longest} is taken for those under way, as for the longest of the forecast")


def _reasons(course: Course) -> str:
    # a group once for each code, however many of its members it keeps
    counts = Counter(code for each in course.blocked for code in {left.code or "not asking" for left in each.left})
    return ", ".join(f"{number} {code}" for code, number in counts.most_common())


def _say(out: Console, label: str, text: str) -> None:
    screen.labelled(out, label, text, width=_LABEL)


def _of(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M %Z}"


def _moment(moment: datetime | None, begin: datetime) -> str:
    """Write a local time to the second; the day only if it is another one than at the beginning."""
    if moment is None:
        return ""
    own, is_same = moment.astimezone(), moment.astimezone().date() == begin.astimezone().date()
    return f"{own:%H:%M:%S}" if is_same else f"{own:%Y-%m-%d %H:%M:%S}"


def _plain(forecast: Forecast) -> dict[str, object]:
    course, plan, hub = forecast.course, forecast.plan, forecast.hub
    low = course.lowest
    kinds = sorted({each.ask.claim.kind for each in plan.wishes})
    return {
        "forecast": forecast.title,
        "exchange": hub.exchange,
        "taken_at": _json(hub.taken_at),
        "ends_at": _json(course.ends_at) if course.upgraded else None,
        "upgraded": course.upgraded,
        "done_before": plan.done,
        "blocked": len(course.blocked),
        "lowest_available": {"at": _json(low.at), "members": low.available},
        "lowest_in_a_group": min(point.lowest for point in course.points),
        "under_way_before": len(forecast.under_way),
        "resting_before": {group: _json(until) for group, until in forecast.resting.items()},
        "most_upgrading": max(point.upgrading for point in course.points),
        "durations": {str(kind): forecast.lasts.in_words(kind) for kind in kinds},
        "lacks": list(hub.lacks),
        "groups": [_group(each) for each in course.groups],
        "over_time": msgspec.to_builtins(course.points),
    }


def _group(each: GroupCourse) -> dict[str, object]:
    return {
        "group": each.group,
        "begins_at": _json(each.begins_at),
        "ends_at": _json(each.ends_at),
        "members": each.members,
        "upgraded": each.upgraded,
        "available": each.available,
        "lowest": each.lowest,
        "blocked": [{"node": left.node, "code": left.code or None, "text": left.text} for left in each.left],
    }


def _json(moment: datetime | None) -> str | None:
    return msgspec.to_builtins(moment) if moment is not None else None
