"""The picture of the fleet: what has been read from the Exchange, and which of it is out of date.

It does no I/O and knows no clock: whoever reads takes a mark with `begin` before the request goes out and gives it back with the answer
(`shelf` says why). What was never read is `UNREAD`, what was read and is not there is `ABSENT`. Only members of groups and nodes
that were asked about are kept. A node is in one group at most, wherever that was learnt: from the node, or from the group's list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agbot.fleet import changes
from agbot.fleet.changes import Change, Read, What
from agbot.fleet.garbled import Garbled
from agbot.fleet.view import Statuses, View
from agbot.rules import ids
from agbot.rules.facts import Agreement, Node, Sight
from agbot.rules.ids import GroupId, NodeId, OrgId
from agbot.rules.seen_time import Now


class Picture(View):
    """The view, and how it changes: by rows of the feed, and by answers."""

    def apply(self, change: Change, now: Now) -> None:
        """Take one row of the change feed in: mark what it outdates."""
        self._sequence += 1
        self._changed()
        for read in changes.outdates(change):
            self.unreadables.retry(read)
            self._shelves[read.what].outdate(read.id, sequence=self._sequence)
            tells = changes.tells_of_member(change, read) and self._membership.group_of(NodeId(read.id)) is not None
            if read.what is What.GROUP or tells:
                self._eager[read] = None
        node, at = ids.node_id(change.org, change.id), change.at or now.wall
        if changes.is_deployment(change):
            self.policies_changed_at = max(at, self.policies_changed_at or at)
        if changes.is_lost_agreement(change):
            self._arrivals.lose(node, at)
        if changes.is_new_node(change):
            self._arrivals.forgive(node)
            if self._membership.has_seen(node):
                self._created_at[node] = max(at, self._created_at.get(node, at))

    def outdate_org(self, org: OrgId) -> None:
        """Mark everything of an organisation as out of date: a resync begins."""
        self._sequence += 1
        self._changed()
        self._orgs.outdate(org, sequence=self._sequence)
        self._shelves[What.DEPLOYMENT_POLICIES].outdate(org, sequence=self._sequence)
        for what in What:
            if what is not What.ORG:
                self._shelves[what].outdate_all(f"{org}/", sequence=self._sequence)

    # What is learnt

    def learn_org(
        self,
        org: OrgId,
        groups: Mapping[GroupId, Iterable[NodeId] | Garbled],
        nodes: Mapping[NodeId, Node | Garbled],
        *,
        begun: int,
        now: Now,
    ) -> None:
        """Take in all groups and all nodes of an organisation; what is not among them is gone."""
        prefix = f"{org}/"
        for group, members in groups.items():
            if isinstance(members, Garbled):
                self.learn_unreadable(Read(what=What.GROUP, id=group), members, now=now)
            else:
                self.learn_group(group, tuple(members), begun=begun, now=now)
        for gone in [key for key in self._groups if key.startswith(prefix) and key not in groups]:
            self.learn_group(GroupId(gone), Sight.ABSENT, begun=begun, now=now)
        self.learn_nodes(org, nodes, begun=begun, now=now)
        self._orgs.put(org, None, begun=begun, now=now)

    def learn_nodes(self, org: OrgId, nodes: Mapping[NodeId, Node | Garbled], *, begun: int, now: Now) -> None:
        """Take in all nodes of an organisation; known ones that are not among them are gone."""
        for key, node in nodes.items():
            if isinstance(node, Garbled):
                self.learn_unreadable(Read(what=What.NODE, id=key), node, now=now)
            elif node.group is not None or self._membership.has_seen(key):
                self.learn_node(key, node, begun=begun, now=now)
            else:
                self.unreadables.clear(Read(what=What.NODE, id=key))
        for gone in [node for node in self._membership if node.startswith(f"{org}/") and node not in nodes]:
            self.learn_node(gone, Sight.ABSENT, begun=begun, now=now)

    def learn_group(self, group: GroupId, members: tuple[NodeId, ...] | Sight, *, begun: int, now: Now) -> None:
        """Take in a group's list of members, or that there is no such group."""
        self._changed()
        self.unreadables.clear(Read(what=What.GROUP, id=group))
        listed = () if isinstance(members, Sight) else members
        absent = Sight.ABSENT if isinstance(members, Sight) else None
        if self._groups.put(group, absent, begun=begun, now=now):
            before = [(node, *self._place(node)) for node in dict.fromkeys((*listed, *self._membership.members(group)))]
            self._membership.set_members(group, listed, begun=begun)
            for node, place, is_known in before:
                self._note_move(node, place, is_known=is_known, now=now)
            self._membership.set_existing(group, exists=absent is None)
        self._settle(Read(what=What.GROUP, id=group))

    def learn_node(self, node: NodeId, seen: Node | Sight, *, begun: int, now: Now) -> None:
        """Take in a node with its group, or that there is no such node."""
        self._changed()
        self.unreadables.clear(Read(what=What.NODE, id=node))
        if self._nodes.put(node, seen, begun=begun, now=now):
            group = None if isinstance(seen, Sight) else seen.group
            place, is_known = self._place(node)
            self._membership.set_group(node, group, begun=begun)
            self._note_move(node, place, is_known=is_known, now=now)
            if isinstance(seen, Node) and not seen.registered:
                self._arrivals.forgive(node)
            if group is not None and self._groups.get(group) is Sight.ABSENT:
                self._groups.outdate(group, sequence=begun)
        self._settle(Read(what=What.NODE, id=node))

    def learn_unreadable(self, read: Read, garbled: Garbled, *, now: Now) -> None:
        """Take in that something is there and cannot be read: what was known of it stays, and is out of date."""
        self._changed()
        self._sequence += 1
        self._shelves[read.what].outdate(read.id, sequence=self._sequence)
        self.unreadables.note(read, garbled, now.seen)

    def learnt(self, read: Read) -> None:
        """Take in that this could be read."""
        if read in self.unreadables:
            self._changed()
            self.unreadables.clear(read)

    def learn_statuses(self, node: NodeId, statuses: Statuses, *, begun: int, now: Now) -> None:
        """Take in all `managementStatus` entries of a node."""
        self._changed()
        self._statuses.put(node, dict(statuses), begun=begun, now=now)
        self._settle(Read(what=What.STATUSES, id=node))

    def learn_agreements(self, node: NodeId, agreements: tuple[Agreement, ...], *, begun: int, now: Now) -> None:
        """Take in the agreements of a node."""
        self._changed()
        self._agreements.put(node, agreements, begun=begun, now=now)

    def learn_properties(self, node: NodeId, properties: Mapping[str, str], *, begun: int, now: Now) -> None:
        """Take in the properties of a node's policy."""
        self._changed()
        self._properties.put(node, properties, begun=begun, now=now)

    def forget_absent(self, read: Read) -> None:
        """Forget that something does not exist: questions about invented names leave nothing behind."""
        if self._shelves[read.what].get(read.id) is Sight.ABSENT:
            self._changed()
            self._shelves[read.what].forget(read.id)

    def _changed(self) -> None:
        """Forget what was derived."""
        self._put_together.clear()
        self._gaps.forget()

    def _place(self, node: NodeId) -> tuple[GroupId | None, bool]:
        """Return the node's group, and whether that is known: of a whole organisation only members are kept."""
        is_known = self._membership.has_seen(node) or self._orgs.read_at(ids.org_of(node)) is not None
        return self._membership.group_of(node), is_known

    def _note_move(self, node: NodeId, before: GroupId | None, *, is_known: bool, now: Now) -> None:
        after = self._membership.group_of(node)
        if after is None:
            self._arrivals.leave(node)
        elif after != before and is_known:
            self._arrivals.join(node, now.wall)

    def _settle(self, read: Read) -> None:
        if self.is_current(read):
            self._eager.pop(read, None)
