"""What a receiver asks for with `Retry-After`, and that nothing it can say does harm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agbot.delivery.retry_after import retry_after_seconds
from agbot.delivery.sinks import Backoff

NOW = datetime(1994, 11, 6, 8, 49, 0, tzinfo=UTC)
UNTIL = "Sun, 06 Nov 1994 08:49:37 GMT"
headers = st.text() | st.text("0123456789 :,GMT+-SunNov", max_size=40) | st.from_regex(r"\d{1,5000}")


@pytest.mark.parametrize(
    ("retry_after", "date", "expected"),
    [
        ("120", None, 120),
        (" 120 ", None, 120),
        ("0", None, 0),
        ("0120", None, 120),
        (UNTIL, None, 37),
        ("Sunday, 06-Nov-94 08:49:37 GMT", None, 37),
        ("Sun Nov  6 08:49:37 1994", None, 37),
        (UNTIL, "Sun, 06 Nov 1994 08:48:37 GMT", 60),
        (UNTIL, "Sun, 06 Nov 1994 09:00:00 GMT", 0),
        (UNTIL, "yesterday", 37),
        ("120", "yesterday", 120),
        ("Sun, 06 Nov 1994 08:00:00 GMT", None, 0),
        (None, None, 0),
        (None, UNTIL, 0),
        ("", None, 0),
        ("-5", None, 0),
        ("1.5", None, 0),
        ("1e3", None, 0),
        ("٣", None, 0),
        ("²", None, 0),
        ("120 s", None, 0),
        ("soon", None, 0),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None, 0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None, 0),
    ],
)
def test_seconds_and_dates_are_understood_and_anything_else_asks_for_nothing(
    retry_after: str | None, date: str | None, expected: float
) -> None:
    assert retry_after_seconds(retry_after, date, NOW) == expected


@given(seconds=st.integers(0, 10**9), off=st.timedeltas(timedelta(days=-9000), timedelta(days=9000)))
def test_a_date_means_as_much_as_seconds_however_wrong_the_receiver_s_clock_is(seconds: int, off: timedelta) -> None:
    theirs = NOW + timedelta(seconds=off // timedelta(seconds=1))
    until = format_datetime(theirs + timedelta(seconds=seconds), usegmt=True)

    assert retry_after_seconds(until, format_datetime(theirs, usegmt=True), NOW) == seconds
    assert retry_after_seconds(str(seconds), None, NOW) == seconds


@given(retry_after=headers | st.none(), date=headers | st.none(), failures=st.integers(1, 100))
def test_whatever_a_receiver_says_the_pause_is_the_usual_one_at_least_and_an_hour_at_most(
    retry_after: str | None, date: str | None, failures: int
) -> None:
    asked = retry_after_seconds(retry_after, date, NOW)

    assert 0.5 <= Backoff().after(failures, asked) <= 3600


@given(failures=st.integers(1, 100), asked=st.floats(0, 3600))
def test_the_pause_is_never_shorter_than_asked_for(failures: int, asked: float) -> None:
    assert Backoff().after(failures, asked) >= asked


def test_days_are_cut_to_an_hour() -> None:
    assert Backoff().after(1, retry_after_seconds("86400", None, NOW)) == 3600
