"""`agbot shadow`: where the real agbot's decisions differ from the coordinator's."""

from __future__ import annotations

from typing import Final

import click
from rich.console import Console

from agbot.cli import journal, options, screen
from agbot.cli.client import Client
from agbot.console import api
from agbot.coordinator.contract import Overview
from agbot.coordinator.operators.history import HistoryView
from agbot.events.shadow import ShadowDiffers

_SHOWN: Final = 20


@click.command("shadow")
@journal.group
@journal.node
@journal.since
@click.option("--limit", type=click.IntRange(min=1), default=_SHOWN, show_default=True, help="Only this many.")
@options.org
@options.url
@options.as_json
def shadow(
    *, group: str | None, node: str | None, since: str | None, limit: int, org: str | None, url: str, as_json: bool
) -> None:
    """Show where the real agbot's decisions differ from the coordinator's, newest first.

    A daemon in shadow mode journals each of them, with both reasons.
    """
    client = Client(url=url)
    query = journal.query(client, group, node, since, org, ShadowDiffers.name)
    if as_json:
        screen.print_json({"entries": [raw for _, raw in journal.newest_first(client, query, limit)]})
        return
    overview = client.read(api.OVERVIEW)  # of the leader, as the journal is
    _write(screen.console(), [entry for entry, _ in journal.newest_first(client, query, limit)], overview)


def _write(out: Console, entries: list[HistoryView], overview: Overview) -> None:
    for each in entries:
        screen.say(out, (screen.moment(each.at), "bold"), f"  {each.group or ''}", indent=2)
        for label, text in (("agbot:", each.what), ("here:", each.why)):
            screen.labelled(out, label, text)
        out.print()
    if overview.mode != "shadow":
        out.print("this coordinator does not run in shadow mode: agbot run --mode shadow")
    elif not entries and not overview.compared:
        out.print("nothing to compare yet: no upgrade has begun, and no node has waited for three minutes")
    else:
        done = f"compared {overview.compared} decisions of the agbot since the start"
        screen.say(out, f"{done}; the coordinator decided {overview.differs} of them differently")
