"""One kind of thing that is read from the Exchange: its last answer, and whether a change has outdated it.

The two rules that make late answers harmless live here: an answer never replaces one whose reading began later, and it lifts only those
out-of-date marks that were there when its reading began. What was never read has no mark of its own, or every name that the feed shows
would be kept; the latest change of any such thing stands for all of them, and a first answer that began before it counts as out of date.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from agbot.rules.facts import Sight
from agbot.rules.seen_time import Now, SeenTime

Value = TypeVar("Value")


@dataclass(slots=True)
class _Slot(Generic[Value]):
    value: Value | Sight
    begun: int
    read_at: SeenTime
    since: SeenTime
    """When the first answer was asked for."""


class Shelf(Generic[Value]):
    """Answers by id. Points in time are numbers that the picture hands out; a later one is larger."""

    def __init__(self) -> None:
        self._slots: dict[str, _Slot[Value]] = {}
        self._outdated: dict[str, int] = {}
        self._told: dict[str, int] = {}
        """As `_outdated`, without what was outdated for another reason than a change."""
        self._unread_changed = 0

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __contains__(self, key: object) -> bool:
        return key in self._slots

    def get(self, key: str) -> Value | Sight:
        """Return the last answer; `UNREAD` before the first. It may be out of date."""
        slot = self._slots.get(key)
        return Sight.UNREAD if slot is None else slot.value

    def read_at(self, key: str) -> SeenTime | None:
        """Return when the last answer was asked for."""
        slot = self._slots.get(key)
        return None if slot is None else slot.read_at

    def known_for(self, key: str) -> timedelta:
        """Return how long after the first answer the last one was asked for; zero when there is one or none."""
        slot = self._slots.get(key)
        return timedelta() if slot is None else slot.read_at - slot.since

    def vouch(self, key: str, age: timedelta) -> None:
        """Let the last answer count as one that was given before as well, that long ago."""
        slot = self._slots.get(key)
        if slot is not None:
            slot.since = min(slot.since, slot.read_at - age)

    def is_late(self, key: str, begun: int) -> bool:
        """Tell whether an answer whose reading began then comes too late: one that began later is there."""
        slot = self._slots.get(key)
        return slot is not None and slot.begun > begun

    def amend(self, key: str, value: Value) -> None:
        """Add what an answer brought that is not believed as a whole; it stays out of date, and as old as it was."""
        slot = self._slots.get(key)
        if slot is not None:
            slot.value = value

    def is_current(self, key: str) -> bool:
        """Tell whether there is an answer that no later change has outdated."""
        return key in self._slots and key not in self._outdated

    def is_untold(self, key: str) -> bool:
        """Tell whether there is an answer of which nothing has told a change since: the next one should be the same."""
        return key in self._slots and key not in self._told

    def put(self, key: str, value: Value | Sight, *, begun: int, now: Now) -> bool:
        """Take an answer in, unless one whose reading began later is there; say whether it was taken."""
        if self.is_late(key, begun):
            return False
        slot = self._slots.get(key)
        if slot is None:
            self._outdated[key] = self._told[key] = self._unread_changed
        self._slots[key] = _Slot(value, begun, now.seen, slot.since if slot is not None else now.seen)
        for marks in (self._outdated, self._told):
            if marks.get(key, begun) <= begun:
                marks.pop(key, None)
        return True

    def outdate(self, key: str, *, sequence: int) -> None:
        """Mark an answer as out of date, also one that is still under way."""
        if key in self._slots:
            self._outdated[key] = self._told[key] = max(sequence, self._outdated.get(key, sequence))
        else:
            self._unread_changed = max(sequence, self._unread_changed)

    def outdate_all(self, prefix: str, *, sequence: int, may_differ: bool = False) -> None:
        """Mark every answer of an organisation (`org/`) as out of date: it is old, or, with `may_differ`, a change may have gone unseen."""
        marks = dict.fromkeys((key for key in self._slots if key.startswith(prefix)), sequence)
        self._outdated.update(marks)
        if may_differ:
            self._told.update(marks)
        self._unread_changed = max(sequence, self._unread_changed)

    def forget(self, key: str) -> None:
        """Drop an answer that nobody needs any more; older ones that are still under way stay older."""
        slot = self._slots.pop(key, None)
        self._told.pop(key, None)
        if slot is not None:
            self._unread_changed = max(self._unread_changed, slot.begun, self._outdated.pop(key, 0))
