"""Finds the message that a broker does not accept, if the broker does not report it. Pure.

MQTT 5 reports a refusal. MQTT 3.1.1 cannot: the broker just closes the connection. Then the next
connections send one message at a time. A message that was the only one in flight at three closes in
a row is to blame: neither it nor a longer one with the same key is sent again. Another client with
the same id, or a broker in trouble, closes the connection during whatever is sent first. So a
suspected message is sent over a connection that has been idle for a while, and if the broker closes
an idle connection, no message is to blame.

Some brokers leave a message unacknowledged, for example while the queue behind its topic is
unavailable. They acknowledge messages in order (MQTT 5, 4.6): a message that is unacknowledged
while a later one is acknowledged, at three timeouts, is to blame for a while. The next connections
send a harmless probe after it, which is acknowledged if anything is. If nothing is acknowledged, no
message is to blame.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

_TIMES: Final = 3
"""Brokers and networks can also fail during a message, but hardly this often during the same
one."""
_WHILE_SECONDS: Final = 300.0


@dataclass(slots=True)
class _Suspect:
    size: int
    """Of the shortest suspected message."""
    times: int = 0
    symptom: str = ""
    until: float = math.inf

    @property
    def is_to_blame(self) -> bool:
        return self.times >= _TIMES


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Why a message is not to be sent."""

    why: str
    is_permanent: bool
    """Whether the broker will never accept it."""


class Blame:
    """What is known about messages, over all connections of a sink.

    A key identifies a message, or the topic of messages that replace each other.
    """

    def __init__(self) -> None:
        self.is_careful = False
        """Whether to send one message at a time."""
        self.needs_probe = False
        """Whether to send a probe after the messages."""
        self._in_flight: dict[Hashable, int] = {}
        self._overtaken: set[Hashable] = set()
        self._suspects: dict[Hashable, _Suspect] = {}

    def why_not(self, key: Hashable, size: int, now: float) -> Finding | None:
        """Return why a message of `size` bytes is not to be sent; None to send it.

        `now` is the time of the event loop.
        """
        suspect = self._suspects.get(key)
        if suspect is None or not suspect.is_to_blame or size < suspect.size:
            return None
        if now >= suspect.until:
            suspect.times = _TIMES - 1  # once more is enough
            return None
        return Finding(why=f"{suspect.symptom}, {_TIMES} times in a row", is_permanent=suspect.until == math.inf)

    def is_suspected(self, key: Hashable) -> bool:
        """Whether the broker may have closed a connection because of this message or its key."""
        return key in self._suspects

    def sent(self, key: Hashable, size: int) -> None:
        """Note that a message has been sent."""
        self._in_flight[key] = size

    def answered(self, key: Hashable) -> None:
        """Note that the broker has accepted or refused it."""
        if key in self._in_flight:
            # the dictionary is in the order of sending, which is that of the acknowledgements
            for earlier in self._in_flight:
                if earlier == key:
                    break
                self._overtaken.add(earlier)
        self._in_flight.pop(key, None)
        self._overtaken.discard(key)
        self._suspects.pop(key, None)

    def ended(self, now: float, *, by_broker: bool) -> None:
        """Note that the connection has ended."""
        if by_broker:
            self.is_careful = self.is_careful or bool(self._in_flight)
            # An idle connection was closed: whatever the cause, it was no message.
            if not self._in_flight:
                self._suspects = {key: each for key, each in self._suspects.items() if each.is_to_blame}
            # of several in flight it cannot be known which one: the next connection sends one by
            # one
            if len(self._in_flight) == 1:
                self._suspect(next(iter(self._in_flight)), "it closes the connection", math.inf)
        else:
            for key in self._overtaken:
                self._suspect(key, "the broker leaves it without an answer", now + _WHILE_SECONDS)
        self.needs_probe = not by_broker and bool(self._in_flight)
        self._in_flight.clear()
        self._overtaken.clear()

    def _suspect(self, key: Hashable, symptom: str, until: float) -> None:
        size = self._in_flight[key]
        suspect = self._suspects.setdefault(key, _Suspect(size))
        # messages of a topic replace each other: the shortest that failed bounds what is tried
        # again
        suspect.size = min(suspect.size, size)
        suspect.times += 1
        suspect.symptom, suspect.until = symptom, until
