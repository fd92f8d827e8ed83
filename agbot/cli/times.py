"""Times as people write them: a duration (90m, 2h, 3d), or a time; one without a zone is meant on this machine's clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def coming(text: str, now: datetime, option: str) -> datetime:
    """Read a time, or a duration from now on.

    Raises:
        click.BadParameter: it is neither.
    """
    return _read(text, now, 1, option)


def past(text: str, now: datetime, option: str) -> datetime:
    """Read a time, or a duration back from now.

    Raises:
        click.BadParameter: it is neither.
    """
    return _read(text, now, -1, option)


def _read(text: str, now: datetime, direction: int, option: str) -> datetime:
    duration = re.fullmatch(r"\+?(\d{1,6})([smhdw])", text)
    try:
        if duration:
            return now + direction * timedelta(**{_UNITS[duration[2]]: int(duration[1])})
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        problem = f"{text!r} is neither a duration such as 2h nor a time such as 2026-01-31T18:00Z."
        raise click.BadParameter(problem, param_hint=option) from error
