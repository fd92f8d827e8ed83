"""Whether a read of a node has shown its next heartbeat and nothing else.

Most reads of nodes do. If each counted as a change of the group, the cost of a cycle would follow
the number of members.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from agbot.fleet.standstill import registration
from agbot.rules.facts import Node, Sight

_SILENCE = timedelta(minutes=2)
"""A heartbeat that comes this long after the one before is news: the node may have been offline."""
_USUAL_INTERVAL = timedelta(minutes=2)
"""The longest interval of an agent by default, where the node itself names none."""
_LATE = timedelta(seconds=15)
"""So late a heartbeat may be without a pause: agents repeat every 10 s what was not accepted."""


def is_only_next(before: Node | Sight, after: Node | Sight) -> bool:
    """Whether nothing but the time of the last heartbeat has changed, and that by little."""
    if isinstance(before, Sight) or isinstance(after, Sight):
        return False
    if before.heartbeat_at is None or after.heartbeat_at is None or not (before.is_dated and after.is_dated):
        return False
    # abs: with an old copy a heartbeat goes back
    is_soon = abs(after.heartbeat_at - before.heartbeat_at) < _SILENCE
    return is_soon and _without_heartbeat(before) == _without_heartbeat(after)


def back_since(before: Node | Sight, after: Node, unread_for: timedelta) -> datetime | None:
    """Return the first heartbeat of a node after its last longer pause; None if none was seen.

    `unread_for` is the time since the read before: heartbeats of that time may not have been seen.
    """
    if not isinstance(before, Node) or before.heartbeat_at is None or after.heartbeat_at is None:
        return None
    interval = timedelta(seconds=after.heartbeat_interval_seconds) or _USUAL_INTERVAL
    # the heartbeats of the time between two reads are not seen, so that time is no pause of the
    # node
    pause = after.heartbeat_at - before.heartbeat_at - max(unread_for, timedelta())
    return after.heartbeat_at if pause > interval + _LATE else before.back_at


def _without_heartbeat(node: Node) -> tuple[object, ...]:
    return (node.group, node.unseen_until, node.silent_before, *registration(node))
