"""Which message a broker does not take, where it does not say so. Pure.

MQTT 5 names what it refuses. MQTT 3.1.1 has no such word: the broker just closes. Then the next connections send one message at a time, and
a message that was alone on its way three times when the broker closed is to blame: neither it nor, under the same key, a longer one is sent
again. Another client with the same id, or a broker in trouble, closes in the middle of whatever is sent first: so a message under suspicion
is sent over a connection that has held for a while with nothing on its way, and where such a one is closed, no message is to blame.

Some brokers leave a message without an answer, for example as long as the queue behind its topic is away. They answer in the order in which
messages came (MQTT 5, 4.6): one that is still without an answer when a later one has its own, at three time-outs, is to blame for a while.
The next connections send something harmless behind, which is answered if anything is. Where nothing is answered, no message is to blame.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

_TIMES: Final = 3
"""Brokers and networks fail in the middle of a message too, but hardly so often in the middle of the same one."""
_WHILE_SECONDS: Final = 300.0


@dataclass(slots=True)
class _Suspect:
    size: int
    """Of the shortest message that was found so."""
    times: int = 0
    what: str = ""
    until: float = math.inf

    @property
    def is_to_blame(self) -> bool:
        return self.times >= _TIMES


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Why a message is not to be sent, and whether no change of the broker's settings alone would help."""

    why: str
    lasts: bool


class Blame:
    """What is known of messages, over all connections of a sink. A key says which message, or where the latest of its kind goes."""

    def __init__(self) -> None:
        self.is_careful = False
        """Whether one message at a time is to be sent."""
        self.is_doubtful = False
        """Whether something harmless is to be sent behind."""
        self._under_way: dict[Hashable, int] = {}
        self._overtaken: set[Hashable] = set()
        self._suspects: dict[Hashable, _Suspect] = {}

    def why_not(self, key: Hashable, size: int, now: float) -> Finding | None:
        """Say why a message of so many bytes is not to be sent, None when it is. `now` is the loop's time."""
        suspect = self._suspects.get(key)
        if suspect is None or not suspect.is_to_blame or size < suspect.size:
            return None
        if now >= suspect.until:
            suspect.times = _TIMES - 1  # once more will do
            return None
        return Finding(why=f"{suspect.what}, {_TIMES} times in a row", lasts=suspect.until == math.inf)

    def is_suspected(self, key: Hashable) -> bool:
        """Whether the broker seems to have closed on this message, or on one like it."""
        return key in self._suspects

    def sent(self, key: Hashable, size: int) -> None:
        """Take down that a message is on its way."""
        self._under_way[key] = size

    def answered(self, key: Hashable) -> None:
        """Take down that the broker has said yes or no to it."""
        if key in self._under_way:
            for earlier in self._under_way:
                if earlier == key:
                    break
                self._overtaken.add(earlier)
        self._under_way.pop(key, None)
        self._overtaken.discard(key)
        self._suspects.pop(key, None)

    def ended(self, now: float, *, by_broker: bool) -> None:
        """Take down that the connection is over."""
        if by_broker:
            self.is_careful = self.is_careful or bool(self._under_way)
            if not self._under_way:
                self._suspects = {key: each for key, each in self._suspects.items() if each.is_to_blame}
            if len(self._under_way) == 1:
                self._suspect(next(iter(self._under_way)), "it closes the connection", math.inf)
        else:
            for key in self._overtaken:
                self._suspect(key, "the broker leaves it without an answer", now + _WHILE_SECONDS)
        self.is_doubtful = not by_broker and bool(self._under_way)
        self._under_way.clear()
        self._overtaken.clear()

    def _suspect(self, key: Hashable, what: str, until: float) -> None:
        size = self._under_way[key]
        suspect = self._suspects.setdefault(key, _Suspect(size))
        suspect.size = min(suspect.size, size)
        suspect.times += 1
        suspect.what, suspect.until = what, until
