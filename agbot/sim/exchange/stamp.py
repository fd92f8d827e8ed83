"""Timestamps as the Exchange writes and reads them.

Times of nodes, groups and policies have nanoseconds (nine digits); times of change rows come from a
database column and have six digits. Both end in `Z`. While the clock stands still, no timestamp is
earlier than the one before it, so the order of the texts is the order in time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

_MAX_NANOS = 999
_LENGTH_TO_MICROS = len("2026-01-21T21:39:49.123456")


def _micros(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")[:_LENGTH_TO_MICROS]


class Stamps:
    """Write the simulated time, with nanoseconds that rise while the clock stands still."""

    def __init__(self) -> None:
        """Start without a previous moment."""
        self._last = datetime.min.replace(tzinfo=UTC)
        self._nanos = 0

    def fine(self, moment: datetime) -> str:
        """Write a moment with nine digits: `2026-01-21T21:39:49.123456789Z`."""
        self._nanos = min(self._nanos + 1, _MAX_NANOS) if moment == self._last else 1
        self._last = moment
        return f"{_micros(moment)}{self._nanos:03d}Z"


@lru_cache(maxsize=1024)  # the feed shows a row many times
def coarse(moment: datetime) -> str:
    """Write a moment with six digits: `2026-01-21T21:39:49.123456Z`."""
    return f"{_micros(moment)}Z"


def parse(text: str) -> datetime:
    """Parse a time as the Exchange does: with or without `[UTC]`, with any number of digits.

    Raises:
        ValueError: the text is not a time with a zone.
    """
    moment = datetime.fromisoformat(text.removesuffix("[UTC]"))
    if moment.tzinfo is None:
        message = f"no zone in {text!r}"
        raise ValueError(message)
    return moment.astimezone(UTC)
