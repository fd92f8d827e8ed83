"""The Exchange's time: its two ways to write it, and how far its clock is from ours.

Versions since 2.143.0 write `2026-01-21T21:39:49.123456789Z` with 0 to 9 digits of fraction, older ones append `[UTC]` and leave out
seconds that are zero (`exchange-api.md` 0.6). Every reply's `Date` header shows the Exchange's clock with a resolution of one second.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from statistics import median

_ONE_SECOND = timedelta(seconds=1)
_TOLERANCE = timedelta(seconds=2)
_ABSURD = timedelta(days=1)
_REMEMBERED = 9
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""Nothing of Open Horizon is older or that far ahead. Within these years no rule's arithmetic can leave the range of datetimes."""


def parse(text: str) -> datetime:
    """Read a timestamp of the Exchange as an aware datetime in UTC, on the Exchange's clock.

    Raises:
        ValueError: it is not one.
    """
    moment = datetime.fromisoformat(text.removesuffix("[UTC]"))
    if moment.tzinfo is None:
        message = f"{text!r} names no time zone"
        raise ValueError(message)
    if not _EARLIEST <= moment < _LATEST:  # compared before it is converted, which can overflow
        message = f"{text!r} is out of all range"
        raise ValueError(message)
    return moment.astimezone(UTC)


class ExchangeClock:
    """How far the Exchange's clock is ahead of ours, from the `Date` headers of its replies.

    A reply says only that the Exchange's clock showed that second at some moment between request and reply, so each one gives an
    interval for the offset. The estimate stands until most of the recent replies contradict it by more than two seconds: neither
    the header's resolution, nor a slow reply, nor a single absurd header moves it, and an offset below two seconds counts as none.
    """

    def __init__(self) -> None:
        self._offset = timedelta()
        self._bounds: deque[tuple[timedelta, timedelta]] = deque(maxlen=_REMEMBERED)

    @property
    def offset(self) -> timedelta:
        """How far the Exchange's clock is ahead."""
        return self._offset

    def note(self, date_header: str, sent_at: datetime, received_at: datetime) -> None:
        """Take in one reply. A header that is missing, unreadable or more than a day off says nothing."""
        try:
            date = parsedate_to_datetime(date_header)
        except (ValueError, OverflowError):
            return
        if date.tzinfo is None or received_at < sent_at:
            return
        bounds = (date - received_at, date + _ONE_SECOND - sent_at)
        if abs(bounds[0]) > _ABSURD:
            return
        self._bounds.append(bounds)
        against = [each for each in self._bounds if self._is_contradicted(each)]
        if 2 * len(against) > len(self._bounds):
            seconds = round(median((low + high).total_seconds() / 2 for low, high in against))
            self._offset = timedelta(seconds=seconds) if abs(seconds) >= _TOLERANCE.total_seconds() else timedelta()

    def _is_contradicted(self, bounds: tuple[timedelta, timedelta]) -> bool:
        return not bounds[0] - _TOLERANCE <= self._offset <= bounds[1] + _TOLERANCE

    def ours(self, text: str) -> datetime:
        """Read a timestamp of the Exchange as a moment on the coordinator's clock.

        Raises:
            ValueError: it is not a timestamp.
        """
        return parse(text) - self._offset

    def ours_or_none(self, text: str | None) -> datetime | None:
        """Read a time on which little hangs: without one, an agreement is never taken for a new one, nor a policy for a changed one."""
        try:
            return self.ours(text or "")
        except ValueError:
            return None
