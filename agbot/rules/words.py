"""How rules write a time into a reason."""

from __future__ import annotations

from datetime import datetime


def clock(moment: datetime) -> str:
    """Write a time, which is UTC as all times here, to the second."""
    return f"{moment.isoformat(' ')[:19]}Z"
