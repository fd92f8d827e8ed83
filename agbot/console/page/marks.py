"""Small marks of text and events: what a colour says, a word says as well. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from markupsafe import Markup, escape

from agbot.console.page.words import clock, group_url, relative, sentence, spoken
from agbot.coordinator.operators.history import HistoryView
from agbot.foreign_text import escaped
from agbot.rules.reasons import BRAKING, Cause

_COMMAND: Final = re.compile(r"`([^`]+)`")
_MOMENT: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z(?:\[UTC\])?|\+00:00)(?: \((?:in [^()]*|[^()]* ago)\))?"
)
"""A moment as texts for logs and programs have it, with its distance if that is there already."""
_LOOKS: Final[Mapping[str, str]] = {
    "lease.granted": "running",
    "lease.taken_over": "running",
    "lease.observed": "partly",
    "lease.overlapped": "suspect",
    "lease.suspected": "suspect",
    "wait.changed": "waiting",
    "brake.set": "failed",
    "hold.set": "hold",
    "hold.ended": "hold",
    "allowance.given": "hold",
    "approval.given": "hold",
}
_ENDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(Cause, "untouched"),
    **dict.fromkeys(BRAKING, "failed"),
    Cause.SUCCEEDED: "done",
    Cause.NOTHING_TO_DO: "done",
}


def shown(value: object) -> object:
    """Escape what would change the text around it: control characters, and marks of direction."""
    return escaped(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def look(entry: HistoryView) -> str:
    """Return how an entry of the journal is marked."""
    if entry.event == "lease.released":
        return _ENDS.get(str(entry.facts.get("cause")), "untouched")
    return _LOOKS.get(entry.event, "untouched")


def happened(entry: HistoryView, now: datetime, *, with_group: bool) -> Markup:
    """Write what has happened, with a link to its group, whose name stands there once."""
    group = entry.group if with_group else None
    if group is None:
        is_by_name = entry.what.startswith(f"{entry.who} ")  # a person's name is written as it is
        return prose(entry.what if is_by_name else sentence(entry.what), now)
    link = Markup('<a href="{}">{}</a>').format(group_url(group), escaped(group))
    named = re.search(rf"(?<!\S){re.escape(group)}(?![^\s:;,])", entry.what)
    if named is None:
        return Markup("{}: {}").format(link, prose(entry.what, now))
    before, after = entry.what[: named.start()], entry.what[named.end() :]
    return Markup("").join([prose(before, now), link, prose(after, now)])


def prose(text: str, now: datetime) -> Markup:
    """Escape a sentence, mark commands (between backquotes), and write moments for people."""
    parts = _COMMAND.split(escaped(text))
    marked = (
        Markup("<code>{}</code>").format(part) if number % 2 else _with_moments(part, now)
        for number, part in enumerate(parts)
    )
    return Markup("").join(marked)


def _with_moments(text: str, now: datetime) -> Markup:
    found, at = list[Markup | str](), 0
    for match in _MOMENT.finditer(text):
        found += [escape(text[at : match.start()]), _moment(match, now)]
        at = match.end()
    return Markup("").join([*found, escape(text[at:])])


def _moment(match: re.Match[str], now: datetime) -> Markup:
    # in the words of an operator, or of a server, there may be any digits
    try:
        moment = datetime.fromisoformat(f"{match[1]}T{match[2]}+00:00")
    except ValueError:
        return escape(match[0])  # digits that are no date
    return when(moment, now)


def when(moment: datetime, now: datetime) -> Markup:
    """Write a moment with its time of day and its distance."""
    return Markup('<time datetime="{}" title="{}">{} ({})</time>').format(
        moment.isoformat(), clock(moment), spoken(moment, now), relative(moment, now)
    )
