"""Whether a node is still in a group; a node that was not read counts as present."""

from __future__ import annotations

from agbot.rules.facts import Node, Sight
from agbot.rules.ids import GroupId


def why_absent(node: Node | Sight, group: GroupId) -> str | None:
    """Say why the node is no longer in the group; None if it is, or nothing is known."""
    if node is Sight.UNREAD:
        return None
    if isinstance(node, Sight):
        return "the node is gone"
    return None if node.group == group else "the node has left the group"
