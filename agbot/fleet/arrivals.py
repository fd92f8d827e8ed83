"""Who has joined a group lately, and whether its service went down about then.

The feed shows an agbot the end of a node's agreement, and nothing of the new one. So the ends are kept for a while, of every node there
is: one may join in the middle. What is kept here is what has happened in ten minutes, and nothing older.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from agbot.rules.ids import NodeId

_KEPT = timedelta(minutes=10)
_ENDS_WITHIN = timedelta(seconds=15)
"""An agbot cancels an agreement in its own list first, and the node follows (measured: up to 10.5 s later)."""


class Arrivals:
    """Joins and ended agreements by node, the oldest first."""

    def __init__(self) -> None:
        self._joined_at: dict[NodeId, datetime] = {}
        self._lost_at: dict[NodeId, datetime] = {}
        self._new: dict[NodeId, None] = {}
        self._new_losses: dict[NodeId, datetime] = {}

    def join(self, node: NodeId, at: datetime) -> None:
        """Take in that a node was seen in a group where it was not before."""
        _renew(self._joined_at, node, at)
        self._new[node] = None

    def leave(self, node: NodeId) -> None:
        """Take in that a node is in no group."""
        self._joined_at.pop(node, None)
        self._new.pop(node, None)

    def lose(self, node: NodeId, at: datetime) -> None:
        """Take in that an agreement of a node has ended; the feed repeats its last rows."""
        if node not in self._lost_at or self._lost_at[node] < at:
            self._new_losses[node] = at
        _renew(self._lost_at, node, at)

    def forgive(self, node: NodeId) -> None:
        """Forget an end that was no upgrade: the node was unregistered, or this is a new one of its name."""
        self._lost_at.pop(node, None)
        self._new_losses.pop(node, None)

    def lost_at(self, node: NodeId) -> datetime | None:
        """Return when an agreement of a node ended that joined at that time; None otherwise."""
        joined, lost = self._joined_at.get(node), self._lost_at.get(node)
        if joined is None or lost is None:
            return None
        return lost if -_ENDS_WITHIN <= joined - lost <= _KEPT else None

    def joined_at(self, node: NodeId) -> datetime | None:
        """Return when a node was seen to join its group, if that was lately."""
        return self._joined_at.get(node)

    def ended_at(self, node: NodeId) -> datetime | None:
        """Return when an agreement of a node last ended, if that was lately."""
        return self._lost_at.get(node)

    def came_down(self) -> tuple[NodeId, ...]:
        """Return the nodes whose service went down when they joined."""
        return tuple(node for node in self._joined_at if self.lost_at(node) is not None)

    def date_stepped(self, step: timedelta) -> None:
        """Let all moments move along with the date."""
        for moments in (self._joined_at, self._lost_at, self._new_losses):
            moments.update({node: at + step for node, at in moments.items()})

    def take_new(self) -> tuple[NodeId, ...]:
        """Return who has joined since this was last asked."""
        found = tuple(self._new)
        self._new.clear()
        return found

    def take_losses(self) -> dict[NodeId, datetime]:
        """Return whose agreement has ended since this was last asked, and when."""
        found, self._new_losses = self._new_losses, {}
        return found


def _renew(moments: dict[NodeId, datetime], node: NodeId, at: datetime) -> None:
    """Put it behind the others, and drop those that have become too old."""
    moments.pop(node, None)
    moments[node] = at
    while at - moments[oldest := next(iter(moments))] > _KEPT:
        del moments[oldest]
