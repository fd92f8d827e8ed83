"""The picture of the fleet: what was read from the Exchange, and which of it is out of date.

It does no I/O and has no clock: a reader takes a mark with `begin` before the request and passes it
with the answer (`shelf` has the reason). What was never read is `UNREAD`, what was read and does
not exist is `ABSENT`. Only members of groups are kept, and nodes that a question was about. A node
is in one group at most, wherever that was learnt: from the node, or from the group's list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from agbot.fleet import dating, heartbeats
from agbot.fleet.absence import CONFIRM_AFTER
from agbot.fleet.changes import Read, What
from agbot.fleet.garbled import Garbled
from agbot.fleet.outdating import Outdating
from agbot.fleet.standstill import Statuses, has_changed, is_as_late, written_since
from agbot.rules import ids
from agbot.rules.facts import Agreement, Node, Sight
from agbot.rules.ids import GroupId, NodeId, OrgId
from agbot.rules.seen_time import Now
from agbot.rules.statuses import Phase

_NO_STATUSES: Statuses = {}
"""What most nodes report, kept once."""


class Picture(Outdating):
    """What is known, and how answers change it."""

    def remember_member(self, node: NodeId, group: GroupId) -> None:
        """Note a member from the store, so that its absence must be confirmed like any other."""
        if not self.membership.has_seen(node):
            self._changed(group)
            self.membership.set_group(node, group, begun=0)

    def learn(self, read: Read, found: Any, *, begun: int, now: Now) -> None:  # noqa: ANN401 - each kind of read has its own
        """Learn one answer, of the type of this read; `Sight.ABSENT` if it does not exist.

        The lists of an organisation are learnt with `learn_org`.
        """
        match read.what:
            case What.GROUP:
                self.learn_group(GroupId(read.id), found, begun=begun, now=now)
            case What.NODE:
                self.learn_node(NodeId(read.id), found, begun=begun, now=now)
            case What.STATUSES:
                self.learn_statuses(NodeId(read.id), found, begun=begun, now=now)
            case What.AGREEMENTS:
                self.learn_agreements(NodeId(read.id), found, begun=begun, now=now)
            case What.PROPERTIES:
                self.learn_properties(NodeId(read.id), found, begun=begun, now=now)
            case What.PATTERN:
                self.policies.learn_pattern(read.id, found, begun=begun, now=now)
            case What.MANAGEMENT_POLICY | What.DEPLOYMENT_POLICY:
                self.policies.learn(read, found, begun=begun, now=now)

    def learn_org(
        self,
        org: OrgId,
        groups: Mapping[GroupId, Iterable[NodeId] | Garbled],
        nodes: Mapping[NodeId, Node | Garbled],
        *,
        begun: int,
        now: Now,
    ) -> None:
        """Learn all groups and nodes of an organisation; others that are known are missing."""
        for absences in (self._gone, self._left):
            absences.read_completely(org, now.seen)
        for group, members in groups.items():
            if isinstance(members, Garbled):
                self.learn_unreadable(Read(what=What.GROUP, id=group), members, now=now)
            else:
                self.learn_group(group, tuple(members), begun=begun, now=now)
        for gone in [key for key in self._groups.of_org(org) if key not in groups]:
            self.learn_group(GroupId(gone), Sight.ABSENT, begun=begun, now=now)
        self.learn_nodes(org, nodes, begun=begun, now=now)
        self._orgs.put(org, None, begun=begun, now=now)

    def learn_nodes(self, org: OrgId, nodes: Mapping[NodeId, Node | Garbled], *, begun: int, now: Now) -> None:
        """Learn all nodes of an organisation; others that are known are missing."""
        for key, node in nodes.items():
            if isinstance(node, Garbled):
                self.learn_unreadable(Read(what=What.NODE, id=key), node, now=now)
            elif node.group is not None or self.membership.has_seen(key):
                self.learn_node(key, node, begun=begun, now=now)
            else:  # in no group, and never asked about: hubs have thousands of these, and none is kept
                self._changed_about(key)
                self.unreadables.clear(Read(what=What.NODE, id=key))
        for gone in [node for node in self.membership.of_org(org) if node not in nodes]:
            self.learn_node(gone, Sight.ABSENT, begun=begun, now=now)

    def learn_group(self, group: GroupId, members: tuple[NodeId, ...] | Sight, *, begun: int, now: Now) -> None:
        """Learn a group's list of members, or its absence."""
        self._changed(group)
        self.unreadables.clear(Read(what=What.GROUP, id=group))
        if not self._groups.is_late(group, begun):
            self._take_group(group, members, begun=begun, now=now)
        self._clear_eager(Read(what=What.GROUP, id=group))

    def _take_group(self, group: GroupId, members: tuple[NodeId, ...] | Sight, *, begun: int, now: Now) -> None:
        read = Read(what=What.GROUP, id=group)
        kept: tuple[NodeId, ...] = ()
        listed = () if isinstance(members, Sight) else members
        present = self.membership.of_group(group)
        if not isinstance(members, Sight):
            self._gone.seen(read, begun=begun)
            kept = self._kept(group, listed, begun=begun, now=now)
        # an absence that is not confirmed changes nothing, unless there is nothing that it could
        # end
        elif self._is_doubted(read, begun=begun, now=now) and (present or self._groups.get(group) is None):
            self._groups.outdate(group, sequence=begun + 1)
            return
        absent = Sight.ABSENT if isinstance(members, Sight) else None
        self._groups.put(group, absent, begun=begun, now=now)
        before = [(node, *self._group_before(node)) for node in dict.fromkeys((*listed, *present))]
        self.membership.set_members(group, listed, begun=begun, kept=kept)
        for node, place, is_known in before:
            self._changed(place, self.membership.group_of(node))
            self._note_move(node, place, is_known=is_known, now=now)
        self.membership.set_existing(group, exists=absent is None)

    def _kept(self, group: GroupId, listed: tuple[NodeId, ...], *, begun: int, now: Now) -> tuple[NodeId, ...]:
        """Return the members that stay although this list lacks them."""
        present = self.membership.of_group(group)
        for node in present:
            if node in listed:
                self._left.seen(Read(what=What.NODE, id=node), begun=begun)
        return tuple(node for node in present if node not in listed and self._stays(node, begun=begun, now=now))

    def _stays(self, node: NodeId, *, begun: int, now: Now) -> bool:
        """Whether a member stays in its group because this read is the first without it."""
        read = Read(what=What.NODE, id=node)
        # a list whose read began before the node's own is no answer about it
        if self.membership.is_late(node, begun) or self._left.confirms(read, begun=begun, now=now.seen):
            return False
        self._nodes.outdate(node, sequence=begun + 1)
        return True

    def learn_node(self, node: NodeId, seen: Node | Sight, *, begun: int, now: Now) -> None:
        """Learn a node with its group, or its absence."""
        before, place, was_current = self.node(node), self.membership.group_of(node), self._nodes.is_current(node)
        read = Read(what=What.NODE, id=node)
        self.unreadables.clear(read)
        if not self._nodes.is_late(node, begun):
            self._take_node(node, self._compared(node, seen, begun=begun, now=now), begun=begun, now=now)
        if was_current and self._nodes.is_current(node) and heartbeats.is_only_next(before, self.node(node)):
            self._renewed(place)
        else:
            self._changed(place, self.membership.group_of(node))
        self._clear_eager(read)

    def _compared(self, node: NodeId, seen: Node | Sight, *, begun: int, now: Now) -> Node | Sight:
        """Date what was read of a node, and note what follows from what was known of it."""
        known, read_at = self._nodes.get(node), self._nodes.read_at(node)
        seen = dating.of_node(self.stamps, seen, begun=begun, now=now)
        if isinstance(seen, Node):
            back_at = heartbeats.back_since(known, seen, now.seen - (read_at or now.seen))
            seen = seen if back_at is None else replace(seen, back_at=back_at)
        if self._nodes.is_unchanged(node) and has_changed(known, seen):
            self.standstill.note_unannounced(f"node {node}", now)
        self.hidden.note_read(node, known, seen, read_at, now)
        return seen

    def _take_node(self, node: NodeId, seen: Node | Sight, *, begun: int, now: Now) -> None:
        read, (place, is_known) = Read(what=What.NODE, id=node), self._group_before(node)
        if isinstance(seen, Node):
            self._gone.seen(read, begun=begun)
        elif self._is_doubted(read, begun=begun, now=now) and (place or isinstance(self._nodes.get(node), Node)):
            self._nodes.outdate(node, sequence=begun + 1)
            return
        self._nodes.put(node, seen, begun=begun, now=now)
        group = None if isinstance(seen, Sight) else seen.group
        if isinstance(seen, Sight) or group is not None or place is None:
            self._left.seen(read, begun=begun)
        elif self._stays(node, begun=begun, now=now):
            group = place
        self.membership.set_group(node, group, begun=begun)
        self._note_move(node, place, is_known=is_known, now=now)
        # its agreements have ended because it has unregistered
        if isinstance(seen, Node) and not seen.registered:
            self._arrivals.forget_loss(node)
        if group is not None and self._groups.get(group) is Sight.ABSENT:
            self._groups.outdate(group, sequence=begun)

    def _is_doubted(self, read: Read, *, begun: int, now: Now) -> bool:
        """Note that a node or a group is missing, and return whether that is still unconfirmed."""
        return self._gone.doubts(read, self._shelves[read.what].get(read.id), begun=begun, now=now.seen)

    def learn_unreadable(self, read: Read, garbled: Garbled, *, now: Now) -> None:
        """Note that something is unreadable: what was known of it stays and is out of date."""
        self._changed_by(read)
        self._sequence += 1
        self._shelves[read.what].outdate(read.id, sequence=self._sequence)
        self.unreadables.note(read, garbled, now.seen)

    def note_readable(self, read: Read) -> None:
        """Note that this is readable."""
        if read in self.unreadables:
            self._changed_by(read)
            self.unreadables.clear(read)

    def learn_statuses(self, node: NodeId, statuses: Statuses, *, begun: int, now: Now) -> None:
        """Learn all statuses of a node."""
        self._changed_about(node)
        if self._statuses.is_late(node, begun):
            return
        read, before = Read(what=What.STATUSES, id=node), self._statuses.get(node)
        statuses = dating.of_statuses(self.stamps, node, dict(statuses), begun=begun, now=now)
        written_at = written_since(statuses, before) if self._statuses.is_unchanged(node) else None
        if written_at is not None:
            self.standstill.note_unannounced(f"the status of {node}", now, written_at, self._statuses.read_at(node))
        self._note_failures(node, statuses)
        if is_as_late(statuses, self._unshown.get(node)):
            self._unshown.pop(node, None)
        dropped = (
            {} if isinstance(before, Sight) else {key: each for key, each in before.items() if key not in statuses}
        )
        # a status that disappears alone is not believed at once: it could end a lease (A3)
        if not dropped:
            self._gone.seen(read, begun=begun)
        elif not self._gone.confirms(read, begun=begun, now=now.seen):
            self._statuses.amend(node, {**dropped, **statuses})
            self._statuses.outdate(node, sequence=begun + 1)
            return
        self._statuses.put(node, statuses or _NO_STATUSES, begun=begun, now=now)
        # it was confirmed, so `certain_status` need not wait for another read
        if dropped:
            self._statuses.backdate(node, CONFIRM_AFTER)
        self._clear_eager(read)

    def _note_failures(self, node: NodeId, statuses: Statuses) -> None:
        if any(each.phase is Phase.ENDED_BADLY for each in statuses.values()):
            self._with_failures[node] = None
        else:
            self._with_failures.pop(node, None)

    def learn_agreements(self, node: NodeId, agreements: tuple[Agreement, ...], *, begun: int, now: Now) -> None:
        """Learn all agreements of a node."""
        self._changed_about(node)
        if self._agreements.is_late(node, begun):
            return
        agreements = dating.of_agreements(self.stamps, node, agreements, begun=begun, now=now)
        before = self._agreements.get(node)
        if not isinstance(before, Sight) and {each.id for each in before} - {each.id for each in agreements}:
            self._former[node] = before
        self._agreements.put(node, agreements, begun=begun, now=now)

    def learn_properties(self, node: NodeId, properties: Mapping[str, str], *, begun: int, now: Now) -> None:
        """Learn the properties of a node's policy."""
        self._changed_about(node)
        self._properties.put(node, properties, begun=begun, now=now)

    def forget_absent(self, read: Read) -> None:
        """Forget that something does not exist: questions about invented names take no memory."""
        if self._shelves[read.what].get(read.id) is Sight.ABSENT:
            self._changed_by(read)
            self._shelves[read.what].forget(read.id)
            self._gone.forget(read)

    def _group_before(self, node: NodeId) -> tuple[GroupId | None, bool]:
        """Return the node's group, and whether that is known; only members are kept."""
        is_known = self.membership.has_seen(node) or self._orgs.read_at(ids.org_of(node)) is not None
        return self.membership.group_of(node), is_known

    def _note_move(self, node: NodeId, before: GroupId | None, *, is_known: bool, now: Now) -> None:
        after = self.membership.group_of(node)
        if after is None:
            self._arrivals.leave(node)
        elif after != before and is_known:
            self._arrivals.join(node, now.wall)
            self._changed_about(*self._arrivals.take_dropped())

    def _clear_eager(self, read: Read) -> None:
        if self.is_current(read):
            self._eager.pop(read, None)
