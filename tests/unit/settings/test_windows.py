"""Maintenance windows as operators write them."""

from __future__ import annotations

from datetime import UTC, time
from zoneinfo import ZoneInfo

import pytest

from agbot.settings import windows
from agbot.settings.windows import WindowError


def test_days_hours_and_zone_become_a_window() -> None:
    window = windows.parse("sat,sun 22:00-04:00 Europe/Berlin")

    assert window.weekdays == {5, 6}
    assert (window.opens, window.closes) == (time(22), time(4))
    assert window.zone == ZoneInfo("Europe/Berlin")
    assert str(window) == "sat,sun 22:00-04:00 Europe/Berlin"


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ("mon", {0}),
        ("MON,Wed", {0, 2}),
        ("mon-fri", {0, 1, 2, 3, 4}),
        ("fri-mon", {4, 5, 6, 0}),
        ("tue-tue", {1}),
        ("daily", set(range(7))),
        ("mon-tue,sun", {0, 1, 6}),
    ],
)
def test_days_may_be_listed_ranged_or_daily(days: str, expected: set[int]) -> None:
    assert windows.parse(f"{days} 01:00-02:00").weekdays == expected


def test_without_a_zone_the_hours_are_utc() -> None:
    assert windows.parse("mon 01:00-02:00").zone is UTC
    assert windows.parse("mon 01:00-02:00 utc").zone is UTC


def test_a_window_may_close_at_midnight() -> None:
    assert windows.parse("mon 20:00-24:00").closes == time(0)


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("", "0 parts"),
        ("mon", "1 part;"),
        ("mon 1 2 3", "4 parts"),
        ("son 01:00-02:00", 'did you mean "sun"'),
        ("mon, 01:00-02:00", '"" is not a weekday'),
        ("mon 1-2", "is not a range of hours"),
        ("mon 25:00-02:00", '"25:00" is not a time of day'),
        ("mon 24:00-02:00", '"24:00" is not a time of day'),
        ("mon 01:00-02:00 Europe/Berln", 'did you mean "Europe/Berlin"'),
        ("mon 01:00-02:00 ../etc/passwd", "is not a time zone"),
    ],
)
def test_what_is_not_a_window_is_refused_with_the_part_that_is_wrong(text: str, stated: str) -> None:
    with pytest.raises(WindowError, match=stated):
        windows.parse(text)
