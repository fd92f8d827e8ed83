"""The output of `agbot check-config --effective`: each rule of a group, and its origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from agbot.cli import screen
from agbot.rules import window
from agbot.rules.ids import GroupId
from agbot.rules.window import Window
from agbot.settings.changes import ALWAYS_OPEN
from agbot.settings.model import Settings
from agbot.settings.scopes import Effective, effective


def plain(settings: Settings, group: GroupId, now: datetime) -> dict[str, Any]:
    """Return the rules of a group as JSON values."""
    found = effective(settings, group)
    opening = _next_opening(found.rules.windows, now)
    return {
        "group": group,
        "rules": {
            name: {"value": _plain(value), "origin": str(found.origins[name]), **asdict(found.origins[name])}
            for name, value in _values(found)
        },
        "windows": [
            {"window": str(each), "next_opening": _iso(_next_opening([each], now))} for each in found.rules.windows
        ],
        # the next opening of a window that is open is the present
        "may_start_now": not found.rules.windows or opening == now,
        "next_opening": _iso(opening),
    }


def rows(settings: Settings, group: GroupId, now: datetime) -> list[tuple[str, str, str]]:
    """Return the rules of a group as rows of key, value and origin; each window is a row."""
    found = effective(settings, group)
    return [
        (name, shown, str(found.origins[name]))
        for name, value in _values(found)
        for shown in (_windows(value, now) if name == "windows" else [_text(value)])
    ]


def _values(found: Effective) -> list[tuple[str, Any]]:
    return [(each.name, getattr(found.rules, each.name)) for each in fields(found.rules)]


def _plain(value: object) -> object:
    return [str(each) for each in value] if isinstance(value, tuple) else value


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(str(each) for each in value) if isinstance(value, tuple) else str(value)


def _windows(windows: Sequence[Window], now: datetime) -> list[str]:
    return [f"{each} ({_when(_next_opening([each], now), now)})" for each in windows] or [ALWAYS_OPEN]


def _when(opening: datetime | None, now: datetime) -> str:
    if opening is None:
        return "never opens"
    return "open now" if opening == now else f"opens {screen.moment(opening)}"


def _next_opening(windows: Sequence[Window], now: datetime) -> datetime | None:
    return window.next_opening(tuple(windows), now)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
