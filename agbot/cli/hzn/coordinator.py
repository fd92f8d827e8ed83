"""What the coordinator knows of groups, if one is reachable.

These commands work without it, so they hardly wait.
"""

from __future__ import annotations

import msgspec

from agbot.cli.client import Client, decode
from agbot.cli.failure import Failure
from agbot.coordinator.contract import GroupView
from agbot.rules import ids
from agbot.rules.ids import GroupId

_SECONDS = 2.0
"""Without a coordinator the connection is refused at once; one that hangs must not delay the
command."""


class _Groups(msgspec.Struct):
    groups: list[GroupView]


def view_of(group: GroupId, url: str) -> GroupView | None:
    """Return the group; None if no coordinator is reachable, or it does not know the group."""
    try:
        content = _client(url).get("v1", "groups", ids.org_of(group), ids.name_of(group))
        return decode(content, GroupView, url)
    except Failure:
        return None


def views(url: str) -> dict[GroupId, GroupView] | None:
    """Return all groups; None if no coordinator is reachable."""
    try:
        return {view.id: view for view in decode(_client(url).get("v1", "groups"), _Groups, url).groups}
    except Failure:
        return None


def _client(url: str) -> Client:
    return Client(url=url, seconds=_SECONDS)
