"""What the coordinator knows of groups, where one is reachable. These commands work without it, so it is not waited for."""

from __future__ import annotations

import msgspec

from agbot.cli.client import Client, decode
from agbot.cli.failure import Failure
from agbot.coordinator.contract import GroupView
from agbot.rules import ids
from agbot.rules.ids import GroupId

_SECONDS = 2.0
"""A hub without a coordinator answers at once; one that hangs must not keep a person waiting."""


class _Groups(msgspec.Struct):
    groups: list[GroupView]


def view_of(group: GroupId, url: str) -> GroupView | None:
    """Ask about a group; None when no coordinator is reachable, or it does not know the group."""
    try:
        content = _client(url).get("v1", "groups", ids.org_of(group), ids.name_of(group))
        return decode(content, GroupView, url)
    except Failure:
        return None


def views(url: str) -> dict[GroupId, GroupView] | None:
    """Ask about all groups; None when no coordinator is reachable."""
    try:
        return {view.id: view for view in decode(_client(url).get("v1", "groups"), _Groups, url).groups}
    except Failure:
        return None


def _client(url: str) -> Client:
    return Client(url=url, seconds=_SECONDS)
