"""Which states of groups the broker is owed. It keeps the last one of each group (retained), so it must be told when one is out of date.

A group's state is due after each of its events. When a connection begins, and after an event that is about no group in particular (a hold,
for example), the states of all groups are due where something goes on, or which the broker is known to have. Now and then those where
something goes on are compared, because members come and go without an event, and the states of groups that are gone are cleared. As long
as the Exchange has not been read, nothing is said about a group: no state is better than a guess.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from agbot.events.payload import GroupState, encoded
from agbot.rules.ids import GroupId
from agbot.store.contract import Entry

COMPARE_SECONDS = 30.0
CLEARED = b""
"""An empty retained message makes a broker forget the one that it has."""
_UNKNOWN = b"?"


class Groups(Protocol):
    """How groups stand; the daemon answers from the coordinator's memory."""

    def busy(self) -> Collection[GroupId] | None:
        """Return the groups where something goes on; None before store and Exchange have been read."""

    def is_gone(self, group: GroupId) -> bool:
        """Whether a group surely does not exist any more."""

    def state(self, group: GroupId) -> GroupState | None:
        """Return how a group stands; None when that is not known, or when it is gone."""


class States:
    """The retained states of one connection: what the broker has, and what it should have."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._owed: set[GroupId] = set()
        self._owes_all = True
        self._on_broker: dict[GroupId, bytes] = {}
        self._compare_at = 0.0

    def heard(self, entries: Iterable[Entry]) -> None:
        """Take down that these events have been told."""
        for entry in entries:
            if entry.group is None:
                self._owes_all = True
            else:
                self._owed.add(entry.group)

    def found(self, group: GroupId) -> None:
        """Take down that the broker has some state of this group, from an earlier connection."""
        self._on_broker.setdefault(group, _UNKNOWN)

    def due(self, now: float) -> list[GroupId]:
        """Return the groups to look at now (the loop's time). Cheap for any number of groups, which `message` is not."""
        busy = self._groups.busy()
        if busy is None:
            return []
        if self._owes_all:
            self._owed.update(busy, self._on_broker)
            self._owes_all = False
        found = set(self._owed)
        if now >= self._compare_at:
            self._compare_at = now + COMPARE_SECONDS
            found.update(busy, (group for group in self._on_broker if self._groups.is_gone(group)))
        return sorted(found)

    def message(self, group: GroupId) -> bytes | None:
        """Return what to publish for a group, once; None for nothing."""
        is_owed = group in self._owed
        if self._groups.is_gone(group):
            self._owed.discard(group)
            return CLEARED if self._on_broker.pop(group, CLEARED) or is_owed else None
        state = self._groups.state(group)
        if state is None:
            return None  # and is owed still, if it was
        self._owed.discard(group)
        content = encoded(state)
        if not is_owed and content == self._on_broker.get(group):
            return None
        self._on_broker[group] = content
        return content
