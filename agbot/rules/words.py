"""How times and scopes are written for people."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from agbot.rules import ids


@lru_cache(maxsize=1024)
def clock(moment: datetime) -> str:
    """Write a time, which is UTC as all times here, to the second. Who waits hears the same one every minute."""
    return f"{moment.isoformat(' ')[:19]}Z"


def scope(of: str) -> str:
    """Write where a pause or an approval holds."""
    node = ids.node_of_scope(of)
    if node is not None:
        return f"node {node}"
    return "the whole fleet" if of == "*" else of


def duration(length: timedelta) -> str:
    """Write how long something is, in the largest unit of which it has two."""
    seconds = int(length.total_seconds())
    for name, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"
