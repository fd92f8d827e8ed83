"""Which states the broker is owed, and when."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from agbot.delivery.payload import GroupState
from agbot.delivery.states import CLEARED, COMPARE_SECONDS, States
from agbot.rules.ids import GroupId
from tests.contract.values import entry
from tests.support.values import NOW

A, B, C = GroupId("o1/a"), GroupId("o1/b"), GroupId("o1/c")
Published = dict[GroupId, int | None]


def state(group: GroupId, token: int) -> GroupState:
    return GroupState(
        group=group,
        state="free",
        token=token,
        holder=None,
        kind=None,
        subject=None,
        granted_at=NOW.wall,
        expires_at=None,
        members=[],
        waiting=[],
        brakes=[],
        holds=[],
    )


@dataclass
class Standing:
    """How groups stand in this test."""

    tokens: dict[GroupId, int] = field(default_factory=dict)
    busy_now: set[GroupId] | None = field(default_factory=set)
    gone: set[GroupId] = field(default_factory=set)

    def busy(self) -> set[GroupId] | None:
        return self.busy_now

    def is_gone(self, group: GroupId) -> bool:
        return group in self.gone

    def state(self, group: GroupId) -> GroupState | None:
        return state(group, self.tokens[group]) if group in self.tokens else None


def published(states: States, now: float = 0.0) -> Published:
    """Publish what is due; group -> token, None for a state that is cleared."""
    found = [(group, states.message(group)) for group in states.due(now)]
    return {
        group: json.loads(message)["token"] if message != CLEARED else None
        for group, message in found
        if message is not None
    }


def test_a_connection_begins_with_the_groups_where_something_goes_on() -> None:
    states = States(Standing(tokens={A: 1, B: 2}, busy_now={B}))

    assert published(states) == {B: 2}
    assert published(states) == {}


def test_a_group_is_reported_after_each_of_its_events_even_if_it_stands_as_before() -> None:
    states = States(Standing(tokens={A: 1, B: 2}))
    assert published(states) == {}

    states.delivered([entry(group=A), entry(group=A)])
    assert published(states) == {A: 1}
    states.delivered([entry(group=A)])
    assert published(states) == {A: 1}


def test_nothing_is_reported_before_the_exchange_was_read_and_everything_owed_after_it() -> None:
    standing = Standing(tokens={A: 1, B: 2}, busy_now=None)
    states = States(standing)
    states.delivered([entry(group=A)])
    assert published(states) == {}

    standing.busy_now = {B}
    assert published(states) == {A: 1, B: 2}


def test_a_group_of_an_organisation_that_was_not_read_yet_stays_owed() -> None:
    standing = Standing()
    states = States(standing)
    states.delivered([entry(group=A)])
    assert published(states) == {}

    standing.tokens[A] = 3
    assert published(states) == {A: 3}


def test_an_event_about_no_group_reports_all_that_the_broker_has() -> None:
    standing = Standing(tokens={A: 1, B: 2, C: 3}, busy_now={B})
    states = States(standing)
    assert published(states) == {B: 2}
    states.found(C)

    states.delivered([entry(group=None)])

    assert published(states) == {B: 2, C: 3}


def test_members_that_come_without_an_event_are_reported_now_and_then_where_something_goes_on() -> None:
    standing = Standing(tokens={A: 1, B: 2}, busy_now={B})
    states = States(standing)
    assert published(states) == {B: 2}
    standing.tokens = {A: 10, B: 20}

    assert published(states, now=COMPARE_SECONDS - 1) == {}
    assert published(states, now=COMPARE_SECONDS) == {B: 20}
    assert published(states, now=2 * COMPARE_SECONDS) == {}


def test_a_group_that_is_gone_is_cleared_also_if_an_earlier_daemon_reported_it() -> None:
    standing = Standing(tokens={A: 1, B: 2}, busy_now={B})
    states = States(standing)
    assert published(states) == {B: 2}
    states.found(A)

    standing.gone = {A, B}
    standing.busy_now = set()

    assert published(states, now=COMPARE_SECONDS) == {A: None, B: None}
    assert published(states, now=2 * COMPARE_SECONDS) == {}


def test_the_last_event_of_a_group_that_is_gone_clears_it() -> None:
    states = States(Standing(gone={A}))
    states.delivered([entry(group=A)])

    assert published(states) == {A: None}


def test_a_state_that_the_broker_has_refused_is_sent_again_with_a_comparison_until_it_is_accepted() -> None:
    standing = Standing(tokens={A: 1, B: 2})
    states = States(standing)
    states.delivered([entry(group=A)])
    assert published(states) == {A: 1}

    states.answered(A, is_to_be_repeated=True)

    assert published(states, now=COMPARE_SECONDS - 1) == {}
    assert published(states, now=COMPARE_SECONDS) == {A: 1}
    states.answered(A, is_to_be_repeated=False)
    assert published(states, now=2 * COMPARE_SECONDS) == {}


def test_of_many_states_that_the_broker_refuses_a_few_are_tried_at_a_time_and_all_in_turn() -> None:
    groups = [GroupId(f"o1/g{number:03}") for number in range(120)]
    states = States(Standing(tokens=dict.fromkeys(groups, 1)))
    states.delivered([entry(group=group) for group in groups])
    tried = list(published(states))
    for group in tried:
        states.answered(group, is_to_be_repeated=True)

    again: list[GroupId] = []
    for comparison in range(1, 4):
        found = list(published(states, now=comparison * COMPARE_SECONDS))
        assert len(found) <= 50
        again += found
        for group in found:
            states.answered(group, is_to_be_repeated=True)

    assert set(again) == set(groups)
