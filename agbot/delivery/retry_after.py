"""The delay that a receiver requests with the header `Retry-After` (RFC 9110, 10.2.3). Pure.

It is in whole seconds, or a date in one of the three formats of RFC 9110, 5.6.7. A date is by the
receiver's clock, which its header `Date` shows; without that our clock is used. Any other value is
ignored, and is no error.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_seconds(retry_after: str | None, date: str | None, now: datetime) -> float:
    """Return the requested seconds, without a limit; 0 if there is no valid request.

    Args:
        retry_after: The header `Retry-After`.
        date: The header `Date` of the same response.
        now: Our time, for a response without `Date`.
    """
    value = (retry_after or "").strip()
    if value.isascii() and value.isdigit():
        return float(value)  # int() rejects thousands of digits; this is infinite
    until = _moment(value)
    if until is None:
        return 0.0
    return max((until - (_moment(date or "") or now)).total_seconds(), 0.0)


def _moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
        # the obsolete formats have no zone and are in UTC
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
