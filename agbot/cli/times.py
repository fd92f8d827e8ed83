"""Times as people write them: a duration (90m, 2h, 3d), a day by its name, or a time.

Without a zone it is a local time in this machine's zone. What is counted from the present (a
duration, a time of today) is counted from that of the coordinator, with whose times it is compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Final

import click

_UNITS: Final = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DAYS: Final = {"yesterday": -1, "today": 0, "tomorrow": 1}
_DAYS_OF: Final = {
    1: "midnight, tomorrow (with a time: tomorrow 18:00)",
    -1: "midnight, today, yesterday (with a time: yesterday 18:00)",
}
"""The names that make sense, in the future and in the past."""
_FORMS: Final = (
    "a duration such as 2h (s, m, h, d, w), {days}, a time of today such as 18:00, a date such as 2026-01-31, "
    "or a time such as 2026-01-31T18:00, local or with a zone (…Z)"
)


def future(text: str, now: Callable[[], datetime], option: str) -> datetime:
    """Parse a time, or a duration from now.

    `now` is called only for what is counted from it.

    Raises:
        click.BadParameter: it is none.
    """
    return _read(text, now, 1, option)


def past(text: str, now: datetime, option: str) -> datetime:
    """Parse a time, or a duration before now.

    Raises:
        click.BadParameter: it is none, or in the future.
    """
    found = _read(text, lambda: now, -1, option)
    if found > now:
        raise click.BadParameter(
            f"{text!r} is in the future: {found.astimezone():%Y-%m-%d %H:%M %Z}.", param_hint=option
        )
    return found


def duration(text: str) -> timedelta | None:
    """Parse a duration such as 90m or 1.5h; None if it is none."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d+)?) *(s|min|m|h|d|w)", text)
    return None if found is None else timedelta(**{_UNITS[found[2]]: float(found[1])})


def _read(text: str, now: Callable[[], datetime], direction: int, option: str) -> datetime:
    distance = duration(text.removeprefix("+"))
    of_day = re.fullmatch(r"(?:(yesterday|today|tomorrow)\b *)?(\d?\d:\d\d)?", text)
    try:
        if distance is not None:
            return now() + direction * distance
        if text == "midnight":  # the last one, or the next one
            day = now().astimezone().date() + timedelta(days=max(direction, 0))
            return datetime.combine(day, time()).astimezone(UTC)
        if of_day and text:
            # a day of this machine's zone, which may have 23 or 25 hours: no 24 of them are added
            day = now().astimezone().date() + timedelta(days=_DAYS[of_day[1] or "today"])
            # which takes no `8:30`
            clock = time.fromisoformat((of_day[2] or "00:00").rjust(5, "0"))
            return datetime.combine(day, clock).astimezone(UTC)
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            f"{text!r} is not a time: give {_FORMS.format(days=_DAYS_OF[direction])}.", param_hint=option
        ) from error
