"""Which node is in which HA group: one truth from two sources.

The Exchange tells it twice, in a node's `ha_group` and in a group's list. Both come from one table there, so the reading that began
later is right. A node is in one group at most (`reference/exchange-api.md` 1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from agbot.rules.ids import GroupId, NodeId, OrgId, org_of


class Membership:
    """An index both ways. Points in time are the picture's numbers; a later one is larger."""

    def __init__(self) -> None:
        self._group_of: dict[NodeId, tuple[GroupId | None, int]] = {}
        self._members: dict[GroupId, set[NodeId]] = {}
        self._existing: set[GroupId] = set()
        self._group_counts: Counter[OrgId] = Counter()

    def __iter__(self) -> Iterator[NodeId]:
        return iter(self._group_of)

    def group_of(self, node: NodeId) -> GroupId | None:
        """Return the node's group; None when it has none or nothing is known."""
        return self._group_of.get(node, (None, 0))[0]

    def has_seen(self, node: NodeId) -> bool:
        """Tell whether the node's membership was ever learnt."""
        return node in self._group_of

    def is_late(self, node: NodeId, begun: int) -> bool:
        """Tell whether something newer is known of the node than an answer whose reading began then."""
        return self._group_of.get(node, (None, -1))[1] > begun

    def members(self, group: GroupId) -> tuple[NodeId, ...]:
        """Return the members of a group, sorted."""
        return tuple(sorted(self._members.get(group, ())))

    def count_groups(self, org: OrgId) -> int:
        """Return how many groups an organisation has, empty ones too."""
        return self._group_counts[org]

    def set_existing(self, group: GroupId, *, exists: bool) -> None:
        """Take in that there is such a group, or that there is none."""
        self._group_counts[org_of(group)] += exists - (group in self._existing)
        (self._existing.add if exists else self._existing.discard)(group)

    def set_group(self, node: NodeId, group: GroupId | None, *, begun: int) -> None:
        """Take in what a node says of itself, unless something newer is known."""
        before = self.group_of(node)
        if self.is_late(node, begun):
            return
        self._group_of[node] = (group, begun)
        if before == group:
            return
        if before is not None:
            self._leave(before, node)
        if group is not None:
            self._members.setdefault(group, set()).add(node)

    def set_members(
        self, group: GroupId, members: Iterable[NodeId], *, begun: int, kept: Collection[NodeId] = ()
    ) -> None:
        """Take in a group's whole list; those who are `kept` stay although they are not in it."""
        listed = set(members)
        for node in self._members.get(group, set()) - listed - set(kept):
            self.set_group(node, None, begun=begun)
        for node in listed:
            self.set_group(node, group, begun=begun)

    def _leave(self, group: GroupId, node: NodeId) -> None:
        self._members[group].discard(node)
        if not self._members[group]:
            del self._members[group]
