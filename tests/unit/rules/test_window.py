"""When a maintenance window is open, through the night and through both changes of the clocks."""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from agbot.rules.window import Window, is_open, next_opening
from tests.support.examples import some

BERLIN = ZoneInfo("Europe/Berlin")
EVERY_DAY = frozenset(range(7))
SATURDAY, SUNDAY, MONDAY = frozenset({5}), frozenset({6}), frozenset({0})
# The clocks are put back in Berlin from 03:00 to 02:00, in New York from 02:00 to 01:00, in Beirut
# at midnight into the day before, in
# Havana from 01:00 to midnight, on Lord Howe by half an hour. In Santiago and Beirut they are put
# forward at midnight.
CHANGES = [
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Asia/Beirut", "2026-03-29"),
    ("Asia/Beirut", "2026-10-25"),
    ("America/Havana", "2026-11-01"),
    ("America/Santiago", "2026-09-06"),
    ("Australia/Lord_Howe", "2026-04-05"),
]


def window(opens: str, closes: str, days: frozenset[int] = EVERY_DAY, zone: ZoneInfo = BERLIN) -> Window:
    return Window(weekdays=days, opens=time.fromisoformat(opens), closes=time.fromisoformat(closes), zone=zone)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("opens", "closes", "days", "now", "open_now"),
    [
        # 2026-03-02 is a Monday; Berlin is one hour ahead of UTC in winter.
        ("01:00", "03:00", EVERY_DAY, "2026-03-01T23:59:59", False),
        ("01:00", "03:00", EVERY_DAY, "2026-03-02T00:00:00", True),
        ("01:00", "03:00", EVERY_DAY, "2026-03-02T01:59:59", True),
        ("01:00", "03:00", EVERY_DAY, "2026-03-02T02:00:00", False),
        ("01:00", "03:00", MONDAY, "2026-03-02T00:30:00", True),
        ("01:00", "03:00", SUNDAY, "2026-03-02T00:30:00", False),
        # through the night: it belongs to the day on which it opens
        ("22:00", "04:00", SUNDAY, "2026-03-01T20:59:59", False),
        ("22:00", "04:00", SUNDAY, "2026-03-01T21:00:00", True),
        ("22:00", "04:00", SUNDAY, "2026-03-02T02:59:59", True),
        ("22:00", "04:00", SUNDAY, "2026-03-02T03:00:00", False),
        ("22:00", "04:00", MONDAY, "2026-03-02T02:00:00", False),
        # it closes when it opens: the whole day
        ("06:00", "06:00", MONDAY, "2026-03-02T05:00:00", True),
        ("06:00", "06:00", MONDAY, "2026-03-03T04:59:59", True),
        ("06:00", "06:00", MONDAY, "2026-03-03T05:00:00", False),
        # 2026-03-29: the clocks go from 02:00 to 03:00, at 01:00 UTC
        ("01:00", "03:00", EVERY_DAY, "2026-03-29T00:59:59", True),
        ("01:00", "03:00", EVERY_DAY, "2026-03-29T01:00:00", False),
        ("02:30", "04:00", EVERY_DAY, "2026-03-29T00:59:59", False),
        ("02:30", "04:00", EVERY_DAY, "2026-03-29T01:00:00", True),
        ("02:30", "04:00", EVERY_DAY, "2026-03-29T02:00:00", False),
        ("02:10", "02:50", EVERY_DAY, "2026-03-29T01:20:00", False),
        ("22:00", "04:00", EVERY_DAY, "2026-03-29T01:59:59", True),
        ("22:00", "04:00", EVERY_DAY, "2026-03-29T02:00:00", False),
        # the summer keeps the local hours
        ("01:00", "03:00", EVERY_DAY, "2026-06-01T23:00:00", True),
        ("01:00", "03:00", EVERY_DAY, "2026-06-02T01:00:00", False),
        # 2026-10-25: the clocks go from 03:00 back to 02:00, at 01:00 UTC; the hour from two to
        # three comes twice
        ("01:00", "03:00", EVERY_DAY, "2026-10-24T23:00:00", True),
        ("01:00", "03:00", EVERY_DAY, "2026-10-25T01:59:59", True),
        ("01:00", "03:00", EVERY_DAY, "2026-10-25T02:00:00", False),
        ("02:30", "04:00", EVERY_DAY, "2026-10-25T00:30:00", True),
        ("02:30", "04:00", EVERY_DAY, "2026-10-25T01:10:00", False),
        ("02:30", "04:00", EVERY_DAY, "2026-10-25T01:30:00", True),
        ("22:00", "02:30", EVERY_DAY, "2026-10-25T00:45:00", False),
        ("22:00", "02:30", EVERY_DAY, "2026-10-25T01:29:59", True),
        ("22:00", "02:30", EVERY_DAY, "2026-10-25T01:30:00", False),
        ("02:10", "02:50", EVERY_DAY, "2026-10-25T00:20:00", True),
        ("02:10", "02:50", EVERY_DAY, "2026-10-25T00:55:00", False),
        ("02:10", "02:50", EVERY_DAY, "2026-10-25T01:20:00", True),
        # through the night of a change, the window is that of the day on which it opened: an hour
        # shorter, an hour longer
        ("22:00", "04:00", SATURDAY, "2026-03-28T21:00:00", True),
        ("22:00", "04:00", SATURDAY, "2026-03-29T01:59:59", True),
        ("22:00", "04:00", SATURDAY, "2026-03-29T02:00:00", False),
        ("22:00", "04:00", SUNDAY, "2026-03-29T01:00:00", False),
        ("22:00", "02:30", SATURDAY, "2026-03-29T00:59:59", True),
        ("22:00", "02:30", SATURDAY, "2026-03-29T01:00:00", False),
        ("22:00", "04:00", SATURDAY, "2026-10-24T20:00:00", True),
        ("22:00", "04:00", SATURDAY, "2026-10-25T02:59:59", True),
        ("22:00", "04:00", SATURDAY, "2026-10-25T03:00:00", False),
        ("22:00", "04:00", SUNDAY, "2026-10-25T01:30:00", False),
    ],
)
def test_a_window_is_open_by_the_wall_clock_of_its_place(
    *, opens: str, closes: str, days: frozenset[int], now: str, open_now: bool
) -> None:
    assert is_open(window(opens, closes, days), utc(now)) is open_now


@pytest.mark.parametrize(
    ("opens", "closes", "days", "now", "opening"),
    [
        ("01:00", "03:00", EVERY_DAY, "2026-03-02T00:30:10", "2026-03-02T00:30:10"),
        ("01:00", "03:00", EVERY_DAY, "2026-03-02T02:00:00", "2026-03-03T00:00:00"),
        ("01:00", "03:00", MONDAY, "2026-03-02T02:00:00", "2026-03-09T00:00:00"),
        ("22:00", "04:00", SUNDAY, "2026-03-02T03:00:00", "2026-03-08T21:00:00"),
        ("02:30", "04:00", EVERY_DAY, "2026-03-28T12:00:00", "2026-03-29T01:00:00"),
        ("02:30", "04:00", EVERY_DAY, "2026-03-29T12:00:00", "2026-03-30T00:30:00"),
        ("02:10", "02:50", EVERY_DAY, "2026-03-28T12:00:00", "2026-03-30T00:10:00"),
        ("02:10", "02:50", SUNDAY, "2026-03-22T12:00:00", "2026-04-05T00:10:00"),
        ("02:30", "04:00", EVERY_DAY, "2026-10-24T12:00:00", "2026-10-25T00:30:00"),
        ("02:30", "04:00", EVERY_DAY, "2026-10-25T01:10:00", "2026-10-25T01:30:00"),
        ("02:30", "02:40", EVERY_DAY, "2026-10-25T01:45:00", "2026-10-26T01:30:00"),
        # it closed in the hour that comes twice, and opens again when the clocks are put back
        ("22:00", "02:30", EVERY_DAY, "2026-10-25T00:45:10", "2026-10-25T01:00:00"),
        ("22:00", "02:30", SATURDAY, "2026-10-25T00:30:00", "2026-10-25T01:00:00"),
        ("22:00", "02:30", SUNDAY, "2026-10-25T00:30:00", "2026-10-25T21:00:00"),
        ("22:00", "02:30", EVERY_DAY, "2026-10-25T01:30:00", "2026-10-25T21:00:00"),
    ],
    ids=str,
)
def test_the_next_opening_is_the_first_time_the_window_is_open(
    opens: str, closes: str, days: frozenset[int], now: str, opening: str
) -> None:
    assert next_opening((window(opens, closes, days),), utc(now)) == utc(opening)


def test_of_several_windows_the_first_to_open_counts() -> None:
    later, sooner = window("20:00", "21:00"), window("19:00", "19:30")

    assert next_opening((later, sooner), utc("2026-03-02T12:00:00")) == utc("2026-03-02T18:00:00")


def test_a_window_on_no_day_never_opens() -> None:
    never = window("01:00", "02:00", frozenset())

    assert next_opening((never,), utc("2026-03-02T12:00:00")) is None
    assert next_opening((), utc("2026-03-02T12:00:00")) is None
    assert not is_open(never, utc("2026-03-02T00:30:00"))


@pytest.mark.parametrize(
    ("opens", "closes"), [("02:15", "02:45"), ("02:45", "02:15"), ("00:00", "00:00"), ("23:30", "02:30")]
)
@pytest.mark.parametrize("day", ["2026-03-28", "2026-10-24", "2026-06-06"])
def test_no_minute_before_the_next_opening_is_open(opens: str, closes: str, day: str) -> None:
    each, start = window(opens, closes), utc(f"{day}T12:00:00")
    moments = [start + timedelta(minutes=minute) for minute in range(3 * 24 * 60)]

    assert next_opening((each,), start) == next(moment for moment in moments if is_open(each, moment))


@pytest.mark.parametrize(("place", "day"), some(CHANGES))
@pytest.mark.parametrize(
    ("opens", "closes"),
    [("22:00", "02:30"), ("23:15", "00:30"), ("00:15", "00:45"), ("01:40", "01:20"), ("02:00", "04:00")],
)
def test_around_a_change_of_the_clocks_no_minute_before_the_next_opening_is_open(
    place: str, day: str, opens: str, closes: str
) -> None:
    """Asked in every quarter of an hour of the day of the change, at night and in the middle of it."""
    each, noon = window(opens, closes, zone=ZoneInfo(place)), utc(f"{day}T12:00:00")
    minutes = [noon + timedelta(minutes=minute) for minute in range(-36 * 60, 60 * 60)]
    open_at = [moment for moment in minutes if is_open(each, moment)]
    asked = minutes[: 60 * 60 : 15]

    answers = [next_opening((each,), moment) for moment in asked]

    assert answers == [open_at[bisect_left(open_at, moment)] for moment in asked]


def test_a_window_reads_as_an_operator_writes_it() -> None:
    assert str(window("22:00", "04:30", frozenset({5, 6}))) == "sat,sun 22:00-04:30 Europe/Berlin"
