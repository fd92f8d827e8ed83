"""The picture of a hub whose members live on as they were at the time of the snapshot."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from msgspec import structs

from agbot.fleet.picture import Picture
from agbot.rules.facts import Member, Node, Sight
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.seen_time import SeenTime

HEARTBEAT: Final = timedelta(seconds=30)
"""How often members send a heartbeat."""


class LivingPicture(Picture):
    """A picture that is always current.

    Members of which the last heartbeat was fresh go on to send them; the others stay silent.
    """

    def __init__(self, begins_at: datetime) -> None:
        super().__init__()
        self.now = self._begins_at = begins_at
        self._alive: Collection[NodeId] = ()

    def revive(self, alive: Collection[NodeId]) -> None:
        """Let these members send heartbeats from now on."""
        self._alive = alive

    def node(self, node: NodeId) -> Node | Sight:
        """Return a node with its last heartbeat."""
        known = super().node(node)
        if isinstance(known, Sight) or node not in self._alive:
            return known
        # the last full interval, so that a rest waits for a heartbeat as it does in the daemon
        return structs.replace(
            known, heartbeat_at=self._begins_at + (self.now - self._begins_at) // HEARTBEAT * HEARTBEAT
        )

    def member(self, node: NodeId) -> Member | Sight:
        """Return a node with its statuses and services, read a moment ago."""
        known = super().member(node)
        if isinstance(known, Sight):
            return known
        seen = SeenTime(self.now)
        return replace(known, read_at=seen, statuses_read_at=seen, agreements_read_at=seen)

    def read_members(self, group: GroupId) -> Mapping[NodeId, Member]:
        """Return the members of a group."""
        seen = {node: self.member(node) for node in self.membership.of_group(group)}
        return {node: member for node, member in seen.items() if isinstance(member, Member)}

    def node_read_at(self, _node: NodeId) -> SeenTime | None:
        """Return when the node was last read: now."""
        return SeenTime(self.now)
