"""What the coordinator knows of groups, if one is reachable.

These commands work without it, so they hardly wait.
"""

from __future__ import annotations

from datetime import datetime

from agbot.cli.client import Client
from agbot.cli.failure import Failure
from agbot.console import api
from agbot.console.api import Answer, Endpoint
from agbot.coordinator.contract import GroupView
from agbot.rules import ids
from agbot.rules.ids import GroupId

_SECONDS = 2.0
"""Without a coordinator the connection is refused at once; one that hangs must not delay the
command."""


def view_of(group: GroupId, url: str) -> GroupView | None:
    """Return the group; None if no coordinator is reachable, or it does not know the group."""
    return _read(_client(url), api.GROUP, ids.org_of(group), ids.name_of(group))


def views(url: str) -> tuple[dict[GroupId, GroupView] | None, datetime]:
    """Return all groups, and the coordinator's time; if none is reachable, None and our own."""
    client = _client(url)
    found = _read(client, api.GROUPS)
    return None if found is None else {view.id: view for view in found.groups}, client.now()


def _client(url: str) -> Client:
    return Client(url=url, seconds=_SECONDS)


def _read(client: Client, endpoint: Endpoint[Answer], *names: str) -> Answer | None:
    try:
        return client.read(endpoint, *names)
    except Failure:  # whatever it is: the Exchange alone decides, and the warning says what is unknown
        return None
