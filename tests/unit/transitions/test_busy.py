"""What is written of busy nodes as time passes."""

from __future__ import annotations

from agbot.rules.records import BusyState
from agbot.transitions import busy as transitions
from tests.support.values import BERT, LIMITS, NOW, busy


def test_a_time_that_is_over_is_reported_once_and_an_hour_later_nothing_is_kept() -> None:
    over = transitions.age([(busy(left=-1), LIMITS)], NOW)
    (record,) = over.put

    assert [event.name for event in over.events] == ["busy.ended"]
    assert not transitions.age([(record, LIMITS)], NOW)  # type: ignore[list-item]  # it is a busy node's
    forgotten = transitions.age([(busy(left=-3600), LIMITS)], NOW)
    assert (len(forgotten.drop), forgotten.events) == (1, [])


def test_a_node_in_no_group_is_never_ignored_because_it_waits_for_nothing() -> None:
    long = busy(since=10 * 3600)

    assert not transitions.age([(long, None)], NOW)
    assert [event.name for event in transitions.age([(long, LIMITS)], NOW).events] == ["busy.ignored"]


def test_a_word_that_changes_nothing_is_not_written() -> None:
    assert not transitions.take_in({BERT: None}, {}, NOW)
    assert busy().state is BusyState.BUSY
