"""The picture of the fleet: what has been read from the Exchange, and which of it is out of date.

It does no I/O and knows no clock: whoever reads takes a mark with `begin` before the request goes out and gives it back with the answer
(`shelf` says why). What was never read is `UNREAD`, what was read and is not there is `ABSENT`. Only members of groups and nodes
that were asked about are kept. A node is in one group at most, wherever that was learnt: from the node, or from the group's list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from agbot.fleet import changes
from agbot.fleet.arrivals import Arrivals
from agbot.fleet.changes import Change, Read, What
from agbot.fleet.membership import Membership
from agbot.fleet.policies import Policies
from agbot.fleet.shelf import Shelf
from agbot.rules import ids
from agbot.rules.facts import Agreement, Member, Node, NodeType, Sight
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId
from agbot.rules.statuses import Status

Statuses = Mapping[PolicyId, Status]

_NEVER = datetime.min.replace(tzinfo=UTC)


class Picture:
    """What the Exchange said, as far as it matters here."""

    def __init__(self) -> None:
        self._sequence = 0
        self._nodes: Shelf[Node] = Shelf()
        self._groups: Shelf[None] = Shelf()
        self._orgs: Shelf[None] = Shelf()
        self._statuses: Shelf[Statuses] = Shelf()
        self._agreements: Shelf[tuple[Agreement, ...]] = Shelf()
        self._properties: Shelf[Mapping[str, str]] = Shelf()
        self.policies = Policies()
        self._shelves: Mapping[What, Shelf[Any]] = {
            What.ORG: self._orgs,
            What.GROUP: self._groups,
            What.NODE: self._nodes,
            What.STATUSES: self._statuses,
            What.AGREEMENTS: self._agreements,
            What.PROPERTIES: self._properties,
            **self.policies.shelves,
        }
        self._membership = Membership()
        self._arrivals = Arrivals()
        self._created_at: dict[NodeId, datetime] = {}
        self._eager: dict[Read, None] = {}
        self.policies_changed_at: datetime | None = None
        """When the feed last told of a deployment policy or a pattern."""
        self._put_together: dict[GroupId, Mapping[NodeId, Member]] = {}
        """What `read_members` returned since something was last learnt: between two readings, many ask about the same group."""
        self._complete: set[tuple[GroupId, bool]] = set()
        """The groups of which nothing was unread then."""
        self._serving_at: dict[GroupId, datetime] = {}

    # What is there

    def orgs(self) -> tuple[OrgId, ...]:
        """Return the organisations that were read."""
        return tuple(OrgId(org) for org in sorted(self._orgs))

    def org_read_at(self, org: OrgId) -> datetime | None:
        """Return when all groups and nodes of this organisation were last read."""
        return self._orgs.read_at(org)

    def groups(self) -> tuple[GroupId, ...]:
        """Return the groups that exist, sorted."""
        return tuple(GroupId(key) for key in sorted(self._groups) if self._groups.get(key) is None)

    def count_groups(self, org: OrgId) -> int:
        """Return how many groups an organisation has."""
        return self._membership.count_groups(org)

    def lacks(self, group: GroupId) -> Sight | None:
        """Say why there is no such group: it is not there, or its organisation has not been read yet; None when it exists."""
        if self._groups.get(group) is None:
            return None
        return Sight.UNREAD if self._orgs.read_at(ids.org_of(group)) is None else Sight.ABSENT

    def members(self, group: GroupId) -> Mapping[NodeId, Node | Sight]:
        """Return the members of a group, sorted, each as far as it was read."""
        return {node: self.node(node) for node in self._membership.members(group)}

    def member(self, node: NodeId) -> Member | Sight:
        """Return a node with its statuses; a node whose statuses were not read has none yet."""
        known = self.node(node)
        if isinstance(known, Sight):
            return known
        statuses, properties = self._statuses.get(node), self._properties.get(node)
        return Member(
            node=known,
            statuses={} if isinstance(statuses, Sight) else statuses,
            properties={} if isinstance(properties, Sight) else properties,
            agreements=self._agreements.get(node),
            agreements_read_at=self._agreements.read_at(node),
            service_lost_at=self._arrivals.lost_at(node) if self._agreements.is_current(node) else None,
            agreement_ended_at=self._arrivals.ended_at(node),
        )

    def read_members(self, group: GroupId) -> Mapping[NodeId, Member]:
        """Return those members of a group that have been read, sorted, with their statuses."""
        known = self._put_together.get(group)
        if known is None:
            seen = ((node, self.member(node)) for node in self._membership.members(group))
            known = {node: member for node, member in seen if isinstance(member, Member)}
            self._put_together[group] = known
        return known

    def node(self, node: NodeId) -> Node | Sight:
        """Return a node as the Exchange last described it, in the group where it was last seen."""
        known = self._nodes.get(node)
        if isinstance(known, Sight):
            return known
        group = self._membership.group_of(node)
        return known if known.group == group else replace(known, group=group)

    def node_read_at(self, node: NodeId) -> datetime | None:
        """Return when the node, and with it its heartbeat, was last read."""
        return self._nodes.read_at(node)

    def read_at(self, read: Read) -> datetime | None:
        """Return when this was last read."""
        return self._shelves[read.what].read_at(read.id)

    def statuses_read_at(self, node: NodeId) -> datetime | None:
        """Return when the node's `managementStatus` was last read."""
        return self._statuses.read_at(node)

    def agreements_read_at(self, node: NodeId) -> datetime | None:
        """Return when the node's agreements were last read."""
        return self._agreements.read_at(node)

    def created_at(self, node: NodeId) -> datetime | None:
        """Return when the feed last announced a new node of this name."""
        return self._created_at.get(node)

    def statuses(self, node: NodeId) -> Statuses | Sight:
        """Return the node's `managementStatus` entries; none at all is an empty mapping."""
        return self._statuses.get(node)

    def status(self, node: NodeId, policy: PolicyId) -> Status | Sight:
        """Return one entry of the node's `managementStatus`."""
        statuses = self._statuses.get(node)
        return statuses if isinstance(statuses, Sight) else statuses.get(policy, Sight.ABSENT)

    def agreements(self, node: NodeId) -> tuple[Agreement, ...] | Sight:
        """Return the node's agreements with what runs under them."""
        return self._agreements.get(node)

    def came_down(self, node: NodeId) -> bool:
        """Tell whether the node's service went down when it joined its group."""
        return self._arrivals.lost_at(node) is not None

    # What is out of date

    def begin(self) -> int:
        """Take the mark that an answer must give back. To be called before the request goes out."""
        self._sequence += 1
        return self._sequence

    def is_current(self, read: Read) -> bool:
        """Tell whether this was read and nothing has outdated it since."""
        return self._shelves[read.what].is_current(read.id)

    def unread(self, group: GroupId, *, by_property: bool = False) -> tuple[Read, ...]:
        """Return what must be read before anything can be decided about this group: with `by_property` also the members' properties."""
        if (group, by_property) in self._complete:
            return ()
        found = self._missing(group, by_property=by_property)
        if not found:
            self._complete.add((group, by_property))
        return tuple(found)

    def _missing(self, group: GroupId, *, by_property: bool) -> list[Read]:
        found: list[Read] = []
        if not self._groups.is_current(group):
            found.append(Read(what=What.GROUP, id=group))
        for node in self._membership.members(group):
            if not self._nodes.is_current(node):
                found.append(Read(what=What.NODE, id=node))
            if by_property and not self._properties.is_current(node):
                found.append(Read(what=What.PROPERTIES, id=node))
            if not self._statuses.is_current(node) and not self._is_cluster(node):
                found.append(Read(what=What.STATUSES, id=node))
            if self._arrivals.lost_at(node) is not None and not self._agreements.is_current(node):
                found.append(Read(what=What.AGREEMENTS, id=node))
        return found

    def services_read_at(self, group: GroupId) -> datetime:
        """Return since when it is known what all devices of a group run: the earliest time while a change has outdated one of them."""
        known = self._serving_at.get(group)
        if known is None:
            devices = [node for node in self._membership.members(group) if not self._is_cluster(node)]
            reads = [self._agreements.read_at(node) if self._agreements.is_current(node) else None for node in devices]
            known = min((each or _NEVER for each in reads), default=_NEVER)
            self._serving_at[group] = known
        return known

    def eager(self) -> tuple[Read, ...]:
        """Return what must be read soon although nobody asks: memberships are effective at once."""
        down = (node for node in self._arrivals.came_down() if not self._agreements.is_current(node))
        return (*self._eager, *(Read(what=What.AGREEMENTS, id=node) for node in down))

    def take_arrivals(self) -> tuple[NodeId, ...]:
        """Return the nodes that have joined a group since this was last asked, wherever that was learnt."""
        return self._arrivals.take_new()

    def take_losses(self) -> Mapping[NodeId, datetime]:
        """Return the nodes of which an agreement has ended since this was last asked, and when."""
        return self._arrivals.take_losses()

    def apply(self, change: Change, now: datetime) -> None:
        """Take one row of the change feed in: mark what it outdates."""
        self._sequence += 1
        self._changed()
        for read in changes.outdates(change):
            self._shelves[read.what].outdate(read.id, sequence=self._sequence)
            deleted_node = read.what is What.NODE and change.operation == changes.DELETED
            if read.what is What.GROUP or (deleted_node and self._membership.group_of(NodeId(read.id)) is not None):
                self._eager[read] = None
        node, at = ids.node_id(change.org, change.id), change.at or now
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
        groups: Mapping[GroupId, Iterable[NodeId]],
        nodes: Mapping[NodeId, Node],
        *,
        begun: int,
        now: datetime,
    ) -> None:
        """Take in all groups and all nodes of an organisation; what is not among them is gone."""
        prefix = f"{org}/"
        for group, members in groups.items():
            self.learn_group(group, tuple(members), begun=begun, now=now)
        for gone in [key for key in self._groups if key.startswith(prefix) and key not in groups]:
            self.learn_group(GroupId(gone), Sight.ABSENT, begun=begun, now=now)
        self.learn_nodes(org, nodes, begun=begun, now=now)
        self._orgs.put(org, None, begun=begun, now=now)

    def learn_nodes(self, org: OrgId, nodes: Mapping[NodeId, Node], *, begun: int, now: datetime) -> None:
        """Take in all nodes of an organisation; known ones that are not among them are gone."""
        for node in nodes.values():
            if node.group is not None or self._membership.has_seen(node.id):
                self.learn_node(node.id, node, begun=begun, now=now)
        for gone in [node for node in self._membership if node.startswith(f"{org}/") and node not in nodes]:
            self.learn_node(gone, Sight.ABSENT, begun=begun, now=now)

    def learn_group(self, group: GroupId, members: tuple[NodeId, ...] | Sight, *, begun: int, now: datetime) -> None:
        """Take in a group's list of members, or that there is no such group."""
        self._changed()
        listed = () if isinstance(members, Sight) else members
        absent = Sight.ABSENT if isinstance(members, Sight) else None
        if self._groups.put(group, absent, begun=begun, now=now):
            before = [(node, *self._place(node)) for node in dict.fromkeys((*listed, *self._membership.members(group)))]
            self._membership.set_members(group, listed, begun=begun)
            for node, place, is_known in before:
                self._note_move(node, place, is_known=is_known, now=now)
            self._membership.set_existing(group, exists=absent is None)
        self._settle(Read(what=What.GROUP, id=group))

    def learn_node(self, node: NodeId, seen: Node | Sight, *, begun: int, now: datetime) -> None:
        """Take in a node with its group, or that there is no such node."""
        self._changed()
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

    def learn_statuses(self, node: NodeId, statuses: Statuses, *, begun: int, now: datetime) -> None:
        """Take in all `managementStatus` entries of a node."""
        self._changed()
        self._statuses.put(node, dict(statuses), begun=begun, now=now)

    def learn_agreements(self, node: NodeId, agreements: tuple[Agreement, ...], *, begun: int, now: datetime) -> None:
        """Take in the agreements of a node."""
        self._changed()
        self._agreements.put(node, agreements, begun=begun, now=now)

    def learn_properties(self, node: NodeId, properties: Mapping[str, str], *, begun: int, now: datetime) -> None:
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
        self._complete.clear()
        self._serving_at.clear()

    def _is_cluster(self, node: NodeId) -> bool:
        known = self._nodes.get(node)
        return isinstance(known, Node) and known.node_type is NodeType.CLUSTER

    def _place(self, node: NodeId) -> tuple[GroupId | None, bool]:
        """Return the node's group, and whether that is known: of a whole organisation only members are kept."""
        is_known = self._membership.has_seen(node) or self._orgs.read_at(ids.org_of(node)) is not None
        return self._membership.group_of(node), is_known

    def _note_move(self, node: NodeId, before: GroupId | None, *, is_known: bool, now: datetime) -> None:
        after = self._membership.group_of(node)
        if after is None:
            self._arrivals.leave(node)
        elif after != before and is_known:
            self._arrivals.join(node, now)

    def _settle(self, read: Read) -> None:
        if self.is_current(read):
            self._eager.pop(read, None)
