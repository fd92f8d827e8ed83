"""The JSON Schema of everything that other systems are told: `python -m agbot.events.schema > docs/events.schema.json`."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec

from agbot.events.payload import EventMessage, GroupState, StatusMessage

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TOLD = {"event": EventMessage, "state": GroupState, "status": StatusMessage}
"""The last element of a topic, and what its payload is. A webhook's body is an event."""


def schema() -> dict[str, Any]:
    """Return the schema; `$defs` has one entry for each type."""
    told, parts = msgspec.json.schema_components(TOLD.values(), ref_template="#/$defs/{name}")
    return {
        "$schema": DIALECT,
        "title": "What agbot tells other systems",
        "description": "Payloads of the topics .../event, .../state and .../status, and bodies of webhooks (events).",
        "anyOf": list(told),
        "$defs": parts,
    }


def text() -> str:
    """Write the schema as it stands in the repository."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
