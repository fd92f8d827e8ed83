"""Late answers do no harm: which answer stays, and whether it is current."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agbot.fleet.shelf import Shelf
from agbot.rules.facts import Sight
from agbot.rules.ids import OrgId
from tests.support.values import NOW

KEY = "o1/anna"


def shelf(*steps: tuple[str, int], key: str = KEY) -> Shelf[str]:
    """Carry out `put`, `change` (of this key), `org` (a resync) and `forget`, each with its point in time."""
    made: Shelf[str] = Shelf()
    for what, moment in steps:
        match what:
            case "change":
                made.outdate(key, sequence=moment)
            case "org":
                made.outdate_all(OrgId("o1"), sequence=moment)
            case "forget":
                made.forget(key)
            case value:
                made.put(key, value, begun=moment, now=NOW)
    return made


def test_what_was_never_read_is_unread_and_not_current() -> None:
    empty = shelf()

    assert empty.get(KEY) is Sight.UNREAD
    assert empty.read_at(KEY) is None
    assert not empty.is_current(KEY)


@pytest.mark.parametrize(
    ("steps", "value", "current"),
    [
        ([("a", 1)], "a", True),
        ([("a", 1), ("b", 2)], "b", True),
        ([("b", 2), ("a", 1)], "b", True),
        ([("a", 1), ("b", 1)], "b", True),
        ([("a", 1), ("change", 2)], "a", False),
        ([("a", 1), ("change", 2), ("b", 3)], "b", True),
        ([("a", 1), ("change", 3), ("b", 2)], "b", False),
        ([("a", 1), ("change", 3), ("b", 2), ("c", 4)], "c", True),
        ([("a", 1), ("change", 3), ("c", 4), ("b", 2)], "c", True),
        ([("a", 1), ("change", 5), ("change", 3), ("b", 4)], "b", False),
        ([("change", 2), ("a", 1)], "a", False),
        ([("change", 2), ("a", 3)], "a", True),
        ([("change", 2), ("a", 1), ("b", 3)], "b", True),
        ([("a", 1), ("org", 2)], "a", False),
        ([("a", 1), ("org", 2), ("b", 3)], "b", True),
        ([("org", 2), ("a", 1)], "a", False),
        ([("a", 1), ("forget", 0)], Sight.UNREAD, False),
        ([("b", 2), ("forget", 0), ("a", 1)], "a", False),
        ([("a", 1), ("change", 5), ("forget", 0), ("b", 4)], "b", False),
        ([("a", 1), ("change", 5), ("forget", 0), ("b", 6)], "b", True),
    ],
    ids=str,
)
def test_the_latest_reading_stays_and_is_current_until_something_changes(
    *, steps: list[tuple[str, int]], value: object, current: bool
) -> None:
    made = shelf(*steps)

    assert made.get(KEY) == value
    assert made.is_current(KEY) is current


def test_an_answer_that_came_too_late_says_that_it_was_not_taken() -> None:
    made = shelf(("b", 2))

    assert made.put(KEY, "a", begun=1, now=NOW) is False
    assert made.put(KEY, "c", begun=3, now=NOW) is True


def test_an_absence_is_an_answer() -> None:
    made: Shelf[str] = Shelf()
    made.put(KEY, Sight.ABSENT, begun=1, now=NOW)

    assert made.get(KEY) is Sight.ABSENT
    assert made.is_current(KEY)


def test_the_time_of_an_answer_is_that_of_the_answer_that_stayed() -> None:
    made: Shelf[str] = Shelf()
    made.put(KEY, "b", begun=2, now=NOW)
    made.put(KEY, "a", begun=1, now=NOW - timedelta(seconds=60))

    assert made.read_at(KEY) == NOW.seen


def test_an_organisation_is_not_another_whose_name_begins_alike() -> None:
    made = shelf(("a", 1), key="o12/anna")
    made.outdate_all(OrgId("o1"), sequence=2)

    assert made.is_current("o12/anna")


def test_a_change_of_one_thing_leaves_the_answers_about_others_current() -> None:
    made = shelf(("a", 1))
    made.outdate("o1/never-read", sequence=2)
    made.outdate("o1/never-read-either", sequence=3)

    assert made.is_current(KEY)
    assert list(made) == [KEY]


def test_what_the_feed_shows_and_no_one_reads_takes_no_memory() -> None:
    made: Shelf[str] = Shelf()
    for number in range(1000):
        made.outdate(f"o1/invented-{number}", sequence=number)

    assert list(made) == []
    assert made._outdated == {}  # noqa: SLF001 - memory is the point here


def test_what_was_forgotten_is_in_no_organisation_any_more() -> None:
    made = shelf(("a", 1), ("forget", 0))

    assert made.of_org(OrgId("o1")) == ()


def test_a_value_that_is_accepted_in_part_is_as_old_and_as_outdated_as_the_one_before() -> None:
    made = shelf(("a", 1), ("change", 2))
    made.amend(KEY, "b")
    made.amend("o1/never-read", "b")

    assert (made.get(KEY), made.read_at(KEY), made.is_current(KEY)) == ("b", NOW.seen, False)
    assert list(made) == [KEY]


def test_an_answer_counts_for_as_long_as_it_is_known_to_have_been_given() -> None:
    made = shelf(("a", 1))
    assert made.known_for(KEY) == timedelta()

    made.backdate(KEY, timedelta(seconds=10))
    assert made.known_for(KEY) == timedelta(seconds=10)

    made.backdate(KEY, timedelta(seconds=5))
    assert made.known_for(KEY) == timedelta(seconds=10)
