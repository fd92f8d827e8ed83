"""Each event: its name, its row in the journal and back, and its words."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from agbot.events.catalogue import EVENTS
from agbot.events.delivering import DeliveryRefused
from agbot.events.event import DECISION_RECORD, Event, Level, Unread
from agbot.events.leases import LeaseGranted, LeaseReleased
from agbot.events.operators import HoldSet
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause
from agbot.store.contract import Entry
from tests.support.events import example_of

NOW = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
JOURNALLED = [event for event in EVENTS.values() if event.is_journalled]
GRANTED = LeaseGranted(
    group=GroupId("o1/pumps"),
    node=NodeId("o1/anna"),
    subject=PolicyId("o1/agent"),
    token=7,
    kind=Kind.AGENT,
    expires_at=NOW,
    decision_record={"limits": {"lease_seconds": 600}},
)


@pytest.mark.parametrize("event", EVENTS.values(), ids=str)
def test_an_event_is_named_noun_verb_and_explained_in_sentences(event: type[Event]) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", event.name)
    assert event.level in Level
    assert event.meaning().endswith(".")
    assert "\n" not in event.meaning()


@pytest.mark.parametrize("event", JOURNALLED, ids=str)
def test_an_event_of_the_journal_comes_back_from_its_row_as_it_was(event: type[Event]) -> None:
    made = example_of(event)
    row = Entry.of(made, NOW)

    stored = json.loads(json.dumps(row.facts))

    assert Entry(**{**{name: getattr(row, name) for name in row.__slots__}, "facts": stored}).read() == made


@pytest.mark.parametrize("event", EVENTS.values(), ids=str)
def test_an_event_has_a_sentence_of_its_own(event: type[Event]) -> None:
    sentence = example_of(event).in_words()

    assert sentence != event.name.replace(".", " ").replace("_", " ")
    assert "None" not in sentence
    assert not re.search(r"\banew\b|for ever|no longer waits|waits no longer|\btold\b|nobody", sentence)


def test_a_sentence_names_the_upgrade_also_where_its_policy_is_not_known() -> None:
    down = LeaseReleased(
        group=GroupId("o1/pumps"), node=NodeId("o1/anna"), token=7, cause=Cause.SUCCEEDED, why="it runs", held_seconds=5
    )

    assert down.in_words() == "the lease of o1/anna for a service of o1/anna has ended: succeeded"


def test_facts_are_json_values_and_leave_out_what_there_is_not() -> None:
    assert GRANTED.facts == {
        "kind": "agent",
        "expires_at": "2026-03-04T05:06:07.890Z",
        "decision_record": {"limits": {"lease_seconds": 600}},
    }
    assert HoldSet(scope="*", why="fair").facts == {"scope": "*", "why": "fair"}
    refused = DeliveryRefused(sink="mqtt", receiver="hall:1883", error="no", numbers=(5, 6))
    assert refused.facts["numbers"] == [5, 6]


def test_the_log_shows_columns_and_facts_without_the_decision_record_and_names_only_people() -> None:
    assert GRANTED.logged() == {
        "group": "o1/pumps",
        "node": "o1/anna",
        "subject": "o1/agent",
        "token": 7,
        "kind": "agent",
        "expires_at": "2026-03-04T05:06:07.890Z",
    }
    assert HoldSet(who="ada", scope="*", why="fair").logged()["who"] == "ada"


def test_a_row_of_an_event_that_is_not_known_is_shown_by_its_name_with_all_it_says() -> None:
    read = Entry(at=NOW, event="moon.has_risen", node=NodeId("o1/anna"), facts={"phase": "full", "why": "night"}).read()

    assert isinstance(read, Unread)
    assert (read.in_words(), read.explanation(), read.level) == ("moon has risen", "night", Level.INFO)
    assert read.logged() == {"node": "o1/anna", "phase": "full", "why": "night"}


def test_a_row_with_facts_that_make_no_sense_is_shown_by_its_name_at_its_level() -> None:
    read = Entry(at=NOW, event="brake.set", facts={"cause": "struck-by-lightning", DECISION_RECORD: {}}).read()

    assert isinstance(read, Unread)
    assert (read.in_words(), read.level) == ("brake set", Level.WARNING)
    assert read.logged() == {"cause": "struck-by-lightning"}


def test_what_a_newer_program_adds_to_an_event_keeps_no_one_from_reading_it() -> None:
    row = Entry.of(GRANTED, NOW)

    assert Entry.of(GRANTED, NOW).read() == GRANTED
    newer = Entry(
        at=NOW, event=row.event, group=row.group, node=row.node, subject=row.subject, token=row.token,
        facts={**row.facts, "colour": "green"},
    )  # fmt: skip
    assert newer.read() == GRANTED
    assert newer.delivered_facts["colour"] == "green"


def test_an_event_does_not_change() -> None:
    with pytest.raises(AttributeError):
        GRANTED.token = 8  # type: ignore[misc]  # that is the test
