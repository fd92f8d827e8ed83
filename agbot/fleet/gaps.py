"""What must be read before a decision about a group, and since when its services are known.

Every question needs both, and they change only when something is learnt, so they are kept until
then. A member that cannot be read is not a gap: it does not count as available
(`Member.unreadable`), and another read would give the same result.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from agbot.fleet.absence import CONFIRM_AFTER
from agbot.fleet.arrivals import Arrivals
from agbot.fleet.changes import ABOUT_NODE, Read, What
from agbot.fleet.garbled import Unreadables
from agbot.fleet.membership import Membership
from agbot.fleet.shelf import Shelf
from agbot.rules.facts import Node, NodeType
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.seen_time import SeenTime

_NEVER_READ = SeenTime(datetime.min.replace(tzinfo=UTC))


class Gaps:
    """What is missing, derived from the picture's parts."""

    def __init__(
        self,
        shelves: Mapping[What, Shelf[Any]],
        membership: Membership,
        arrivals: Arrivals,
        unreadables: Unreadables,
    ) -> None:
        self._shelves = shelves
        self._membership = membership
        self._arrivals = arrivals
        self._unreadables = unreadables
        self._complete: Mapping[bool, dict[GroupId, None]] = {False: {}, True: {}}
        """The groups of which nothing was missing at the last check, without and with members'
        properties."""
        self._services_read_at: dict[GroupId, SeenTime] = {}

    def forget(self, group: GroupId) -> None:
        """Forget what was derived about this group, because something has changed."""
        for complete in self._complete.values():
            complete.pop(group, None)
        self._services_read_at.pop(group, None)

    def forget_all(self) -> None:
        """Forget everything that was derived."""
        for complete in self._complete.values():
            complete.clear()
        self._services_read_at.clear()

    def of(self, group: GroupId, *, by_property: bool) -> tuple[Read, ...]:
        """Return what must be read about this group; `by_property` adds members' properties."""
        if group in self._complete[by_property]:
            return ()
        found = self._missing(group, by_property=by_property)
        if not found:
            self._complete[by_property][group] = None
        return tuple(found)

    def services_read_at(self, group: GroupId) -> SeenTime:
        """Return since when the services of all devices of a group are known.

        This is the earliest possible time while one of them is out of date.
        """
        known = self._services_read_at.get(group)
        if known is None:
            agreements = self._shelves[What.AGREEMENTS]
            devices = [node for node in self._membership.of_group(group) if not self._is_cluster(node)]
            reads = [agreements.read_at(node) if agreements.is_current(node) else None for node in devices]
            known = min((each or _NEVER_READ for each in reads), default=_NEVER_READ)
            self._services_read_at[group] = known
        return known

    def why_unreadable(self, node: NodeId) -> str:
        """Return why a member cannot be read, empty if it can be."""
        if not self._unreadables:
            return ""
        reads = (Read(what=what, id=node) for what in ABOUT_NODE)
        first = next((read for read in reads if read in self._unreadables), None)
        return f"its {first.what} cannot be read: {self._unreadables.why(first)}" if first is not None else ""

    def _missing(self, group: GroupId, *, by_property: bool) -> list[Read]:
        found: list[Read] = []
        groups, members = self._shelves[What.GROUP], self._membership.of_group(group)
        is_alone = len(members) == 1 and not self._is_cluster(members[0])
        if not groups.is_current(group) or (is_alone and groups.known_for(group) < CONFIRM_AFTER):
            # the only member may upgrade without a lease: one read is not enough for that
            found.append(Read(what=What.GROUP, id=group))
        for node in members:
            wanted = [What.NODE, *([What.PROPERTIES] if by_property else [])]
            if not self._is_cluster(node):
                wanted.append(What.STATUSES)
            if self._arrivals.lost_at(node) is not None:
                wanted.append(What.AGREEMENTS)
            reads = (Read(what=what, id=node) for what in wanted if not self._shelves[what].is_current(node))
            found += [read for read in reads if read not in self._unreadables]
        return found

    def _is_cluster(self, node: NodeId) -> bool:
        known = self._shelves[What.NODE].get(node)
        return isinstance(known, Node) and known.node_type is NodeType.CLUSTER
