"""Entries of the journal for the commands that show it, read in pages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from agbot.cli import options, times
from agbot.cli.client import Client
from agbot.console.journal_api import HISTORY, JOURNAL
from agbot.coordinator.operators.history import HistoryView

MOST: Final = 250
"""An entry can have kilobytes of facts; pages of this size keep each answer small."""
Read = tuple[HistoryView, Any]
"""An entry, and its JSON as it came."""


group: Final = click.option("--group", help="Only this group.")
node: Final = click.option("--node", help="Only this node.")
since: Final = click.option(
    "--since",
    help="Only from then on: 2h, 3d, today, yesterday, 18:00, 2026-01-31, or a time such as 2026-01-31T18:00 (local) or …Z.",
)


def query(
    client: Client, group: str | None, node: str | None, since: str | None, org: str | None, *kinds: str
) -> dict[str, Any]:
    """Return the query for entries of a group, of a node, since a time, and of some kinds.

    Raises:
        click.UsageError: a name has no organisation, or `since` is no time of the past.
        Failure: the coordinator, by whose clock `since` is counted, does not answer.
    """
    return {
        "group": options.qualified_name(group, org, "group"),
        "node": options.qualified_name(node, org, "node"),
        "since": times.past(since, client.present(), "--since").isoformat() if since else None,
        "event": list(kinds),
    }


def page(client: Client, query: Mapping[str, Any], limit: int) -> list[Read]:
    """Read at most so many entries in one request."""
    content = client.get(HISTORY, **query, limit=min(limit, MOST))
    return list(zip(client.decoded(content, HISTORY).entries, json.loads(content)["entries"], strict=True))


def newest_id(client: Client) -> int:
    """Return the id of the newest entry of any kind; 0 if there is none."""
    found = client.read(JOURNAL, limit=1).entries
    return found[0].id if found else 0


def newest_first(client: Client, query: Mapping[str, Any], limit: int | None) -> Iterator[Read]:
    """Yield entries from the newest one back, all of them without a limit."""
    left, before = limit, dict[str, int]()
    while left is None or left > 0:
        wanted = MOST if left is None else min(MOST, left)
        found = page(client, {**query, **before}, wanted)
        yield from found
        if len(found) < wanted:  # a page that is not full is the last one
            return
        left = None if left is None else left - len(found)
        # by the id: entries that are written meanwhile would move every page that is counted
        before = {"before": found[-1][0].id}
