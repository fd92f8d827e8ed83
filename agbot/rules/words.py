"""How times and scopes are written for people."""

from __future__ import annotations

from datetime import datetime

from agbot.rules import ids


def clock(moment: datetime) -> str:
    """Write a time, which is UTC as all times here, to the second."""
    return f"{moment.isoformat(' ')[:19]}Z"


def scope(of: str) -> str:
    """Write where a pause or an approval holds."""
    node = ids.node_of_scope(of)
    if node is not None:
        return f"node {node}"
    return "the whole fleet" if of == "*" else of
