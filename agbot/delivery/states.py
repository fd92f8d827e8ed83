"""The states of groups that are due for the broker, which retains the last one of each group.

The state of a group is due after each of its events. When a connection begins, and after an event
without a group (for example a hold of an organisation), the states of all active groups are due,
and of those that the broker has. From time to time the active groups are compared, because members
come and go without an event, and the states of deleted groups are cleared. With that, some of the
states that the broker has refused are sent again: it may have been busy. Before the Exchange has
been read, no state is published: no state is better than a guess.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Protocol

from agbot.delivery.payload import GroupState, encoded
from agbot.rules.ids import GroupId
from agbot.store.contract import Entry

COMPARE_SECONDS = 30.0
CLEARED = b""
"""An empty retained message makes a broker drop the previous one."""
_UNKNOWN = b"?"
_REFUSED_AT_ONCE = 50
"""A broker may refuse the states of thousands of groups for good."""


class Groups(Protocol):
    """The states of groups, from the coordinator's memory."""

    def busy(self) -> Collection[GroupId] | None:
        """Return the active groups; None before the store and the Exchange have been read."""

    def is_gone(self, group: GroupId) -> bool:
        """Whether it is certain that a group no longer exists."""

    def state(self, group: GroupId) -> GroupState | None:
        """Return the state of a group; None if it is not known, or if the group is gone."""


class States:
    """The retained states, for one connection: what the broker has, and what it should have."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._due: set[GroupId] = set()
        self._is_all_due = True
        self._on_broker: dict[GroupId, bytes] = {}
        self._compare_at = 0.0
        self._refused: dict[GroupId, None] = {}

    def delivered(self, entries: Iterable[Entry]) -> None:
        """Note that these events have been delivered."""
        for entry in entries:
            if entry.group is None:
                self._is_all_due = True
            else:
                self._due.add(entry.group)

    def found(self, group: GroupId) -> None:
        """Note that the broker has a state of this group from an earlier connection."""
        # not read: it differs from whatever is published next, which is what an old state should do
        self._on_broker.setdefault(group, _UNKNOWN)

    def answered(self, group: GroupId, *, is_to_be_repeated: bool) -> None:
        """Note what the broker has answered to the state of this group."""
        self._refused.pop(group, None)
        if is_to_be_repeated:
            self._refused[group] = None  # behind the others
            self._on_broker[group] = _UNKNOWN

    def due(self, now: float) -> list[GroupId]:
        """Return the groups to check now (the loop's time). Cheap, in contrast to `message`."""
        busy = self._groups.busy()
        if busy is None:
            return []
        if self._is_all_due:
            self._due.update(busy, self._on_broker)
            self._is_all_due = False
        found = set(self._due)
        if now >= self._compare_at:
            self._compare_at = now + COMPARE_SECONDS
            # not due: `message` publishes only what differs, so a comparison sends nothing mostly
            found.update(busy, (group for group in self._on_broker if self._groups.is_gone(group)))
            found.update(islice(self._refused, _REFUSED_AT_ONCE))
        return sorted(found)

    def message(self, group: GroupId) -> bytes | None:
        """Return the payload to publish for a group, once; None for nothing."""
        is_due = group in self._due
        if self._groups.is_gone(group):
            self._due.discard(group)
            # after an event it is cleared whether or not the broker is known to have a state: the
            # retained ones may not have arrived yet
            return CLEARED if self._on_broker.pop(group, CLEARED) or is_due else None
        state = self._groups.state(group)
        if state is None:
            return None  # it is still due, if it was
        self._due.discard(group)
        content = encoded(state)
        if not is_due and content == self._on_broker.get(group):
            return None
        self._on_broker[group] = content
        return content
