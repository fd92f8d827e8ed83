"""Which message makes a broker close the connection, where it does not say. Pure.

MQTT 5 names what it refuses. MQTT 3.1.1 has no such word: the broker just closes. Then the next connections send one message at a time, and
a message that was alone on its way three times when the broker closed is to blame: neither it nor, under the same key, a longer one is sent
again. A connection that broke in another way (nobody answered, nobody listened) blames nobody.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

CLOSES: Final = 3
"""Brokers and networks fail in the middle of a message too, but hardly so often in the middle of the same one."""


@dataclass(slots=True)
class _Suspect:
    size: int
    """Of the shortest message that was alone when the broker closed."""
    closes: int = 0


class Blame:
    """What is known of messages, over all connections of a sink. A key says which message, or where the latest of its kind goes."""

    def __init__(self) -> None:
        self.is_careful = False
        """Whether one message at a time is to be sent."""
        self._under_way: dict[Hashable, int] = {}
        self._suspects: dict[Hashable, _Suspect] = {}

    def is_to_blame(self, key: Hashable, size: int) -> bool:
        """Whether a message of so many bytes is not to be sent any more."""
        suspect = self._suspects.get(key)
        return suspect is not None and suspect.closes >= CLOSES and size >= suspect.size

    def sent(self, key: Hashable, size: int) -> None:
        """Take down that a message is on its way."""
        self._under_way[key] = size

    def answered(self, key: Hashable) -> None:
        """Take down that the broker has said yes or no to it."""
        self._under_way.pop(key, None)
        self._suspects.pop(key, None)

    def ended(self, *, by_broker: bool) -> None:
        """Take down that the connection is over."""
        if by_broker and self._under_way:
            self.is_careful = True
            if len(self._under_way) == 1:
                ((key, size),) = self._under_way.items()
                suspect = self._suspects.setdefault(key, _Suspect(size))
                suspect.size = min(suspect.size, size)
                suspect.closes += 1
        self._under_way.clear()
