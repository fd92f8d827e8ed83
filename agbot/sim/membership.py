"""The observer's own record of groups, node types and last heartbeats, made from writes.

Times are those of the simulation's clock, not of the Exchange's stamps, so an Exchange whose clock
is off has no effect here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_NEVER = datetime.min.replace(tzinfo=UTC)
_SILENCE_SECONDS = 60.0


@dataclass(slots=True)
class _Known:
    group: str = ""
    is_cluster: bool = False
    seen_at: datetime = _NEVER
    stamp: str | None = None
    back_at: datetime = _NEVER
    """When it was last seen again after a silence, and for how long that had lasted."""
    was_silent_seconds: float = 0.0


class Membership:
    """Nodes are `org/id`, groups `org/name`; no group is the empty string."""

    def __init__(self) -> None:
        """Start without nodes."""
        self._nodes: dict[str, _Known] = {}
        self._groups: dict[str, set[str]] = {}

    def update(self, node: str, doc: Mapping[str, Any], seen_at: datetime | None) -> None:
        """Record a node as the Exchange shows it; `seen_at` is None if it shows the past."""
        known = self._nodes.setdefault(node, _Known())
        org = node.partition("/")[0]
        self._move(node, known, f"{org}/{doc['ha_group']}" if doc["ha_group"] else "")
        known.is_cluster = doc["nodeType"] == "cluster"
        if doc["lastHeartbeat"] != known.stamp:
            known.stamp, known.seen_at = doc["lastHeartbeat"], seen_at or known.seen_at

    def delete(self, node: str) -> None:
        """Remove a node."""
        known = self._nodes.pop(node, None)
        if known is not None:
            self._move(node, known, "")

    def heartbeat(self, node: str, now: datetime) -> None:
        """Record a heartbeat."""
        known = self._nodes.get(node)
        if known is not None:
            silent_seconds = (now - known.seen_at).total_seconds()
            if silent_seconds >= _SILENCE_SECONDS:
                known.back_at, known.was_silent_seconds = now, silent_seconds
            known.seen_at = now

    def group_of(self, node: str) -> str:
        """Return the group of a node."""
        known = self._nodes.get(node)
        return known.group if known else ""

    def is_cluster(self, node: str) -> bool:
        """Return whether a node is of type cluster."""
        known = self._nodes.get(node)
        return known is not None and known.is_cluster

    def peers(self, node: str) -> list[str]:
        """Return the other members of a node's group."""
        return sorted(self._groups.get(self.group_of(node), set()) - {node})

    def silent_seconds(self, node: str, now: datetime, *, lately_seconds: float = 0.0) -> float:
        """Return the seconds since a node was last seen, infinite for an unknown node.

        One that has come back `lately` counts as if it had not.
        """
        known = self._nodes.get(node)
        if known is None:
            return float("inf")
        back_seconds = (now - known.back_at).total_seconds()
        if back_seconds < lately_seconds:
            return known.was_silent_seconds + back_seconds
        return (now - known.seen_at).total_seconds()

    def _move(self, node: str, known: _Known, group: str) -> None:
        if known.group != group:
            self._groups.get(known.group, set()).discard(node)
            known.group = group
            if group:
                self._groups.setdefault(group, set()).add(node)
