"""Which node is in which HA group, from two sources.

The Exchange has it in a node's `ha_group` and in a group's list. Both come from one table there, so
the read that began later is right. A node is in one group at most (`reference/exchange-api.md` 1).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

from agbot.rules.ids import GroupId, NodeId, OrgId, org_of


class Membership:
    """An index in both directions. `begun` is the picture's mark; a later one is larger."""

    def __init__(self) -> None:
        self._group_of: dict[NodeId, tuple[GroupId | None, int]] = {}
        self._nodes: defaultdict[OrgId, dict[NodeId, None]] = defaultdict(dict)
        """The nodes of each organisation whose membership is known."""
        self._members: dict[GroupId, tuple[NodeId, ...]] = {}
        """The members of each group that has some, sorted."""
        self._existing: set[GroupId] = set()
        self.groups_revision = 0
        """Rises when a group appears or is gone."""
        self._group_counts: Counter[OrgId] = Counter()
        self._member_counts: Counter[OrgId] = Counter()

    def of_org(self, org: OrgId) -> Collection[NodeId]:
        """Return the nodes of an organisation whose membership is known."""
        return tuple(self._nodes.get(org, ()))

    def group_of(self, node: NodeId) -> GroupId | None:
        """Return the node's group, None if it has none or is not known."""
        return self._group_of.get(node, (None, 0))[0]

    def has_seen(self, node: NodeId) -> bool:
        """Whether the node's membership is known."""
        return node in self._group_of

    def is_late(self, node: NodeId, begun: int) -> bool:
        """Whether the node's membership is newer than an answer whose read began at `begun`."""
        return self._group_of.get(node, (None, -1))[1] > begun

    def of_group(self, group: GroupId) -> tuple[NodeId, ...]:
        """Return the members of a group, sorted."""
        return self._members.get(group, ())

    def count_groups(self, org: OrgId) -> int:
        """Return the number of groups of an organisation, with empty ones."""
        return self._group_counts[org]

    def count_all_groups(self) -> int:
        """Return the number of groups."""
        return len(self._existing)

    def count_members(self, org: OrgId) -> int:
        """Return the number of members of all groups of an organisation."""
        return self._member_counts[org]

    def set_existing(self, group: GroupId, *, exists: bool) -> None:
        """Note whether the group exists."""
        change = exists - (group in self._existing)
        self.groups_revision += abs(change)
        self._group_counts[org_of(group)] += change
        self._member_counts[org_of(group)] += change * len(self._members.get(group, ()))
        (self._existing.add if exists else self._existing.discard)(group)

    def set_group(self, node: NodeId, group: GroupId | None, *, begun: int) -> None:
        """Set a node's group as its own record has it, unless something newer is known."""
        before = self.group_of(node)
        if self.is_late(node, begun):
            return
        self._group_of[node] = (group, begun)
        self._nodes[org_of(node)][node] = None
        if before == group:
            return
        if before is not None:
            self._leave(before, node)
        if group is not None:
            self._members[group] = tuple(sorted((*self._members.get(group, ()), node)))
            self._member_counts[org_of(group)] += group in self._existing

    def set_members(
        self, group: GroupId, members: Iterable[NodeId], *, begun: int, kept: Collection[NodeId] = ()
    ) -> None:
        """Set a group's members from its list; those in `kept` stay although it lacks them."""
        listed = set(members)
        for node in {*self._members.get(group, ())} - listed - set(kept):
            self.set_group(node, None, begun=begun)
        for node in listed:
            self.set_group(node, group, begun=begun)

    def _leave(self, group: GroupId, node: NodeId) -> None:
        left = tuple(each for each in self._members[group] if each != node)
        self._member_counts[org_of(group)] -= group in self._existing
        if left:
            self._members[group] = left
        else:
            del self._members[group]
