"""Timestamps as the Exchange writes and reads them.

Node, group and policy times carry nanoseconds (nine digits), times of change rows come out of a database column with six.
Both end in `Z`; no value here ever goes backwards within one clock reading, so that text order is time order.
"""

from __future__ import annotations

from datetime import UTC, datetime

_MAX_NANOS = 999
_LENGTH_TO_MICROS = len("2026-01-21T21:39:49.123456")


def _micros(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")[:_LENGTH_TO_MICROS]


class Stamps:
    """Write times of the simulated clock with nanoseconds that rise while the clock stands still."""

    def __init__(self) -> None:
        """Start without a last moment."""
        self._last = datetime.min.replace(tzinfo=UTC)
        self._nanos = 0

    def fine(self, moment: datetime) -> str:
        """Write a moment with nine digits: `2026-01-21T21:39:49.123456789Z`."""
        self._nanos = min(self._nanos + 1, _MAX_NANOS) if moment == self._last else 1
        self._last = moment
        return f"{_micros(moment)}{self._nanos:03d}Z"


def coarse(moment: datetime) -> str:
    """Write a moment with six digits: `2026-01-21T21:39:49.123456Z`."""
    return f"{_micros(moment)}Z"


def parse(text: str) -> datetime:
    """Read a time as the Exchange's own parser does: with or without `[UTC]`, with any number of digits.

    Raises:
        ValueError: the text is no time with a zone.
    """
    moment = datetime.fromisoformat(text.removesuffix("[UTC]"))
    if moment.tzinfo is None:
        message = f"no zone in {text!r}"
        raise ValueError(message)
    return moment.astimezone(UTC)
