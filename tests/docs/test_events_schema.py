"""What other systems are promised: the schema is that of the types, and the page's examples work."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it ships no types
import pytest

from agbot.events import schema
from agbot.events.payload import encoded, event_message
from agbot.events.topics import Topics
from agbot.events.webhook import ID, SIGNATURE, TIMESTAMP, signed
from agbot.rules.ids import GroupId
from agbot.settings.secret import Secret
from agbot.store.contract import Entry
from tests.contract.values import entry
from tests.support.listening import validated

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "events.md").read_text(encoding="utf-8")
ENTRY = Entry(id=1042, at=datetime(2026, 11, 23, 12, tzinfo=UTC), event="lease.granted")


def example(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_schema_is_that_of_the_types() -> None:
    assert (DOCS / "events.schema.json").read_text(encoding="utf-8") == schema.text(), (
        "run: python -m agbot.events.schema > docs/events.schema.json"
    )


def test_the_schema_is_one_itself() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.schema())


def test_the_page_s_example_of_an_event_is_one_and_has_the_id_that_it_would_have() -> None:
    shown = validated(example("json"), "event")

    assert shown["id"] == event_message(ENTRY).id
    assert shown["at"] == json.loads(encoded(event_message(ENTRY)))["at"]


@pytest.mark.parametrize("wrong", [{"token": "7"}, {"event": "granted"}, {"number": 0}, {"id": None}])
def test_the_schema_refuses_what_is_no_event(wrong: dict[str, Any]) -> None:
    message = json.loads(example("json")) | wrong

    with pytest.raises(jsonschema.ValidationError):
        validated(json.dumps(message), "event")


def test_an_entry_without_anything_is_told_as_well() -> None:
    message = validated(encoded(event_message(ENTRY)), "event")

    assert [message[key] for key in ("group", "node", "subject", "token", "facts")] == [None, None, None, None, {}]


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
