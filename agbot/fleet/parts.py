"""The parts of the picture, and the groups about which something has changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from agbot.fleet.absence import Absences
from agbot.fleet.arrivals import Arrivals
from agbot.fleet.changes import ABOUT_NODE, Read, What
from agbot.fleet.gaps import Gaps
from agbot.fleet.garbled import Unreadables
from agbot.fleet.hidden import HiddenNodes
from agbot.fleet.membership import Membership
from agbot.fleet.policies import Policies
from agbot.fleet.shelf import Shelf
from agbot.fleet.stamps import Stamps
from agbot.fleet.standstill import Standstill, Statuses
from agbot.rules.facts import Agreement, Member, Node
from agbot.rules.ids import GroupId, NodeId, OrgId


class Parts:
    """What was read, by kind, and what was derived from it. `View` and `Picture` build on it."""

    def __init__(self) -> None:
        self._sequence = 0
        self._nodes: Shelf[Node] = Shelf()
        self._groups: Shelf[None] = Shelf()
        self._orgs: Shelf[None] = Shelf()
        self._statuses: Shelf[Statuses] = Shelf()
        self._agreements: Shelf[tuple[Agreement, ...]] = Shelf()
        self._properties: Shelf[Mapping[str, str]] = Shelf()
        self.standstill, self.stamps = Standstill(), Stamps()
        self._gone = Absences()
        """What is missing: nodes, groups and policies, and nodes' statuses of which some are."""
        self._left = Absences()
        """Members that are missing in their group, by the read of the node."""
        self.policies = Policies(self.standstill, self.stamps, self._gone)
        self._shelves: Mapping[What, Shelf[Any]] = {
            What.ORG: self._orgs,
            What.GROUP: self._groups,
            What.NODE: self._nodes,
            What.STATUSES: self._statuses,
            What.AGREEMENTS: self._agreements,
            What.PROPERTIES: self._properties,
            **self.policies.shelves,
        }
        self.membership = Membership()
        self._with_failures: dict[NodeId, None] = {}
        """Nodes that report an upgrade that has failed, so that none is searched for."""
        self._arrivals, self._created_at = Arrivals(), dict[NodeId, datetime]()
        self._unshown: dict[NodeId, datetime] = {}
        """The last announced report of a member, until a read shows one as late."""
        self._eager: dict[Read, None] = {}
        self._former: dict[NodeId, tuple[Agreement, ...]] = {}
        """The agreements of a node at its last read but one, if one of them has ended since."""
        self._before: dict[NodeId, tuple[Agreement, ...]] = {}
        """The agreements of a node before the end of one was announced, until the loss is taken."""
        self._changed_groups: dict[GroupId, None] = {}
        self._has_changed_everywhere = False
        self._read_members: dict[GroupId, Mapping[NodeId, Member]] = {}
        """The results of `read_members` since the last change: many questions need them."""
        self.unreadables, self.hidden = Unreadables(), HiddenNodes()
        self._gaps = Gaps(self._shelves, self.membership, self._arrivals, self.unreadables)

    def take_changed(self) -> tuple[Collection[GroupId], bool]:
        """Return the groups that have changed since the last call, and whether all may have."""
        found = tuple(self._changed_groups), self._has_changed_everywhere
        self._changed_groups.clear()
        self._has_changed_everywhere = False
        return found

    def _changed(self, *groups: GroupId | None) -> None:
        """Forget what was derived about these groups."""
        for group in groups:
            if group is not None:
                self._changed_groups[group] = None
                self._read_members.pop(group, None)
                self._gaps.forget(group)

    def _renewed(self, group: GroupId | None) -> None:
        """Forget what was derived from the heartbeats of this group; nothing else has changed."""
        if group is not None:
            self._read_members.pop(group, None)

    def _changed_about(self, *nodes: NodeId) -> None:
        """Forget what was derived about the groups of these nodes."""
        self._changed(*map(self.membership.group_of, nodes))

    def _changed_by(self, read: Read) -> None:
        """Forget what was derived about the group of a record; policies belong to no group."""
        if read.what is What.GROUP:
            self._changed(GroupId(read.id))
        elif read.what in ABOUT_NODE:
            self._changed_about(NodeId(read.id))

    def _changed_in(self, org: OrgId) -> None:
        """Forget what was derived about the groups and nodes of an organisation."""
        self._changed(*map(GroupId, self._groups.of_org(org)))
        self._changed_about(*self.membership.of_org(org))

    def _changed_everywhere(self) -> None:
        """Forget everything that was derived."""
        self._has_changed_everywhere = True
        self._read_members.clear()
        self._gaps.forget_all()
