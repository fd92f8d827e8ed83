"""Which nodes have joined a group lately, and whether their service went down at about that time.

The feed shows an agbot that an agreement has ended, but not that a new one was made. So the ends of
the agreements of all nodes are kept for ten minutes: any node may join in the middle of its
upgrade.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from agbot.rules.ids import NodeId

_KEPT = timedelta(minutes=10)
_ENDS_WITHIN = timedelta(seconds=15)
"""An agbot cancels an agreement in its own list first, and the node follows (measured: up to 10.5 s
later)."""


class Arrivals:
    """Joins and ended agreements by node, the oldest first."""

    def __init__(self) -> None:
        self._joined_at: dict[NodeId, datetime] = {}
        self._lost_at: dict[NodeId, datetime] = {}
        self._new: dict[NodeId, None] = {}
        self._new_losses: dict[NodeId, datetime] = {}
        self._dropped: list[NodeId] = []

    def join(self, node: NodeId, at: datetime) -> None:
        """Note that a node is in a group in which it was not before."""
        self._dropped += _renew(self._joined_at, node, at)
        self._new[node] = None

    def leave(self, node: NodeId) -> None:
        """Note that a node is in no group."""
        self._joined_at.pop(node, None)
        self._new.pop(node, None)

    def note_loss(self, node: NodeId, at: datetime) -> None:
        """Note that an agreement of a node has ended."""
        # the feed may show an earlier row later, and a new one that runs since then fills no later
        # gap
        if node in self._lost_at and at <= self._lost_at[node]:
            return
        self._new_losses[node] = at
        self._dropped += _renew(self._lost_at, node, at)

    def forget_loss(self, node: NodeId) -> None:
        """Forget an end that was no upgrade: the node was unregistered, or is another one."""
        self._lost_at.pop(node, None)
        self._new_losses.pop(node, None)

    def lost_at(self, node: NodeId) -> datetime | None:
        """Return when an agreement of a node ended that joined about then, otherwise None."""
        joined, lost = self._joined_at.get(node), self._lost_at.get(node)
        if joined is None or lost is None:
            return None
        # in the ten minutes before it joined, or a moment after: the agbot cancels an agreement in
        # its own list first, and the node follows
        return lost if -_ENDS_WITHIN <= joined - lost <= _KEPT else None

    def joined_at(self, node: NodeId) -> datetime | None:
        """Return when a node joined its group, None if that was not lately."""
        return self._joined_at.get(node)

    def ended_at(self, node: NodeId) -> datetime | None:
        """Return when an agreement of a node last ended, None if that was not lately."""
        return self._lost_at.get(node)

    def joined_without_service(self) -> tuple[NodeId, ...]:
        """Return the nodes whose service went down when they joined."""
        return tuple(node for node in self._joined_at if self.lost_at(node) is not None)

    def date_stepped(self, step: timedelta) -> None:
        """Move all times by the step of our clock."""
        for moments in (self._joined_at, self._lost_at, self._new_losses):
            moments.update({node: at + step for node, at in moments.items()})

    def take_new(self) -> tuple[NodeId, ...]:
        """Return the nodes that have joined since the last call."""
        found = tuple(self._new)
        self._new.clear()
        return found

    def take_dropped(self) -> list[NodeId]:
        """Return the nodes of which an entry has expired since the last call."""
        found, self._dropped = self._dropped, []
        return found

    def take_losses(self) -> dict[NodeId, datetime]:
        """Return the nodes whose agreement has ended since the last call, and when."""
        found, self._new_losses = self._new_losses, {}
        return found


def _renew(moments: dict[NodeId, datetime], node: NodeId, at: datetime) -> list[NodeId]:
    """Move the node to the end, remove the entries that are too old, and return their nodes."""
    moments.pop(node, None)
    moments[node] = at
    dropped: list[NodeId] = []
    while at - moments[oldest := next(iter(moments))] > _KEPT:
        del moments[oldest]
        dropped.append(oldest)
    return dropped
