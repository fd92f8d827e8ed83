"""The names of MQTT topics. Pure.

Organisations and groups are called whatever their makers liked, and each name is exactly one element of a topic: what would end an
element, stand for other topics, or is refused by brokers (NUL, controls, non-characters) is percent-encoded, and so is `%` itself, so
that two names never share a topic and a topic gives its group back.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from agbot.rules.ids import GroupId, group_id, name_of, org_of

_RESERVED = frozenset("/+#%")


class Topics:
    """Every topic under one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.status = f"{prefix}/status"
        self.all_states = f"{prefix}/+/+/state"
        """A filter for the states of all groups."""

    def event(self, group: GroupId | None) -> str:
        """Name the topic of a group's events, or of those that belong to no group."""
        return f"{self._prefix}/event" if group is None else f"{self._of(group)}/event"

    def state(self, group: GroupId) -> str:
        """Name the topic of a group's state."""
        return f"{self._of(group)}/state"

    def group_of(self, topic: str) -> GroupId:
        """Return the group whose state or event topic this is."""
        org, name, _ = topic.removeprefix(f"{self._prefix}/").split("/")
        return group_id(unquote(org), unquote(name))

    def _of(self, group: GroupId) -> str:
        return f"{self._prefix}/{element(org_of(group))}/{element(name_of(group))}"


def element(name: str) -> str:
    """Write a name as one element of a topic."""
    return "".join(quote(sign, safe="") if sign in _RESERVED or not sign.isprintable() else sign for sign in name)
