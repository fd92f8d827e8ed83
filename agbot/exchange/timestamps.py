"""The Exchange's time: its two formats, and the offset of its clock from ours.

Versions since 2.143.0 write `2026-01-21T21:39:49.123456789Z` with 0 to 9 digits of fraction; older
ones append `[UTC]` and omit seconds that are zero (`exchange-api.md` 0.6).
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from statistics import median

_ONE_SECOND = timedelta(seconds=1)
# a `Date` header is in whole seconds, and the two clocks drift between two comparisons
_TOLERANCE = timedelta(seconds=2)
_ABSURD = timedelta(days=1)
_REMEMBERED = 9
_WIDEST = timedelta(seconds=10)
"""A slower answer is too imprecise."""
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""No valid time is outside these years, and within them no rule's arithmetic can overflow."""


def parse(text: str) -> datetime:
    """Parse a timestamp of the Exchange as an aware datetime in UTC, on the Exchange's clock.

    Raises:
        ValueError: it is not one.
    """
    moment = datetime.fromisoformat(text.removesuffix("[UTC]"))
    if moment.tzinfo is None:
        message = f"{text!r} has no time zone"
        raise ValueError(message)
    if not _EARLIEST <= moment < _LATEST:  # compared before the conversion, which can overflow
        message = f"{text!r} is out of range"
        raise ValueError(message)
    return moment.astimezone(UTC)


_parsed_date = lru_cache(maxsize=16)(parsedate_to_datetime)
"""The replies of one second have the same header."""


class ExchangeClock:
    """The offset of the Exchange's clock from ours.

    A request for changes stamps our own record (`lastHeartbeat`), so that stamp was made between
    the request and its reply. An offset that differs from the previous one by more than two seconds
    is accepted once a second comparison agrees; one below two seconds counts as zero.

    The `Date` headers of replies may be a proxy's. They only show that a clock has changed; before
    the first comparison, and if our record cannot be read, there is nothing better. A header means
    that the clock showed that second between request and reply; the estimate is valid until most
    recent replies contradict it.
    """

    def __init__(self) -> None:
        self._offset = timedelta()
        self._from_dates = timedelta()
        self._bounds: deque[tuple[timedelta, timedelta]] = deque(maxlen=_REMEMBERED)
        self._has_compared = False
        self.is_known = False
        """Whether the offset is reliable."""
        self.why_unknown = "the Exchange's clock has not been compared with ours yet"
        self.is_doubtful = False
        """Whether another comparison is due."""
        self._is_absurd = False
        """Whether the last `Date` header was more than a day off."""

    @property
    def offset(self) -> timedelta:
        """How far the Exchange's clock is ahead of ours."""
        return self._offset

    def ours_moved(self, step: timedelta) -> None:
        """Note that our clock was set forward (back, if negative): the offset is unknown again."""
        self._offset -= step
        self._from_dates -= step
        self._bounds.clear()
        self.is_known, self.is_doubtful = False, True
        self.why_unknown = (
            f"our clock was set {'forward' if step > timedelta() else 'back'} by {abs(step.total_seconds()):.0f} s, "
            "and has not been compared with the Exchange's since"
        )

    def learn(self, stamp: str, sent_at: datetime, received_at: datetime) -> bool:
        """Use a stamp that the Exchange made between these moments.

        Return whether it was precise enough.

        Raises:
            ValueError: it is not a timestamp.
        """
        made_at = parse(stamp)
        # the stamp was made at any moment between the request and its reply
        low, high = made_at - received_at, made_at - sent_at
        if received_at < sent_at or high - low > _WIDEST:
            return False
        if not self._agrees((low, high), self._offset):
            middle = low + (high - low) / 2
            self._offset = middle if abs(middle) >= _TOLERANCE else timedelta()
            if self._has_compared:  # only a second comparison confirms it
                self.is_known, self.is_doubtful = False, True
                self.why_unknown = "the Exchange's clock has changed relative to ours; it is compared again"
                return True
        self._has_compared = self.is_known = True
        self.is_doubtful = False
        return True

    def rely_on_dates(self) -> None:
        """Use the `Date` headers: the Exchange does not show our own record."""
        self._offset, self.is_known, self.is_doubtful = self._from_dates, bool(self._bounds), not self._bounds

    def note(self, date_header: str, sent_at: datetime, received_at: datetime) -> None:
        """Use the header of one reply. A missing or unreadable one is ignored.

        One that is more than a day off gives no offset, but the first such, and the first one after
        it, make a comparison due.
        """
        try:
            date = _parsed_date(date_header)
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
        if self._agrees(bounds, self._from_dates):
            return  # nearly always; one more that agrees proves nothing new
        # A header of another second alone may be a proxy's, or a cached one: most of the last nine
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
        """Parse a timestamp of the Exchange as a time on the coordinator's clock.

        Raises:
            ValueError: it is not a timestamp.
        """
        return parse(text) - self._offset

    def ours_or_none(self, text: str | None) -> datetime | None:
        """Parse an optional time; without it, nothing counts as new or changed."""
        try:
            return self.ours(text or "")
        except ValueError:
            return None
