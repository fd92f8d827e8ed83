"""The picture's parts, and what is asked of them: what is there, and what is out of date.

Nothing here changes what was learnt; `picture` does that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from agbot.fleet.absence import CONFIRM_AFTER, Absences
from agbot.fleet.arrivals import Arrivals
from agbot.fleet.changes import Read, What
from agbot.fleet.gaps import Gaps
from agbot.fleet.garbled import Unreadables
from agbot.fleet.membership import Membership
from agbot.fleet.policies import Policies
from agbot.fleet.shelf import Shelf
from agbot.fleet.sights import Sights
from agbot.fleet.stamps import Stamps
from agbot.fleet.standstill import Standstill
from agbot.rules import ids
from agbot.rules.facts import Agreement, Member, Node, Sight
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId
from agbot.rules.loss import Loss
from agbot.rules.seen_time import SeenTime
from agbot.rules.statuses import Status

Statuses = Mapping[PolicyId, Status]


class View:
    """What the Exchange said, as far as it matters here. `Picture` is the one that learns."""

    def __init__(self) -> None:
        self._sequence = 0
        self._nodes: Shelf[Node] = Shelf()
        self._groups: Shelf[None] = Shelf()
        self._orgs: Shelf[None] = Shelf()
        self._statuses: Shelf[Statuses] = Shelf()
        self._agreements: Shelf[tuple[Agreement, ...]] = Shelf()
        self._properties: Shelf[Mapping[str, str]] = Shelf()
        self.standstill = Standstill()
        self.stamps = Stamps()
        self.policies = Policies(self.standstill, self.stamps)
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
        self._gone = Absences()
        """Nodes and groups that are missing."""
        self._left = Absences()
        """Members, by the read of their node, that are missing in their group."""
        self._dropped = Absences()
        """Nodes' statuses of which some are missing."""
        self._arrivals = Arrivals()
        self._created_at: dict[NodeId, datetime] = {}
        self._eager: dict[Read, None] = {}
        self._former: dict[NodeId, tuple[Agreement, ...]] = {}
        """The agreements of a node at its last read but one, where one of them has gone since."""
        self._before: dict[NodeId, tuple[Agreement, ...]] = {}
        """What a node ran when the feed told of an ended agreement, until somebody takes the loss."""
        self._put_together: dict[GroupId, Mapping[NodeId, Member]] = {}
        """What `read_members` returned since something was last learnt: between two readings, many ask about the same group."""
        self.unreadables = Unreadables()
        self.sights = Sights()
        self._gaps = Gaps(self._shelves, self._membership, self._arrivals, self.unreadables)

    # What is there

    def orgs(self) -> tuple[OrgId, ...]:
        """Return the organisations that were read."""
        return tuple(OrgId(org) for org in sorted(self._orgs))

    def org_read_at(self, org: OrgId) -> SeenTime | None:
        """Return when all groups and nodes of this organisation were last read."""
        return self._orgs.read_at(org)

    def groups(self) -> tuple[GroupId, ...]:
        """Return the groups that exist, sorted."""
        return tuple(GroupId(key) for key in sorted(self._groups) if self._groups.get(key) is None)

    def count_groups(self, org: OrgId) -> int:
        """Return how many groups an organisation has."""
        return self._membership.count_groups(org)

    def is_empty(self, org: OrgId) -> bool:
        """Tell whether nothing at all is known to be in an organisation: no group, and no node that was ever of use here."""
        prefix = f"{org}/"
        groups = (key for key in self._groups if key.startswith(prefix) and self._groups.get(key) is None)
        nodes = (key for key in self._nodes if key.startswith(prefix) and isinstance(self._nodes.get(key), Node))
        return not any(True for _ in (*groups, *nodes))

    def lacks(self, group: GroupId) -> Sight | None:
        """Say why there is no such group: it is not there, or its organisation has not been read yet; None when it exists."""
        if self._groups.get(group) is None:
            return None
        was_read = self._orgs.read_at(ids.org_of(group)) is not None
        return Sight.ABSENT if was_read and Read(what=What.GROUP, id=group) not in self.unreadables else Sight.UNREAD

    def is_missing(self, group: GroupId) -> bool:
        """Tell whether the last look at this very group found that there is none, and no member says otherwise."""
        is_current = self._groups.is_current(group) and self._groups.get(group) is Sight.ABSENT
        return is_current and not self._membership.members(group)

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
            joined_at=self._arrivals.joined_at(node),
            service_lost_at=self._arrivals.lost_at(node) if self._agreements.is_current(node) else None,
            agreement_ended_at=self._arrivals.ended_at(node),
            unreadable=self._gaps.why_unreadable(node),
        )

    def read_members(self, group: GroupId) -> Mapping[NodeId, Member]:
        """Return those members of a group that have been read, sorted, with their statuses.

        One that cannot be read is a member all the same: without it a group of two would look like a group of one.
        """
        known = self._put_together.get(group)
        if known is None:
            members = self._membership.members(group)
            seen = ((node, self._unreadable_member(node) or self.member(node)) for node in members)
            known = {node: member for node, member in seen if isinstance(member, Member)}
            self._put_together[group] = known
        return known

    def why_unreadable(self, node: NodeId) -> str:
        """Say what of a node is there and cannot be read; empty when everything can."""
        return self._gaps.why_unreadable(node)

    def _unreadable_member(self, node: NodeId) -> Member | None:
        why = self._gaps.why_unreadable(node)
        is_known = isinstance(self._nodes.get(node), Node)
        return (
            Member(node=Node(id=node, group=self._membership.group_of(node)), unreadable=why)
            if why and not is_known
            else None
        )

    def node(self, node: NodeId) -> Node | Sight:
        """Return a node as the Exchange last described it, in the group where it was last seen."""
        known = self._nodes.get(node)
        if isinstance(known, Sight):
            return known
        group, hidden = self._membership.group_of(node), self.sights.unseen_until(node)
        if (known.group, known.unseen_until) == (group, hidden):
            return known
        return replace(known, group=group, unseen_until=hidden, silent_before=self.sights.silent_before(node))

    def certain(self, node: NodeId) -> Member | Sight:
        """Return a node with its statuses; unread while its absence is not believed, or its statuses were not read."""
        known = self.member(node)
        if isinstance(known, Sight):
            return known if self.certain_node(node) is known else Sight.UNREAD
        return Sight.UNREAD if self._statuses.get(node) is Sight.UNREAD else known

    def certain_node(self, node: NodeId) -> Node | Sight:
        """Return a node; unread while its absence is not believed."""
        known = self.node(node)
        is_open = known is Sight.ABSENT and self._gone.is_open(Read(what=What.NODE, id=node))
        return Sight.UNREAD if is_open else known

    def certain_status(self, node: NodeId, policy: PolicyId) -> Status | Sight:
        """Return one entry of the node's `managementStatus`; that there is none is believed at a second look."""
        known = self.status(node, policy)
        is_believed = self._statuses.known_for(node) >= CONFIRM_AFTER
        return Sight.UNREAD if known is Sight.ABSENT and not is_believed else known

    def second_looks(self, now: SeenTime) -> list[Read]:
        """Return what was missing once and is to be looked at again."""
        found = [read for each in (self._gone, self._left, self._dropped) for read in each.due(now)]
        return list(dict.fromkeys((*found, *map(self.policies.to_read, self.policies.gone.due(now)))))

    def is_wary(self, org: OrgId) -> bool:
        """Tell whether no absence in this organisation is believed until it has been seen as a whole again."""
        return self._gone.is_wary(org)

    def node_read_at(self, node: NodeId) -> SeenTime | None:
        """Return when the node, and with it its heartbeat, was last read."""
        return self._nodes.read_at(node)

    def read_at(self, read: Read) -> SeenTime | None:
        """Return when this was last read."""
        return self._shelves[read.what].read_at(read.id)

    def statuses_read_at(self, node: NodeId) -> SeenTime | None:
        """Return when the node's `managementStatus` was last read."""
        return self._statuses.read_at(node)

    def agreements_read_at(self, node: NodeId) -> SeenTime | None:
        """Return when the node's agreements were last read."""
        return self._agreements.read_at(node)

    def may_have_left(self, node: NodeId) -> bool:
        """Tell whether a member was missing at the last look, in its group or altogether, and that is not believed yet."""
        read = Read(what=What.NODE, id=node)
        return self._left.is_open(read) or self._gone.is_open(read)

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
        return self._gaps.of(group, by_property=by_property)

    def services_read_at(self, group: GroupId) -> SeenTime:
        """Return since when it is known what all devices of a group run: the earliest time while a change has outdated one of them."""
        return self._gaps.services_read_at(group)

    def eager(self) -> tuple[Read, ...]:
        """Return what must be read soon although nobody asks: memberships are effective at once, and who reports will ask."""
        down = (node for node in self._arrivals.came_down() if not self._agreements.is_current(node))
        return (*self._eager, *(Read(what=What.AGREEMENTS, id=node) for node in down))

    def take_arrivals(self) -> tuple[NodeId, ...]:
        """Return the nodes that have joined a group since this was last asked, wherever that was learnt."""
        return self._arrivals.take_new()

    def take_losses(self) -> Mapping[NodeId, Loss]:
        """Return the nodes of which an agreement has ended since this was last asked, with what they were known to run."""
        losses = self._arrivals.take_losses()
        found = {node: Loss(at=at, before=self._before.get(node, Sight.UNREAD)) for node, at in losses.items()}
        self._before.clear()
        return found
