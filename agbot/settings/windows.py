"""The notation of maintenance windows: `sat,sun 22:00-04:00 Europe/Berlin`.

Days (`mon`…`sun`, ranges such as `mon-fri`, or `daily`), hours, and a time zone (UTC by default). A
window that closes at or before its opening time closes on the next day; `24:00` is midnight.
"""

from __future__ import annotations

import re
from datetime import UTC, time, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from agbot.rules.nearest import nearest
from agbot.rules.window import WEEKDAYS, Window
from agbot.rules.words import count

SHAPE: Final = 'days, hours and a time zone, such as "sat,sun 22:00-04:00 Europe/Berlin" or "mon-fri 01:00-05:00"'
_FEWEST_PARTS: Final = 2
_MOST_PARTS: Final = 3
_DAY: Final = len(WEEKDAYS)


class WindowError(ValueError):
    """The text is not a maintenance window; the message names the part that is wrong."""


def parse(text: str) -> Window:
    """Parse one window.

    Raises:
        WindowError: with every part that is wrong.
    """
    parts = text.split()
    if not _FEWEST_PARTS <= len(parts) <= _MOST_PARTS:
        raise WindowError(
            f'"{text}" has {count(len(parts), "part")}; a window has days, hours and optionally a time zone'
        )
    read = (_weekdays, _hours, _zone)
    found, wrong = list[Any](), list[str]()
    for each, part in zip(read, (*parts, "UTC"), strict=False):
        try:
            found.append(each(part))
        except WindowError as error:
            wrong.append(str(error))
    if wrong:
        raise WindowError("; ".join(wrong))
    weekdays, (opens, closes), zone = found
    return Window(weekdays=weekdays, opens=opens, closes=closes, zone=zone, written=text)


def _weekdays(text: str) -> frozenset[int]:
    if text.lower() == "daily":
        return frozenset(range(_DAY))
    # `fri-mon` goes around the end of the week
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = part.partition("-")
        start = _weekday(first)
        end = _weekday(last) if dash else start
        found.update((start + ahead) % _DAY for ahead in range((end - start) % _DAY + 1))
    return frozenset(found)


def _weekday(text: str) -> int:
    if text not in WEEKDAYS:
        near = nearest(text, WEEKDAYS)
        hint = f', did you mean "{near}"?' if near else ""
        raise WindowError(f'"{text}" is not a weekday ({", ".join(WEEKDAYS)}){hint}')
    return WEEKDAYS.index(text)


def _hours(text: str) -> tuple[time, time]:
    written = re.fullmatch(r"(\d\d:\d\d)-(\d\d:\d\d)", text)
    if written is None:
        raise WindowError(f'"{text}" is not a range of hours such as 22:00-04:00')
    # a `time` cannot be 24:00; a window that closes at 00:00 lasts until the next day begins
    return _clock(written[1]), time(0) if written[2] == "24:00" else _clock(written[2])


def _clock(text: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError as error:
        raise WindowError(f'"{text}" is not a time of day') from error


def _zone(name: str) -> tzinfo:
    if name.upper() in {"UTC", "Z"}:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        known = available_timezones()
        if not known:
            raise WindowError(f'time zone "{name}" cannot be looked up: this machine has no tzdata') from error
        near = nearest(name, known)
        hint = f', did you mean "{near}"?' if near else ""
        raise WindowError(f'"{name}" is not a time zone{hint}') from error
