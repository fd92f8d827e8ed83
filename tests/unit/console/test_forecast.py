"""The expected end: only from the pace so far, and never of what a person has to do."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from agbot.console.page.accuracy import accuracy, ended, to_keep
from agbot.console.page.forecast import FEWEST, Forecast, NoForecast, forecast
from agbot.console.page.standing import Stand, Standing, Summary, summarise
from agbot.events.rollouts import RolloutEnded, RolloutExpected
from agbot.rules.ids import GroupId, PolicyId
from agbot.rules.lease import Kind

BEGUN = datetime(2026, 3, 4, tzinfo=UTC)


def after(minutes: float) -> datetime:
    return BEGUN + timedelta(minutes=minutes)


def rollout(
    ends: Iterable[float], *, waiting: int = 0, failed: int = 0, paused: int = 0, shut: int = 0, members: int = 0
) -> Summary:
    done = [
        Stand(group=GroupId(f"o/d{number}"), standing=Standing.DONE, text="", done_at=after(minutes))
        for number, minutes in enumerate(ends)
    ]
    left = [
        *(
            Stand(group=GroupId(f"o/w{each}"), standing=Standing.WAITING, text="", code="soaking", members=members)
            for each in range(waiting)
        ),
        *(
            Stand(group=GroupId(f"o/f{each}"), standing=Standing.FAILED, text="", code="brake")
            for each in range(failed)
        ),
        *(
            Stand(group=GroupId(f"o/p{each}"), standing=Standing.WAITING, text="", code="paused")
            for each in range(paused)
        ),
    ]
    closed = [
        Stand(
            group=GroupId(f"o/s{each}"),
            standing=Standing.WAITING,
            text="",
            code="outside-window",
            until=after(600 + each),
        )
        for each in range(shut)
    ]
    return summarise([*done, *left, *closed])


def test_the_rest_takes_as_long_for_each_group_as_those_before() -> None:
    found = forecast(rollout(range(10, 110, 10), waiting=5), after(100))

    assert isinstance(found, Forecast)
    assert found.likely == after(150)
    assert after(100) < found.earliest < found.likely < found.latest
    assert (found.remaining, found.ends) == (5, 9)


def test_the_interval_becomes_narrower_with_more_ends() -> None:
    few = forecast(rollout(range(10, 60, 10), waiting=50), after(50))
    many = forecast(rollout(range(1, 51), waiting=500), after(50))

    assert isinstance(few, Forecast)
    assert isinstance(many, Forecast)
    assert (few.latest - few.earliest) > (many.latest - many.earliest)


def test_four_of_five_random_rollouts_end_within_the_interval() -> None:
    chance, hits, runs = random.Random(4), 0, 400
    for _ in range(runs):
        moments, at = list[float](), 0.0
        for _ in range(60):
            at += chance.expovariate(1.0)
            moments.append(at)
        found = forecast(rollout(moments[:20], waiting=40), after(moments[19]))
        assert isinstance(found, Forecast)
        hits += found.earliest <= after(moments[-1]) <= found.latest

    assert 0.74 < hits / runs < 0.86


def test_groups_that_need_a_person_are_not_counted() -> None:
    found = forecast(rollout(range(10, 110, 10), waiting=2, failed=3, paused=4), after(100))

    assert isinstance(found, Forecast)
    assert found.remaining == 2


def test_groups_that_wait_for_a_window_are_named_apart_with_its_opening() -> None:
    found = forecast(rollout(range(10, 110, 10), waiting=2, shut=3), after(100))

    assert isinstance(found, Forecast)
    assert (found.remaining, found.shut, found.opens_at) == (2, 3, after(602))
    assert why_and_known(forecast(rollout(range(10, 110, 10), shut=3), after(100))) == (
        "the 3 groups left wait for a maintenance window",
        "The first opens at 2026-03-04 10:00:00Z.",
    )
    mixed = why_and_known(forecast(rollout(range(10, 110, 10), shut=3, failed=2), after(100)))[0]
    assert mixed == "the 5 groups left wait for a maintenance window (3) or for a person (2)"


def test_nothing_is_forecast_without_a_pace() -> None:
    few = forecast(rollout(range(1, FEWEST), waiting=5), after(10))
    blocked = forecast(rollout(range(1, 20), failed=2), after(20))
    over = forecast(rollout(range(1, 20)), after(20))
    together = forecast(rollout([7.0] * 20, waiting=1), after(20))
    stalled = forecast(rollout(range(1, 20), waiting=1), after(200))

    assert [type(each) for each in (few, blocked, over, together, stalled)] == [NoForecast] * 5
    assert getattr(blocked, "why", "") == "the 2 groups left wait for a person"
    one = forecast(rollout(range(1, 20), failed=1), after(20))
    assert getattr(one, "why", "") == "the 1 group left waits for a person"
    assert "no group was done for 3 h" in getattr(stalled, "why", "")


MINUTES = [timedelta(minutes=each) for each in (3, 8, 5)]


def why_and_known(found: Forecast | NoForecast) -> tuple[str, str]:
    assert isinstance(found, NoForecast)
    return found.why, found.known


def test_before_the_first_estimate_it_is_said_when_there_will_be_one() -> None:
    five = "an estimate takes 5 groups that are done at a known time, and so far there"

    assert why_and_known(forecast(rollout([], waiting=9), after(1))) == (
        f"{five} is none",
        "There will be an estimate when 5 are. No member is done yet, so it is not known how long one takes.",
    )
    assert why_and_known(forecast(rollout([10], waiting=9), after(11), MINUTES[:1])) == (
        f"{five} is 1",
        "There will be an estimate when 4 more are done. The one member that is done took 3 min.",
    )
    assert why_and_known(forecast(rollout([10, 14, 18], waiting=9), after(20), MINUTES)) == (
        f"{five} are 3",
        (
            "So far one was done every 4 min. There will be an estimate when 2 more are done, in about 6 min if it goes on "
            "like that. The 3 members that are done took 3 min to 8 min each."
        ),
    )
    late = why_and_known(forecast(rollout([10, 14, 18], waiting=9), after(60), MINUTES))[1]
    assert "when 2 more are done. The 3" in late, "what the pace so far has promised did not come true"


def test_a_small_rollout_has_no_estimate_but_what_its_longest_group_takes() -> None:
    why, known = why_and_known(forecast(rollout([10], waiting=2, members=2), after(20), MINUTES))
    one = why_and_known(forecast(rollout([10], waiting=2, members=1), after(20), MINUTES[:1]))[1]
    none = why_and_known(forecast(rollout([], waiting=2, members=2), after(20)))[1]

    assert why == "an estimate takes 5 groups that are done at a known time, and there will not be as many"
    assert known == (
        "The 3 members that are done took 3 min to 8 min each. At most 2 members are left in a group, one by one: "
        "about 6 min to 16 min, and whatever they wait for in between."
    )
    assert one.endswith("One member is left in a group: about 3 min, and whatever they wait for in between.")
    assert none == "No member is done yet, so it is not known how long one takes."


def test_the_time_before_the_first_end_is_no_part_of_the_pace() -> None:
    late = forecast(rollout(range(510, 610, 10), waiting=5), after(600))

    assert isinstance(late, Forecast)
    assert late.likely == after(650)


def test_a_long_rollout_is_judged_by_its_latest_pace() -> None:
    slow, fast = [10.0 * each for each in range(1, 101)], [1000.0 + each for each in range(1, 101)]

    found = forecast(rollout([*slow, *fast], waiting=10), after(1100))

    assert isinstance(found, Forecast)
    assert found.likely == after(1110)


_MOMENTS = some.lists(some.integers(1, 5000), min_size=FEWEST, max_size=80, unique=True)


@given(moments=_MOMENTS, waiting=some.integers(1, 500), factor=some.integers(2, 9))
def test_an_interval_is_in_the_future_in_order_and_follows_the_unit_of_time(
    moments: list[int], waiting: int, factor: int
) -> None:
    now = max(moments)
    found = forecast(rollout(moments, waiting=waiting), after(now))
    slower = forecast(rollout([factor * each for each in moments], waiting=waiting), after(factor * now))

    assert isinstance(found, Forecast)
    assert after(now) <= found.earliest <= found.likely <= found.latest
    assert isinstance(slower, Forecast)
    span, scaled = (found.latest - after(now)).total_seconds(), (slower.latest - after(factor * now)).total_seconds()
    assert scaled == pytest.approx(factor * span, rel=1e-6)


@given(moments=_MOMENTS, waiting=some.integers(1, 500))
def test_more_groups_take_longer(moments: list[int], waiting: int) -> None:
    fewer = forecast(rollout(moments, waiting=waiting), after(max(moments)))
    more = forecast(rollout(moments, waiting=waiting + 1), after(max(moments)))

    assert isinstance(fewer, Forecast)
    assert isinstance(more, Forecast)
    assert (fewer.earliest, fewer.likely, fewer.latest) < (more.earliest, more.likely, more.latest)


def expected(done: int, remaining: int, earliest: float = 100, latest: float = 200) -> RolloutExpected:
    return RolloutExpected(
        subject=PolicyId("o/p"),
        kind=Kind.AGENT,
        earliest=after(earliest),
        latest=after(latest),
        done=done,
        remaining=remaining,
    )


def test_an_estimate_is_kept_at_first_and_after_each_further_quarter() -> None:
    kept, at = list[RolloutExpected](), list[int]()
    for done in range(5, 100):
        found = forecast(rollout(range(1, done + 1), waiting=100 - done), after(done))
        assert isinstance(found, Forecast)
        if to_keep(found, done, kept):
            kept.append(expected(done, 100 - done))
            at.append(done)

    assert at == [5, 25, 50, 75]


def test_a_rollout_ends_with_its_last_group_and_is_compared_with_every_estimate() -> None:
    kept = [expected(5, 15, 100, 150), expected(10, 10, 155, 170), expected(15, 5, 10, 20)]

    end = ended(rollout(range(141, 161)), kept, after(161))

    assert end is not None
    assert (end.ended_at, end.done, end.left) == (after(160), 20, 0)
    assert (end.held, end.later, end.later_held) == (False, 2, 1)


def test_a_rollout_goes_on_while_a_group_waits_and_for_ten_minutes_if_one_needs_a_person() -> None:
    kept, ends = [expected(5, 15)], range(1, 20)

    assert ended(rollout(ends, waiting=1), kept, after(5000)) is None
    assert ended(rollout(ends, failed=1), kept, after(20)) is None
    assert ended(rollout(ends), [], after(5000)) is None
    end = ended(rollout(ends, failed=1), kept, after(30))
    assert end is not None
    assert (end.done, end.left) == (19, 1)


def an_end(at: float) -> RolloutEnded:
    found = ended(rollout([at]), [expected(5, 15, 100, 200), expected(10, 10, 100, 200)], after(at))
    assert found is not None
    return found


def test_the_accuracy_is_that_of_the_last_ten_rollouts() -> None:
    ends = [an_end(300) for _ in range(5)] + [an_end(150) for _ in range(8)] + [an_end(201), an_end(200)]

    assert accuracy(ends).in_words() == (
        "The last 10 rollouts ended within their first interval 9 times; of 10 later estimates, 9 held."
    )
    assert accuracy(ends[:1]).in_words() == "The last rollout did not end within its first interval."
    assert accuracy([]).in_words() == ""
