"""The JSON Schema of all payloads: `python -m agbot.delivery.schema > docs/events.schema.json`.

Each event of the journal has its own schema, generated from its class: which of group, node,
subject and token it has, and its facts. An event without a schema comes from a newer program, and
only `EventMessage` describes it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec

from agbot.delivery.payload import EventMessage, GroupState, StatusMessage
from agbot.events.catalogue import EVENTS
from agbot.events.event import COLUMNS, DECISION_RECORD, Event

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
SENT = {"event": EventMessage, "state": GroupState, "status": StatusMessage}
"""The payload by the last level of its topic. The body of a webhook is an event."""
_REF = "#/$defs/{name}"


def schema() -> dict[str, Any]:
    """Return the schema; `$defs` has an entry for each type, and one for each event by name."""
    sent, parts = msgspec.json.schema_components(SENT.values(), ref_template=_REF)
    events, more = _events()
    message = parts["EventMessage"]
    message["allOf"] = [
        {"if": {"properties": {"event": {"const": name}}}, "then": {"$ref": _REF.format(name=name)}} for name in events
    ]
    return {
        "$schema": _DIALECT,
        "title": "What agbot sends to other systems",
        "description": "Payloads of the topics .../event, .../state and .../status, and bodies of webhooks (events).",
        "anyOf": list(sent),
        "$defs": {**parts, **more, **events},
    }


def text() -> str:
    """Return the schema as it is in the repository."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _events() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of each event by name, and the types that their facts refer to."""
    journalled = [event for event in EVENTS.values() if event.is_journalled]
    _, parts = msgspec.json.schema_components(journalled, ref_template=_REF)
    made = {event.name: _event(event, parts.pop(event.__name__)) for event in journalled}
    return made, parts


def _event(event: type[Event], made: dict[str, Any]) -> dict[str, Any]:
    fields, required = made["properties"], made["required"]
    facts = {name: field for name, field in fields.items() if name not in (*COLUMNS, DECISION_RECORD)}
    return {
        "title": event.name,
        "description": event.meaning(),
        "type": "object",
        "properties": {
            "event": {"const": event.name},
            **{column: fields.get(column, {"type": "null"}) for column in COLUMNS},
            "facts": {
                "type": "object",
                "properties": facts,
                "required": [name for name in facts if name in required],
            },
        },
        "required": ["event", *COLUMNS, "facts"],
    }


if __name__ == "__main__":
    sys.stdout.write(text())
