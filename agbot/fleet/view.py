"""Queries of the picture: what is known, and what is out of date.

Nothing here changes what is known; `picture` does that.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from agbot.fleet.absence import CONFIRM_AFTER
from agbot.fleet.changes import Read, What
from agbot.fleet.parts import Parts
from agbot.fleet.standstill import Statuses
from agbot.rules import ids
from agbot.rules.facts import Agreement, Member, Node, NodeType, Sight
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId
from agbot.rules.loss import Loss
from agbot.rules.seen_time import SeenTime
from agbot.rules.statuses import Phase, Status

_UNDER_WAY = Phase.UNDER_WAY
_NOTHING: Mapping[Any, Any] = MappingProxyType({})
_MOST_READ_MEMBERS = 4096
"""Groups whose members are kept as they were last read, 500 bytes each: a question needs them
several times, and those of tens of thousands of groups change before the next question."""


class View(Parts):
    """The picture, read only. `Picture` learns."""

    def orgs(self) -> tuple[OrgId, ...]:
        """Return the organisations that were read."""
        return tuple(OrgId(org) for org in sorted(self._orgs))

    def org_read_at(self, org: OrgId) -> SeenTime | None:
        """Return when all groups and nodes of this organisation were last read."""
        return self._orgs.read_at(org)

    def groups(self) -> tuple[GroupId, ...]:
        """Return the groups that exist, sorted."""
        return tuple(GroupId(key) for key in sorted(self._groups) if self._groups.get(key) is None)

    def nodes(self) -> tuple[NodeId, ...]:
        """Return the nodes that exist, as far as was read."""
        return tuple(NodeId(key) for key in self._nodes if isinstance(self._nodes.get(key), Node))

    def groups_of(self, org: OrgId) -> tuple[GroupId, ...]:
        """Return the groups of an organisation that exist, sorted."""
        return tuple(GroupId(key) for key in sorted(self._groups.of_org(org)) if self._groups.get(key) is None)

    def exists(self, group: GroupId) -> bool:
        """Whether the group exists, as far as was read."""
        return self._groups.get(group) is None

    def is_empty(self, org: OrgId) -> bool:
        """Whether an organisation is known to have no group and no node of interest."""
        groups = (key for key in self._groups.of_org(org) if self._groups.get(key) is None)
        nodes = (key for key in self._nodes.of_org(org) if isinstance(self._nodes.get(key), Node))
        return not any(True for _ in (*groups, *nodes))

    def why_missing(self, group: GroupId) -> Sight | None:
        """Return why there is no such group, absent or unread; None if it exists."""
        if self._groups.get(group) is None:
            return None
        was_read = self._orgs.read_at(ids.org_of(group)) is not None
        return Sight.ABSENT if was_read and Read(what=What.GROUP, id=group) not in self.unreadables else Sight.UNREAD

    def is_gone(self, group: GroupId) -> bool:
        """Whether it is confirmed that this group does not exist, and it has no known member."""
        is_absent = self._groups.is_current(group) and self._groups.get(group) is Sight.ABSENT
        is_unconfirmed = self._gone.is_unconfirmed(Read(what=What.GROUP, id=group)) or self.is_wary(ids.org_of(group))
        return is_absent and not is_unconfirmed and not self.membership.of_group(group)

    def members(self, group: GroupId) -> Mapping[NodeId, Node | Sight]:
        """Return the members of a group, sorted, each as far as it was read."""
        return {node: self.node(node) for node in self.membership.of_group(group)}

    def devices(self, without: Container[str]) -> Iterator[NodeId]:
        """Yield the devices that are members of groups, without some nodes, in no order."""
        others = (NodeId(node) for node in self._nodes if node not in without)
        return (node for node in others if self.is_device(node))

    def is_device(self, node: NodeId) -> bool:
        """Whether this is a device that is a member of a group."""
        known, group = self._nodes.get(node), self.membership.group_of(node)
        is_device = isinstance(known, Node) and known.node_type is not NodeType.CLUSTER
        return is_device and group is not None and self.exists(group)

    def member(self, node: NodeId) -> Member | Sight:
        """Return a node with its statuses, which are empty if they were not read."""
        known = self.node(node)
        if isinstance(known, Sight):
            return known
        statuses, properties = self._statuses.get(node), self._properties.get(node)
        return Member(
            node=known,
            read_at=self._nodes.read_at(node),
            statuses_read_at=self._statuses.read_at(node),
            properties_read_at=self._properties.read_at(node),
            statuses=_NOTHING if isinstance(statuses, Sight) else statuses,
            properties=_NOTHING if isinstance(properties, Sight) else properties,
            agreements=self._agreements.get(node),
            agreements_read_at=self._agreements.read_at(node),
            joined_at=self._arrivals.joined_at(node),
            service_lost_at=self._arrivals.lost_at(node) if self._agreements.is_current(node) else None,
            agreement_ended_at=self._arrivals.ended_at(node),
            unreadable=self._gaps.why_unreadable(node),
        )

    def read_members(self, group: GroupId) -> Mapping[NodeId, Member]:
        """Return the members of a group that were read, sorted, with their statuses."""
        known = self._read_members.get(group)
        if known is None:
            members = self.membership.of_group(group)
            # an unreadable node is a member too: a group of two would look like a group of one,
            # which is not gated
            seen = ((node, self._unreadable_member(node) or self.member(node)) for node in members)
            known = {node: member for node, member in seen if isinstance(member, Member)}
            # all at once: to drop the oldest would need an order, and they are cheap to make again
            if len(self._read_members) >= _MOST_READ_MEMBERS:
                self._read_members.clear()
            self._read_members[group] = known
        return known

    def why_unreadable(self, node: NodeId) -> str:
        """Return why a node is unreadable, empty if it is not."""
        return self._gaps.why_unreadable(node)

    def _unreadable_member(self, node: NodeId) -> Member | None:
        why = self._gaps.why_unreadable(node)
        is_known = isinstance(self._nodes.get(node), Node)
        return (
            Member(node=Node(id=node, group=self.membership.group_of(node)), unreadable=why)
            if why and not is_known
            else None
        )

    def node(self, node: NodeId) -> Node | Sight:
        """Return a node by its last record, in the group in which it was last seen."""
        known = self._nodes.get(node)
        if isinstance(known, Sight):
            return known
        group, hidden = self.membership.group_of(node), self.hidden.unseen_until(node)
        if (known.group, known.unseen_until) == (group, hidden):
            return known
        return replace(known, group=group, unseen_until=hidden, silent_before=self.hidden.silent_before(node))

    def certain(self, node: NodeId) -> Member | Sight:
        """Return a node with its statuses, unread if either is unread or an absence unconfirmed."""
        known = self.member(node)
        if isinstance(known, Sight):
            return known if self.certain_node(node) is known else Sight.UNREAD
        return Sight.UNREAD if self._statuses.get(node) is Sight.UNREAD else known

    def certain_node(self, node: NodeId) -> Node | Sight:
        """Return a node, unread while its absence is not confirmed."""
        known = self.node(node)
        is_unconfirmed = known is Sight.ABSENT and self._gone.is_unconfirmed(Read(what=What.NODE, id=node))
        return Sight.UNREAD if is_unconfirmed else known

    def certain_status(self, node: NodeId, policy: PolicyId) -> Status | Sight:
        """Return a status of a node for one policy, unread while its absence is not confirmed."""
        known = self.status(node, policy)
        is_confirmed = self._statuses.known_for(node) >= CONFIRM_AFTER
        return Sight.UNREAD if known is Sight.ABSENT and not is_confirmed else known

    def second_reads(self, now: SeenTime) -> list[Read]:
        """Return what was missing once and is due for its second read."""
        return list(dict.fromkeys(map(self.policies.to_read, (*self._gone.due(now), *self._left.due(now)))))

    def is_wary(self, org: OrgId) -> bool:
        """Whether no absence in this organisation is accepted before more complete reads of it."""
        return self._gone.is_wary(org)

    def node_read_at(self, node: NodeId) -> SeenTime | None:
        """Return when the node, with its heartbeat, was last read."""
        return self._nodes.read_at(node)

    def read_at(self, read: Read) -> SeenTime | None:
        """Return when this was last read."""
        return self._shelves[read.what].read_at(read.id)

    def statuses_read_at(self, node: NodeId) -> SeenTime | None:
        """Return when the node's statuses were last read."""
        return self._statuses.read_at(node)

    def agreements_read_at(self, node: NodeId) -> SeenTime | None:
        """Return when the node's agreements were last read."""
        return self._agreements.read_at(node)

    def may_have_left(self, node: NodeId) -> bool:
        """Whether a member was missing, or not in its group, and that is not confirmed yet."""
        read = Read(what=What.NODE, id=node)
        return self._left.is_unconfirmed(read) or self._gone.is_unconfirmed(read)

    def created_at(self, node: NodeId) -> datetime | None:
        """Return when the feed last announced a new node of this name."""
        return self._created_at.get(node)

    def unshown_report(self, node: NodeId) -> datetime | None:
        """Return when a report was written that the feed has announced and no read has shown.

        None if there is none. A cache may show an old answer although the feed goes on.
        """
        return self._unshown.get(node)

    def statuses(self, node: NodeId) -> Statuses | Sight:
        """Return the node's statuses by policy."""
        return self._statuses.get(node)

    def status(self, node: NodeId, policy: PolicyId) -> Status | Sight:
        """Return the node's status for one policy."""
        statuses = self._statuses.get(node)
        return statuses if isinstance(statuses, Sight) else statuses.get(policy, Sight.ABSENT)

    def is_reported(self, policy: PolicyId) -> bool:
        """Whether a node of its organisation reports a status for a policy, as far as was read."""
        known = (self._statuses.get(node) for node in self._statuses.of_org(ids.org_of(policy)))
        return any(policy in statuses for statuses in known if not isinstance(statuses, Sight))

    def may_upgrade(self, node: NodeId) -> bool:
        """Whether a node reports an upgrade that is past the gate, which may be over."""
        statuses = self._statuses.get(node)
        return not isinstance(statuses, Sight) and any(each.phase is _UNDER_WAY for each in statuses.values())

    def with_failures(self) -> Collection[NodeId]:
        """Return the nodes that report an upgrade that has failed; some may be in no group."""
        return tuple(self._with_failures)

    def agreements(self, node: NodeId) -> tuple[Agreement, ...] | Sight:
        """Return the node's agreements with the services that run under them."""
        return self._agreements.get(node)

    def joined_without_service(self, node: NodeId) -> bool:
        """Whether the node's service went down when it joined its group."""
        return self._arrivals.lost_at(node) is not None

    def current_since(self, read: Read) -> SeenTime | None:
        """Return when this was last read; None if it never was, or a change has outdated it."""
        return self._shelves[read.what].current_since(read.id)

    def begin(self) -> int:
        """Return the mark of a new read. To be called before the request is sent."""
        self._sequence += 1
        return self._sequence

    def is_current(self, read: Read) -> bool:
        """Whether this was read and is not out of date."""
        return self._shelves[read.what].is_current(read.id)

    def unread(self, group: GroupId, *, by_property: bool = False) -> tuple[Read, ...]:
        """Return what must be read about this group; `by_property` adds members' properties."""
        return self._gaps.of(group, by_property=by_property)

    def services_read_at(self, group: GroupId) -> SeenTime:
        """Return since when the services of all devices of a group are known.

        This is the earliest possible time while one of them is out of date.
        """
        return self._gaps.services_read_at(group)

    def eager(self) -> tuple[Read, ...]:
        """Return what is to be read soon without a question."""
        # memberships are effective at once, and a member with a new status may be about to ask
        down = (node for node in self._arrivals.joined_without_service() if not self._agreements.is_current(node))
        return (*self._eager, *(Read(what=What.AGREEMENTS, id=node) for node in down))

    def take_arrivals(self) -> tuple[NodeId, ...]:
        """Return the nodes that have joined a group since the last call."""
        return self._arrivals.take_new()

    def take_losses(self) -> Mapping[NodeId, Loss]:
        """Return the nodes that have lost an agreement since the last call, with what they ran."""
        losses = self._arrivals.take_losses()
        found = {node: Loss(at=at, before=self._before.get(node, Sight.UNREAD)) for node, at in losses.items()}
        self._before.clear()
        return found
