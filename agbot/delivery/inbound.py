"""What workloads say over MQTT: that the agent of their node is not to be upgraded now.

The topic is `PREFIX/ORG/NODE/busy`, retained, and the payload a small JSON object:
`{"until": "2026-12-01T06:00:00Z"}` or `{"for_seconds": 600}`, with a `reason` if there is one. An
empty payload ends it. Who may publish for which node is a matter of the broker's access rules: MQTT
does not say who has sent a message. An invalid message is reported once and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from agbot import log
from agbot.delivery.topics import Topics
from agbot.events.busy import BusyRefused
from agbot.foreign_text import excerpt
from agbot.rules.busy import NotNow
from agbot.rules.ids import NodeId

NoteBusy = Callable[[NodeId, NotNow | None], None]
"""Receives each word of a node; None if it is not busy any more."""
_MAX_BYTES: Final = 1_024
_REASON_CHARACTERS: Final = 120
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_MAX_REPORTED: Final = 1_000
_DECODER: Final = msgspec.json.Decoder(NotNow)


class Inbound:
    """Reads the messages of one connection after the other."""

    def __init__(self, topics: Topics, note: NoteBusy) -> None:
        self._topics = topics
        self._note = note
        self._retained: dict[NodeId, bytes] = {}
        """What the broker keeps of each node, so that a message is not taken as a new one because
        we have connected again."""
        self._refused: set[str] = set()
        """The topics whose last message was invalid."""

    def begin(self) -> None:
        """Forget what was received: another coordinator may have led meanwhile."""
        self._retained.clear()

    def receive(self, topic: str, payload: bytes, *, is_repeated: bool) -> bool:
        """Take in a message; False if it is none of a busy node.

        `is_repeated`: the broker had kept it, and sends it because we have connected.
        """
        node = self._topics.busy_node(topic)
        if node is None:
            return False
        # The broker's access rules compare topics as texts: who may speak for a node o1/n%31 would
        # speak for o1/n1.
        if topic != self._topics.busy(node):
            self._refuse(topic, f"a topic has one spelling; that of {node} is {self._topics.busy(node)}")
            return True
        # `for_seconds` counts from the moment of receipt: a broker that is lost every few minutes
        # would keep the node busy without end
        if is_repeated and self._retained.get(node) == payload:
            return True
        try:
            word = read(payload)
        except ValueError as error:
            self._refuse(topic, str(error))
            return True
        self._refused.discard(topic)
        if payload:
            self._retained[node] = payload
        else:
            self._retained.pop(node, None)
        self._note(node, word)
        return True

    def _refuse(self, topic: str, error: str) -> None:
        # topics are foreign: whoever may publish could fill our memory with names
        if topic not in self._refused and len(self._refused) < _MAX_REPORTED:
            self._refused.add(topic)
            log.write(BusyRefused(topic=topic, error=error))


def read(payload: bytes) -> NotNow | None:
    """Read a payload; None if it is empty, and the node is not busy any more.

    Raises:
        ValueError: it is invalid; the message says why.
    """
    if not payload:
        return None
    if len(payload) > _MAX_BYTES:
        message = f"it has {len(payload)} bytes; {_MAX_BYTES} is the most"
        raise ValueError(message)
    word = _DECODER.decode(payload)
    if (word.until is None) == (word.for_seconds is None):
        raise ValueError('it must have either "until" or "for_seconds"')
    # the arithmetic of rules is sure of times before that, and not of the year 9999
    if word.until is not None and word.until >= _LATEST:
        raise ValueError('"until" must be before the year 2200')
    return msgspec.structs.replace(word, reason=excerpt(word.reason, (), _REASON_CHARACTERS))
