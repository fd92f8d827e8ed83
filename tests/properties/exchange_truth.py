"""A tiny Exchange for the picture's model test: what is true, and the rows its feed will show.

Only what the picture must get right: a node is in one group at most, statuses go with their node,
and every change leaves its rows (`reference/exchange-api.md` 4.4) after it has become true, never
before.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from agbot.exchange import resources
from agbot.fleet.changes import Change, Read, What
from agbot.fleet.picture import Picture
from agbot.rules.facts import Node, NodeType, Policy, Sight
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId, name_of
from agbot.rules.seen_time import Now
from agbot.rules.statuses import Status
from tests.support.values import NOW

ORG = OrgId("o1")


@dataclass
class Truth:
    """The Exchange's own tables.

    Every change gets a number, so that two answers can be distinguished.
    """

    nodes: dict[NodeId, Node] = field(default_factory=dict)
    groups: set[GroupId] = field(default_factory=set)
    statuses: dict[NodeId, dict[PolicyId, Status]] = field(default_factory=dict)
    policies: dict[PolicyId, Policy] = field(default_factory=dict)
    feed: deque[Change] = field(default_factory=deque)
    number: int = 0
    now: Now = NOW

    def put_node(self, node: NodeId, node_type: NodeType) -> None:
        """Make a node, or change it."""
        known = self.nodes.get(node)
        group = known.group if known else None
        self.nodes[node] = Node(id=node, group=group, node_type=node_type, agent_version=self._next())
        self.statuses.setdefault(node, {})
        self._report("node", node, "modified" if known else "created")

    def delete_node(self, node: NodeId) -> None:
        """Delete a node; membership and statuses go with it, without rows of their own."""
        if self.nodes.pop(node, None) is not None:
            del self.statuses[node]
            self._report("node", node, "deleted")

    def move(self, node: NodeId, group: GroupId | None) -> None:
        """Put a node into a group that exists, or into none; rows for both groups and the node."""
        known = self.nodes.get(node)
        if known is None or known.group == group or (group is not None and group not in self.groups):
            return
        self.nodes[node] = Node(id=node, group=group, node_type=known.node_type, agent_version=known.agent_version)
        for changed in (known.group, group):
            if changed is not None:
                self._report("ha_group", changed, "modified")
        self._report("node", node, "modified")

    def create_group(self, group: GroupId) -> None:
        """Make an empty group."""
        if group not in self.groups:
            self.groups.add(group)
            self._report("ha_group", group, "created")

    def delete_group(self, group: GroupId) -> None:
        """Delete a group; its members are in none."""
        if group in self.groups:
            self.groups.remove(group)
            self._report("ha_group", group, "deleted")
            for node in self.members(group):
                self.move(node, None)

    def report(self, node: NodeId, policy: PolicyId) -> None:
        """Let a node report a status."""
        if node in self.nodes:
            stamp = self._next()
            self.statuses[node][policy] = Status(value="downloaded", stamp=stamp, updated_at=self.now.wall)
            self._report("nodemgmtpolstatus", node, "created/modified")

    def put_policy(self, policy: PolicyId) -> None:
        """Make a policy, or change it."""
        operation = "modified" if policy in self.policies else "created"
        self.policies[policy] = Policy(id=policy, revision=self._next(), revised_at=self.now.wall)
        self._report("mgmtpolicy", policy, operation)

    def delete_policy(self, policy: PolicyId) -> None:
        """Delete a policy."""
        if self.policies.pop(policy, None) is not None:
            self._report("mgmtpolicy", policy, "deleted")

    def members(self, group: GroupId) -> tuple[NodeId, ...]:
        """Return a group's members, sorted."""
        return tuple(sorted(node for node, known in self.nodes.items() if known.group == group))

    def _next(self) -> str:
        self.number += 1
        return str(self.number)

    def _report(self, resource: str, name: str, operation: str) -> None:
        self.feed.append(resources.change(ORG, resource, name_of(name), operation))


@dataclass
class Reading:
    """One read of the truth under way: begun, answered at some time, and learnt later, or never."""

    read: Read
    begun: int
    answer: object = None
    nodes: dict[NodeId, Node] | None = None
    """An organisation is read with two requests; this is what the second one says."""

    def serve(self, truth: Truth) -> None:
        """Let the Exchange answer, once; an organisation's second request at the second call."""
        if self.answer is None:
            self.answer = _look(truth, self.read)
        elif self.nodes is None:
            self.nodes = dict(truth.nodes)

    def learn(self, truth: Truth, picture: Picture) -> None:
        """Give the answer to the picture."""
        now = truth.now
        self.serve(truth)
        self.serve(truth)
        read, begun = self.read, self.begun
        match read.what, self.answer:
            case What.ORG, dict() as groups:
                picture.learn_org(ORG, groups, self.nodes or {}, begun=begun, now=now)
            case What.GROUP, tuple() | Sight() as members:
                picture.learn_group(GroupId(read.id), members, begun=begun, now=now)
            case What.NODE, Node() | Sight() as node:
                picture.learn_node(NodeId(read.id), node, begun=begun, now=now)
            case What.STATUSES, dict() as statuses:
                picture.learn_statuses(NodeId(read.id), statuses, begun=begun, now=now)
            case What.MANAGEMENT_POLICY, Policy() | Sight() as policy:
                picture.policies.learn(read, policy, begun=begun, now=now)


def _look(truth: Truth, read: Read) -> object:
    match read.what:
        case What.ORG:
            return {group: truth.members(group) for group in truth.groups}
        case What.GROUP:
            return truth.members(GroupId(read.id)) if read.id in truth.groups else Sight.ABSENT
        case What.NODE:
            return truth.nodes.get(NodeId(read.id), Sight.ABSENT)
        case What.STATUSES:
            return dict(truth.statuses.get(NodeId(read.id), {}))
        case _:
            return truth.policies.get(PolicyId(read.id), Sight.ABSENT)
