"""The names of MQTT topics. Pure.

The names of organisations and groups may have any characters, and each name is exactly one level of
a topic. What would end a level, is a wildcard, or is refused by brokers (NUL, control characters,
non-characters) is percent-encoded, and so is `%` itself. So two names never share a topic, and a
topic identifies its group.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from agbot.rules.ids import GroupId, NodeId, group_id, name_of, node_id, org_of

_RESERVED = frozenset("/+#%")


class Topics:
    """The topics with one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.status = f"{prefix}/status"
        self.all_states = f"{prefix}/+/+/state"
        """A filter for the states of all groups."""
        self.all_busy = f"{prefix}/+/+/busy"
        """A filter for what nodes say about themselves."""

    def event(self, group: GroupId | None) -> str:
        """Return the topic of a group's events, or of events without a group."""
        return f"{self._prefix}/event" if group is None else f"{self._of(group)}/event"

    def state(self, group: GroupId) -> str:
        """Return the topic of a group's state."""
        return f"{self._of(group)}/state"

    def group_of(self, topic: str) -> GroupId:
        """Return the group of a topic of states or events."""
        org, name, _ = topic.removeprefix(f"{self._prefix}/").split("/")
        return group_id(unquote(org), unquote(name))

    def busy(self, node: NodeId) -> str:
        """Return the topic of what a node says about itself."""
        return f"{self._of(node)}/busy"

    def busy_node(self, topic: str) -> NodeId | None:
        """Return the node of a topic of busy nodes; None for any other topic.

        `busy` does not lead back to each such topic: `%41` names the same node as `A`.
        """
        org, name, what = topic.removeprefix(f"{self._prefix}/").split("/")
        return node_id(unquote(org), unquote(name)) if what == "busy" else None

    def _of(self, named: GroupId | NodeId) -> str:
        return f"{self._prefix}/{_element(org_of(named))}/{_element(name_of(named))}"


def _element(name: str) -> str:
    """Return a name as one level of a topic."""
    return "".join(quote(each, safe="") if each in _RESERVED or not each.isprintable() else each for each in name)
