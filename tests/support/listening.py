"""Another system that listens to a broker.

Every payload it hears is held against the schema in `docs/`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import aiomqtt
import jsonschema  # type: ignore[import-untyped]  # it ships no types

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "events.schema.json").read_text(encoding="utf-8"))
TYPES = {"event": "EventMessage", "state": "GroupState", "status": "StatusMessage"}


@cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    """Build the validator of a type once: to check the schema takes far longer than to check a payload."""
    schema = {**SCHEMA, "$ref": f"#/$defs/{name}"}
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


def validated(payload: bytes | str, kind: str) -> dict[str, Any]:
    """Read a payload that must be of this kind (`event`, `state`, `status`), with no field that the schema does not know."""
    name = TYPES[kind]
    found: dict[str, Any] = json.loads(payload)
    _validator(name).validate(found)
    assert set(found) == set(SCHEMA["$defs"][name]["properties"])
    return found


@dataclass(frozen=True)
class Heard:
    """One message; no content for one that clears a topic."""

    topic: str
    content: dict[str, Any]
    retained: bool


@dataclass
class Listener:
    """What one subscriber has received."""

    received: list[Heard] = field(default_factory=list)
    is_connected: bool = False

    def on(self, topic: str) -> list[dict[str, Any]]:
        """Return what was reported under one topic."""
        return [each.content for each in self.received if each.topic == topic]

    def events(self) -> list[dict[str, Any]]:
        """Return every event, as often as it was reported."""
        return [each.content for each in self.received if each.topic.endswith("/event")]

    def numbers(self) -> set[int]:
        """Return the numbers of the events that were reported."""
        return {event["number"] for event in self.events()}

    def take(self, message: aiomqtt.Message) -> None:
        topic, payload = str(message.topic), message.payload
        assert isinstance(payload, bytes)
        content = validated(payload, topic.rpartition("/")[2]) if payload else {}
        self.received.append(Heard(topic, content, bool(message.retain)))


@asynccontextmanager
async def listening(
    port: int, *, tls: ssl.SSLContext | None = None, username: str | None = None, password: str | None = None
) -> AsyncIterator[Listener]:
    """Listen to everything that a broker is reported, again after it was away."""
    listener = Listener()

    async def listen() -> None:
        while True:
            client = aiomqtt.Client("127.0.0.1", port, tls_context=tls, username=username, password=password)
            with contextlib.suppress(aiomqtt.MqttError):
                async with client:
                    # QoS 0: a broker that is killed with an unread acknowledgement would reset the
                    # connection and what is on the way
                    await client.subscribe("#")
                    listener.is_connected = True
                    async for message in client.messages:
                        listener.take(message)
            listener.is_connected = False
            await asyncio.sleep(0.02)

    task = asyncio.create_task(listen())
    try:
        yield listener
    finally:
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(outcome, Exception):
        raise outcome
