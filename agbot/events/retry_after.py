"""How long a receiver asks to be left alone: the header `Retry-After` (RFC 9110, 10.2.3). Pure.

It is whole seconds, or a date in one of the three forms of RFC 9110, 5.6.7. A date is meant by the receiver's clock, which its header
`Date` shows; only without that is ours asked. What is neither is no wish, and not an error: a receiver that speaks badly is still told.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def asked_seconds(retry_after: str | None, date: str | None, now: datetime) -> float:
    """Return how many seconds to wait at least; 0 when nothing, or nothing that can be understood, is asked. It may be any number.

    Args:
        retry_after: The header of that name.
        date: The header `Date` of the same answer.
        now: Our time, for an answer without `Date`.
    """
    wish = (retry_after or "").strip()
    if wish.isascii() and wish.isdigit():
        return float(wish)  # an int of thousands of digits would be refused; this is infinite
    until = _moment(wish)
    if until is None:
        return 0.0
    return max((until - (_moment(date or "") or now)).total_seconds(), 0.0)


def _moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
        # the old forms name no zone, and mean UTC
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
