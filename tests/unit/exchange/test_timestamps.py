"""Both forms of the Exchange's time, and the offset of its clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agbot.exchange.timestamps import ExchangeClock, parse

SECOND = datetime(2026, 1, 21, 21, 39, 49, tzinfo=UTC)
NOW = datetime(2026, 11, 23, 12, 0, 0, 400_000, tzinfo=UTC)


def note(clock: ExchangeClock, ahead_seconds: float, *, at: datetime = NOW, way_seconds: float = 0.01) -> None:
    """Take in a reply of an Exchange whose clock is ahead, half way between request and reply."""
    header = format_datetime(at + timedelta(seconds=ahead_seconds + way_seconds), usegmt=True)
    clock.note(header, at, at + timedelta(seconds=2 * way_seconds))


@pytest.mark.parametrize("suffix", ["Z", "Z[UTC]"])
@pytest.mark.parametrize("digits", range(10))
def test_both_forms_are_read_with_any_number_of_digits(digits: int, suffix: str) -> None:
    fraction = "123456789"[:digits]
    text = f"2026-01-21T21:39:49{'.' if fraction else ''}{fraction}{suffix}"

    assert parse(text) == SECOND + timedelta(microseconds=int(fraction[:6].ljust(6, "0")))


def test_the_old_form_leaves_out_seconds_that_are_zero() -> None:
    assert parse("2026-01-21T21:39Z[UTC]") == SECOND.replace(second=0)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-01-21", "2026-01-21T21:39:49", "2026-13-21T21:39:49Z", "[UTC]"]
)
def test_what_is_no_moment_is_an_error_and_not_a_guess(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_moment_out_of_all_range_is_an_error_of_the_same_kind(text: str) -> None:
    clock = ExchangeClock()
    note(clock, 3600)

    with pytest.raises(ValueError, match=r".+"):
        clock.ours(text)


@given(st.floats(min_value=-1.9, max_value=1.9), st.integers(min_value=0, max_value=999_999))
def test_an_offset_below_two_seconds_counts_as_none(ahead_seconds: float, microsecond: int) -> None:
    clock = ExchangeClock()
    for _ in range(20):
        note(clock, ahead_seconds, at=NOW.replace(microsecond=microsecond))

    assert clock.offset == timedelta()


@given(st.floats(min_value=-80_000, max_value=80_000).filter(lambda seconds: abs(seconds) > 5))
def test_an_offset_is_known_to_two_seconds_after_one_reply_and_stands_still(ahead_seconds: float) -> None:
    clock = ExchangeClock()
    note(clock, ahead_seconds)
    first = clock.offset
    for microsecond in range(0, 1_000_000, 50_000):
        note(clock, ahead_seconds, at=NOW.replace(microsecond=microsecond))

    assert abs(first.total_seconds() - ahead_seconds) <= 2
    assert clock.offset == first


def test_a_time_of_the_exchange_becomes_one_on_our_clock() -> None:
    clock = ExchangeClock()
    note(clock, -3600)

    assert abs(clock.ours("2026-11-23T11:00:00.400000Z") - NOW) <= timedelta(seconds=1)


@pytest.mark.parametrize("header", ["", "soon", "Mon, 99 Nov 2026 12:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_missing_or_absurd_date_says_nothing(header: str) -> None:
    clock = ExchangeClock()
    clock.note(header, NOW, NOW)

    assert clock.offset == timedelta()


@pytest.mark.parametrize("seconds", [-86_403, 200_000])
def test_a_date_that_jumps_by_more_than_a_day_asks_for_a_comparison_and_so_does_its_way_back(seconds: float) -> None:
    clock = ExchangeClock()
    clock.learn("2026-11-23T12:00:00Z", NOW, NOW)
    asked = []
    for ahead_seconds in (0, seconds, 0):
        note(clock, ahead_seconds)
        asked.append(clock.is_doubtful)
        clock.learn("2026-11-23T12:00:00Z", NOW, NOW)

    assert asked == [False, True, True]
    assert clock.offset == timedelta()


def test_one_wrong_date_among_right_ones_moves_nothing() -> None:
    clock = ExchangeClock()
    note(clock, 0)
    note(clock, 0)
    note(clock, 7200)

    assert clock.offset == timedelta()


def test_a_slow_reply_moves_nothing() -> None:
    clock = ExchangeClock()
    for _ in range(10):
        note(clock, 0, way_seconds=8)

    assert clock.offset == timedelta()


def test_an_exchange_whose_clock_is_set_right_is_believed_after_some_replies() -> None:
    clock = ExchangeClock()
    for _ in range(9):
        note(clock, 600)
    for _ in range(6):
        note(clock, 0)

    assert clock.offset == timedelta()


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31T23:59:59.999999999Z",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "1999-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "\u0662\u0660\u0662\u0666-11-23",
        "\ud800",
        "20261123" * 1000,
    ],
)
def test_a_time_with_which_no_rule_could_reckon_is_none(text: str) -> None:
    clock = ExchangeClock()

    assert clock.ours_or_none(text) is None
    with pytest.raises(ValueError):  # noqa: PT011 - each says something else
        clock.ours(text)


def compare(clock: ExchangeClock, ahead_seconds: float, *, way_seconds: float = 0.01) -> bool:
    """Compare with an Exchange whose clock is ahead, by a stamp made half way between question and answer."""
    made_at = NOW + timedelta(seconds=ahead_seconds + way_seconds)
    return clock.learn(made_at.isoformat().replace("+00:00", "Z"), NOW, NOW + timedelta(seconds=2 * way_seconds))


def knows(clock: ExchangeClock) -> bool:
    return clock.is_known


@pytest.mark.parametrize("ahead_seconds", [0.0, 1.0, -1.0, 3600.0, -86_400.0, 3_000_000.0])
def test_one_comparison_reports_the_exchanges_clock_whatever_it_shows(ahead_seconds: float) -> None:
    clock = ExchangeClock()
    assert not knows(clock)

    assert compare(clock, ahead_seconds)

    assert knows(clock)
    assert abs(clock.offset.total_seconds() - ahead_seconds) <= 2


def test_dates_of_a_proxy_move_nothing_once_the_clocks_were_compared() -> None:
    clock = ExchangeClock()
    compare(clock, 0)
    for _ in range(20):
        note(clock, 7200)

    assert (clock.offset, clock.is_known) == (timedelta(), True)
    assert clock.is_doubtful, "they are a hint to compare again"


def test_an_offset_that_contradicts_the_one_before_is_believed_when_a_second_comparison_agrees() -> None:
    clock = ExchangeClock()
    compare(clock, 0)

    compare(clock, 600)
    assert not knows(clock)
    compare(clock, 600)

    assert knows(clock)
    assert abs(clock.offset.total_seconds() - 600) < 1


def test_a_comparison_whose_answer_was_slow_reports_nothing() -> None:
    clock = ExchangeClock()

    assert not compare(clock, 0, way_seconds=8)
    assert not knows(clock)


@pytest.mark.parametrize("step", [5400.0, -5400.0])
def test_after_a_step_of_our_clock_the_offset_is_learnt_again(step: float) -> None:
    clock = ExchangeClock()
    compare(clock, 0)

    clock.ours_moved(timedelta(seconds=step))
    assert not knows(clock)
    assert "was set" in clock.why_unknown
    compare(clock, -step)

    assert knows(clock)
    assert clock.offset == timedelta(seconds=-step)
