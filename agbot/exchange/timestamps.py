"""The Exchange's time: its two ways to write it, and how far its clock is from ours.

Versions since 2.143.0 write `2026-01-21T21:39:49.123456789Z` with 0 to 9 digits of fraction, older ones append `[UTC]` and leave out
seconds that are zero (`exchange-api.md` 0.6).
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
_WIDEST = timedelta(seconds=10)
"""A slower answer tells too little."""
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
    """How far the Exchange's clock is ahead of ours.

    The Exchange itself tells: asking for changes stamps our own entry (`lastHeartbeat`), so the stamp that is read there was made between
    that question and its answer. An offset that contradicts the one before by more than two seconds is believed when a second comparison
    agrees; one below two seconds counts as none.

    The `Date` headers of its replies may be a proxy's. They only show that something has moved; before the first comparison, and where our
    entry cannot be read, there is nothing better. A reply says that the clock showed that second at some moment between request and reply;
    the estimate stands until most of the recent replies contradict it.
    """

    def __init__(self) -> None:
        self._offset = timedelta()
        self._from_dates = timedelta()
        self._bounds: deque[tuple[timedelta, timedelta]] = deque(maxlen=_REMEMBERED)
        self._has_compared = False
        self.is_known = False
        """Whether the offset can be relied upon."""
        self.why_unknown = "the Exchange's clock has not been compared with ours yet"
        self.is_doubtful = False
        """Whether it should be compared again soon."""
        self._is_absurd = False
        """Whether the last `Date` header was more than a day off."""

    @property
    def offset(self) -> timedelta:
        """How far the Exchange's clock is ahead."""
        return self._offset

    def ours_moved(self, step: timedelta) -> None:
        """Take in that our own clock was set forward by this (back, when negative): the offset is to be learnt anew."""
        self._offset -= step
        self._from_dates -= step
        self._bounds.clear()
        self.is_known, self.is_doubtful = False, True
        self.why_unknown = (
            f"our clock was set {'forward' if step > timedelta() else 'back'} by {abs(step.total_seconds()):.0f} s, "
            "and has not been compared with the Exchange's since"
        )

    def learn(self, stamp: str, sent_at: datetime, received_at: datetime) -> bool:
        """Take in a stamp that the Exchange made between these two moments; say whether it was of use.

        Raises:
            ValueError: it is not a timestamp.
        """
        made_at = parse(stamp)
        low, high = made_at - received_at, made_at - sent_at
        if received_at < sent_at or high - low > _WIDEST:
            return False
        if not self._agrees((low, high), self._offset):
            middle = low + (high - low) / 2
            is_first, self._offset = not self._has_compared, middle if abs(middle) >= _TOLERANCE else timedelta()
            if not is_first:
                self.is_known, self.is_doubtful = False, True
                self.why_unknown = "the Exchange's clock has moved against ours; it is compared again"
                return True
        self._has_compared = self.is_known = True
        self.is_doubtful = False
        return True

    def rely_on_dates(self) -> None:
        """Go by the `Date` headers: the Exchange does not show us our own entry."""
        self._offset, self.is_known, self.is_doubtful = self._from_dates, bool(self._bounds), not self._bounds

    def note(self, date_header: str, sent_at: datetime, received_at: datetime) -> None:
        """Take in the header of one reply. One that is missing or unreadable says nothing.

        One that is more than a day off says nothing of how far, but the first such, and the first after it, ask for a comparison.
        """
        try:
            date = parsedate_to_datetime(date_header)
        except (ValueError, OverflowError):
            return
        if date.tzinfo is None or received_at < sent_at:
            return
        bounds = (date - received_at, date + _ONE_SECOND - sent_at)
        was_absurd, self._is_absurd = self._is_absurd, abs(bounds[0]) > _ABSURD
        if self._is_absurd is not was_absurd:
            self.is_doubtful = True
        if self._is_absurd:
            return
        self._bounds.append(bounds)
        against = [each for each in self._bounds if not self._agrees(each, self._from_dates)]
        if 2 * len(against) > len(self._bounds):
            seconds = round(median((low + high).total_seconds() / 2 for low, high in against))
            self._from_dates = timedelta(seconds=seconds) if abs(seconds) >= _TOLERANCE.total_seconds() else timedelta()
            self.is_doubtful = True
            if not self._has_compared:
                self._offset = self._from_dates

    @staticmethod
    def _agrees(bounds: tuple[timedelta, timedelta], offset: timedelta) -> bool:
        return bounds[0] - _TOLERANCE <= offset <= bounds[1] + _TOLERANCE

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
