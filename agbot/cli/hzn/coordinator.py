"""What the coordinator knows of groups, if one is reachable.

These commands work without it, so they hardly wait.
"""

from __future__ import annotations

from agbot.cli.client import Client
from agbot.cli.failure import Failure
from agbot.console import api
from agbot.coordinator.contract import GroupView
from agbot.rules import ids
from agbot.rules.ids import GroupId

_SECONDS = 2.0
"""Without a coordinator the connection is refused at once; one that hangs must not delay the
command."""


def view_of(group: GroupId, url: str) -> GroupView | None:
    """Return the group; None if no coordinator is reachable, or it does not know the group."""
    try:
        return _client(url).read(api.GROUP, ids.org_of(group), ids.name_of(group))
    except Failure:
        return None


def views(url: str) -> dict[GroupId, GroupView] | None:
    """Return all groups; None if no coordinator is reachable."""
    try:
        return {view.id: view for view in _client(url).read(api.GROUPS).groups}
    except Failure:
        return None


def _client(url: str) -> Client:
    return Client(url=url, seconds=_SECONDS)
