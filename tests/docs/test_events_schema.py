"""What other systems are promised: the schema is that of the types, and the page's examples work."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it ships no types
import pytest

from agbot.delivery import schema
from agbot.delivery.payload import encoded, event_message
from agbot.delivery.topics import Topics
from agbot.delivery.webhook_posting import ID, SIGNATURE, TIMESTAMP, signed
from agbot.events.catalogue import EVENTS
from agbot.events.event import Event
from agbot.rules.ids import GroupId
from agbot.settings.secret import Secret
from agbot.store.contract import Entry
from tests.contract.values import entry
from tests.support.events import example_of
from tests.support.listening import validated

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "events.md").read_text(encoding="utf-8")
SCHEMA = schema.schema()
ENTRY = Entry(id=1042, at=datetime(2026, 11, 23, 12, tzinfo=UTC), event="lease.granted")


def example(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_schema_is_that_of_the_types() -> None:
    assert (DOCS / "events.schema.json").read_text(encoding="utf-8") == schema.text(), (
        "run: python -m agbot.delivery.schema > docs/events.schema.json"
    )


def test_the_schema_is_one_itself() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_page_s_example_of_an_event_is_one_and_has_the_id_that_it_would_have() -> None:
    shown = validated(example("json"), "event")

    assert shown["id"] == event_message(ENTRY).id
    assert shown["at"] == json.loads(encoded(event_message(ENTRY)))["at"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": "7"},
        {"token": None},
        {"event": "granted"},
        {"event": "lease.released"},
        {"number": 0},
        {"id": None},
        {"facts": {"kind": "agent"}},
        {"facts": {"kind": "toaster", "expires_at": "2026-11-23T12:10:00.000Z"}},
        {"facts": {"kind": "agent", "expires_at": 7}},
    ],
)
def test_the_schema_refuses_what_is_no_event(wrong: dict[str, Any]) -> None:
    message = json.loads(example("json")) | wrong

    with pytest.raises(jsonschema.ValidationError):
        validated(json.dumps(message), "event")


def test_an_event_of_a_newer_program_is_an_event_as_well() -> None:
    message = validated(encoded(event_message(Entry(id=1, at=ENTRY.at, event="moon.has_risen"))), "event")

    assert [message[key] for key in ("group", "node", "subject", "token", "facts")] == [None, None, None, None, {}]


@pytest.mark.parametrize("event", [event for event in EVENTS.values() if event.is_journalled], ids=str)
def test_each_event_of_the_journal_has_a_schema_and_is_valid_by_it(event: type[Event]) -> None:
    entry = replace(Entry.of(example_of(event), ENTRY.at), id=7)

    message = validated(encoded(event_message(entry)), "event")

    described = SCHEMA["$defs"][event.name]
    assert set(message["facts"]) == set(described["properties"]["facts"]["properties"])
    for fact in described["properties"]["facts"]["required"]:
        facts = {name: value for name, value in message["facts"].items() if name != fact}
        with pytest.raises(jsonschema.ValidationError):
            validated(json.dumps(message | {"facts": facts}), "event")


def test_the_same_number_at_another_time_is_another_event() -> None:
    assert len({event_message(entry(minutes=minutes)).id for minutes in range(3)}) == 3


def test_every_topic_is_on_the_page() -> None:
    topics, group = Topics("agbot"), GroupId("{org}/{group}")

    named = {topics.event(group), topics.event(None), topics.state(group), topics.status, topics.all_states}

    assert {topic for topic in named if f"`{topic}`" not in PAGE} == set()


def test_the_page_s_way_to_check_a_signature_knows_ours_from_any_other() -> None:
    found: dict[str, Any] = {}
    exec(example("python"), found)  # noqa: S102 - it is our own page
    is_genuine, body = found["is_genuine"], b'{"id": "1"}'
    now = int(time.time())
    headers = dict(signed(body, Secret("hush"), now))

    assert is_genuine(headers, body, "hush")
    assert not is_genuine(headers, body + b" ", "hush")
    assert not is_genuine(headers, body, "other")
    assert not is_genuine(headers | {TIMESTAMP: str(now + 1)}, body, "hush")
    assert not is_genuine(dict(signed(body, Secret("hush"), now - 600)), body, "hush")


def test_the_page_names_every_header() -> None:
    assert {header for header in (ID, TIMESTAMP, SIGNATURE) if f"`{header}`" not in PAGE} == set()
