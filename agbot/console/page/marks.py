"""Small marks of text and events: what a colour says, a word says as well. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from markupsafe import Markup, escape

from agbot.console.page.words import clock
from agbot.coordinator.operators.history import HistoryView
from agbot.rules.reasons import BRAKING, Cause

_COMMAND: Final = re.compile(r"`([^`]+)`")
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


def look(entry: HistoryView) -> str:
    """Return how an entry of the journal is marked."""
    if entry.event == "lease.released":
        return _ENDS.get(str(entry.facts.get("cause")), "untouched")
    return _LOOKS.get(entry.event, "untouched")


def fact(value: object) -> str:
    """Write a fact that a rule has used."""
    if isinstance(value, datetime):
        return clock(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def with_commands(text: str) -> Markup:
    """Escape a sentence, and mark the commands in it, which are between backquotes."""
    parts = _COMMAND.split(text)
    marked = (
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )
    return Markup("").join(marked)
