"""The written form of times, durations, numbers, names and scopes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from agbot.rules import ids

_NAMED: Final = 3


@lru_cache(maxsize=1024)
def clock(moment: datetime) -> str:
    """Write a time, which is in UTC like all times here, to the second."""
    # cached, because a waiter gets the same one every minute
    return f"{moment.isoformat(' ')[:19]}Z"


def scope(of: str) -> str:
    """Write the scope of a hold or an approval."""
    node = ids.node_of_scope(of)
    if node is not None:
        return f"node {node}"
    return "the whole fleet" if of == "*" else of


def duration(length: timedelta) -> str:
    """Write a duration in the largest unit of which it has at least two."""
    seconds = int(length.total_seconds())
    for name, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"


def span(seconds: float) -> str:
    """Write a duration in its two largest units: 12 s, 3 min 5 s, 2 h 10 min, 3 d 4 h."""
    whole = int(max(seconds, 0.0))
    for unit, name, smaller, smaller_name in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit} {name} {rest} {smaller_name}" if rest else f"{whole // unit} {name}"
    return f"{whole} s"


def apart(earlier: datetime, later: datetime) -> str:
    """Write the time between two moments."""
    return span((later - earlier).total_seconds())


def count(number: int, one: str, many: str = "") -> str:
    """Write a number with its noun: `1 group`, `2 groups`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def percent(part: int, whole: int) -> str:
    """Write a share: neither 0 % of something nor 100 % of less than all."""
    if not whole or not part:
        return "0 %"
    if part == whole:
        return "100 %"
    return f"{min(max(round(100 * part / whole), 1), 99)} %"


def few(names: Sequence[str], number: int | None = None) -> str:
    """Name the first of so many: `a, b, c and 4 more`."""
    named = names[:_NAMED]
    left = (len(names) if number is None else number) - len(named)
    return ", ".join(named) + (f" and {left} more" if left > 0 else "")
