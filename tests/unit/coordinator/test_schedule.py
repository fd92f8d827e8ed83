"""The groups that are due are those that a scan of everything that was stated would find: none is forgotten, and none comes twice."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as some

from agbot.coordinator.schedule import Schedule
from agbot.rules.ids import GroupId
from agbot.rules.seen_time import SeenTime
from tests.support.clocks import NOON

GROUPS = [GroupId(f"o1/g{number}") for number in range(4)]
STEPS = some.lists(
    some.tuples(some.sampled_from(["at once", "at", "take"]), some.sampled_from(GROUPS), some.integers(0, 20)),
    max_size=60,
)


def second(number: int) -> SeenTime:
    return SeenTime(NOON + timedelta(seconds=number))


@given(STEPS)
def test_what_is_due_is_what_a_scan_of_all_deadlines_finds(steps: list[tuple[str, GroupId, int]]) -> None:
    schedule, expected, now = Schedule(), dict[GroupId, int](), 0
    for what, group, seconds in steps:
        if what == "at once":
            schedule.at_once([group])
            expected[group] = 0
        elif what == "at":
            schedule.at(group, second(now + seconds))
            expected[group] = min(now + seconds, expected.get(group, now + seconds))
        else:
            now += seconds
            due = {each for each, moment in expected.items() if moment <= now}
            found = schedule.take(second(now))
            assert len(found) == len(set(found))
            assert set(found) == due
            expected = {each: moment for each, moment in expected.items() if each not in due}


def test_an_earlier_deadline_counts_and_a_later_one_is_ignored() -> None:
    schedule = Schedule()
    schedule.at(GROUPS[0], second(10))
    schedule.at(GROUPS[0], second(5))
    schedule.at(GROUPS[0], second(20))

    assert schedule.take(second(4)) == []
    assert schedule.take(second(5)) == [GROUPS[0]]
    assert schedule.take(second(30)) == []
