"""The written form of times, durations and scopes."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from agbot.rules import ids


@lru_cache(maxsize=1024)
def clock(moment: datetime) -> str:
    """Write a time, which is in UTC like all times here, to the second.

    A waiter gets the same one every minute, so it is cached.
    """
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
