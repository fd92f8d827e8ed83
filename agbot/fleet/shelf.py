"""The last answers of one kind of read, and which of them a change has outdated.

Two rules here make late answers harmless. An answer never replaces one whose read began later, and
it clears only those out-of-date marks that existed when its read began. What was never read has no
mark of its own, because then every name in the feed would be kept: the latest change of any such
thing counts for all of them, and a first answer that began before it is out of date.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Generic, TypeVar

import msgspec

from agbot.rules.facts import Sight
from agbot.rules.ids import OrgId, org_of
from agbot.rules.seen_time import Now, SeenTime

_Value = TypeVar("_Value")


class _Slot(msgspec.Struct, Generic[_Value], gc=False):
    """One answer. There are several for each node; the collector has no cycle to find in one."""

    value: _Value | Sight
    begun: int
    read_at: SeenTime
    since: SeenTime
    """When the first answer was requested."""


class Shelf(Generic[_Value]):
    """Answers by id. Marks are numbers from the picture; a later one is larger."""

    def __init__(self) -> None:
        self._slots: dict[str, _Slot[_Value]] = {}
        self._of_org: defaultdict[OrgId, dict[str, None]] = defaultdict(dict)
        self._outdated: dict[str, int] = {}
        self._changed: dict[str, int] = {}
        """As `_outdated`, but only for a change, or where one may have been missed."""
        self._unread_changed = 0

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __contains__(self, key: object) -> bool:
        return key in self._slots

    def of_org(self, org: OrgId) -> Collection[str]:
        """Return the ids in an organisation."""
        return tuple(self._of_org.get(org, ()))

    def get(self, key: str) -> _Value | Sight:
        """Return the last answer, `UNREAD` before the first. It may be out of date."""
        slot = self._slots.get(key)
        return Sight.UNREAD if slot is None else slot.value

    def read_at(self, key: str) -> SeenTime | None:
        """Return when the last answer was requested."""
        slot = self._slots.get(key)
        return None if slot is None else slot.read_at

    def current_since(self, key: str) -> SeenTime | None:
        """Return when the last answer was requested; None if a later change has outdated it."""
        slot = self._slots.get(key)
        return None if slot is None or key in self._outdated else slot.read_at

    def known_for(self, key: str) -> timedelta:
        """Return the time from the first answer to the last; zero if there are not two."""
        slot = self._slots.get(key)
        return timedelta() if slot is None else slot.read_at - slot.since

    def backdate(self, key: str, age: timedelta) -> None:
        """Count the last answer as one that had been given `age` ago as well."""
        slot = self._slots.get(key)
        if slot is not None:
            slot.since = min(slot.since, slot.read_at - age)

    def is_late(self, key: str, begun: int) -> bool:
        """Whether there is an answer already whose read began after `begun`."""
        slot = self._slots.get(key)
        return slot is not None and slot.begun > begun

    def amend(self, key: str, value: _Value) -> None:
        """Replace the value by one that is accepted in part, but neither its age nor its marks."""
        slot = self._slots.get(key)
        if slot is not None:
            slot.value = value

    def is_current(self, key: str) -> bool:
        """Whether there is an answer that no later change has outdated."""
        return key in self._slots and key not in self._outdated

    def is_unchanged(self, key: str) -> bool:
        """Whether there is an answer and no known change since: the next should be the same."""
        return key in self._slots and key not in self._changed

    def put(self, key: str, value: _Value | Sight, *, begun: int, now: Now) -> bool:
        """Store an answer unless there is one whose read began later, and return whether it was."""
        if self.is_late(key, begun):
            return False
        slot = self._slots.get(key)
        # a first answer may have been requested before a change of something that had no mark
        if slot is None:
            self._of_org[org_of(key)][key] = None
            if self._unread_changed > begun:
                self._outdated[key] = self._changed[key] = self._unread_changed
        self._slots[key] = _Slot(value, begun, now.seen, slot.since if slot is not None else now.seen)
        for marks in (self._outdated, self._changed):
            if marks.get(key, begun) <= begun:
                marks.pop(key, None)
        return True

    def outdate(self, key: str, *, sequence: int) -> None:
        """Mark an answer as out of date, also one that is still on its way."""
        if key in self._slots:
            self._outdated[key] = self._changed[key] = max(sequence, self._outdated.get(key, sequence))
        else:
            self._unread_changed = max(sequence, self._unread_changed)

    def outdate_all(self, org: OrgId | None, *, sequence: int, may_differ: bool = False) -> None:
        """Mark every answer (of an organisation) as out of date.

        With `may_differ`, changes may have been missed; otherwise the answers are only old.
        """
        marks = dict.fromkeys(self._slots if org is None else self._of_org.get(org, ()), sequence)
        self._outdated.update(marks)
        if may_differ:
            self._changed.update(marks)
        self._unread_changed = max(sequence, self._unread_changed)

    def forget(self, key: str) -> None:
        """Drop an answer that is no longer needed; those still on their way stay older."""
        slot = self._slots.pop(key, None)
        self._changed.pop(key, None)
        self._of_org[org_of(key)].pop(key, None)
        if slot is not None:
            self._unread_changed = max(self._unread_changed, slot.begun, self._outdated.pop(key, 0))
