"""Timestamps as the Exchange writes and reads them: those of Java's `Instant`, which end in `Z`.

A fraction has nine, six, three or no digits: zeros at the end are left out in groups of three. So
the order of two texts is not always the order in time. Times of nodes, groups and policies have
nanoseconds; times of change rows come from a database column with microseconds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

_MAX_NANOS = 999
_GROUP = "000"
_SHORT_EVERY = 47
"""Every so many stamps, one has no nanoseconds. Really that is one in a thousand."""


def _instant(moment: datetime, nanos: int = 0) -> str:
    fraction = f"{moment.microsecond:06d}{nanos:03d}"
    while fraction.endswith(_GROUP):
        fraction = fraction.removesuffix(_GROUP)
    seconds = moment.replace(microsecond=0, tzinfo=None).isoformat()
    return f"{seconds}.{fraction}Z" if fraction else f"{seconds}Z"


class Stamps:
    """Write the simulated time, with nanoseconds that rise while the clock stands still."""

    def __init__(self) -> None:
        """Start without a previous moment."""
        self._last = datetime.min.replace(tzinfo=UTC)
        self._nanos = 0
        self._count = 0
        self.short_every = _SHORT_EVERY

    def fine(self, moment: datetime) -> str:
        """Write a moment with nanoseconds: `2026-01-21T21:39:49.123456789Z`."""
        self._count += 1
        if moment == self._last:
            self._nanos = min(self._nanos + 1, _MAX_NANOS)
        else:
            self._nanos = int(self._count % self.short_every != 0)
        self._last = moment
        return _instant(moment, self._nanos)


@lru_cache(maxsize=1024)  # the feed shows a row many times
def coarse(moment: datetime) -> str:
    """Write a moment with microseconds: `2026-01-21T21:39:49.123456Z`."""
    return _instant(moment)


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
