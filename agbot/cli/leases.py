"""`agbot leases`: the leases and their holders."""

from __future__ import annotations

from datetime import datetime

import click

from agbot.cli import options, screen
from agbot.cli.client import Client
from agbot.console import api
from agbot.coordinator.contract import LeaseView


@click.command("leases")
@click.option("--all", "show_all", is_flag=True, help="Show free leases too, with their last end.")
@options.url
@options.as_json
def leases(show_all: bool, url: str, as_json: bool) -> None:
    """List the leases.

    NEXT is what becomes of a lease, and when, if nothing new is seen of its holder; `agbot status`
    also says what would change that.
    """
    client = Client(url=url)
    content = client.get(api.LEASES, state=None if show_all else "held,suspect")
    if as_json:
        screen.print_answer(content)
        return
    found, out, now = client.decoded(content, api.LEASES), screen.console(), client.now()
    screen.lack(out, found.lack)
    if found.leases:
        headings = ("GROUP", "STATE", "TOKEN", "HOLDER", "UPGRADES", "GRANTED", "STATUS", "NEXT", "NOTE")
        screen.table(out, headings, [_row(each, now) for each in found.leases])
    else:
        out.print(f"none of {found.total} leases is held" if found.total else "no HA group is known")


def _row(lease: LeaseView, now: datetime) -> tuple[str, ...]:
    ended = (
        f"{lease.last_cause} {screen.ago(lease.last_end_at, now)}, {lease.last_holder}"
        if lease.last_cause
        else "never held"
    )
    return (
        lease.group,
        lease.state,
        str(lease.token),
        lease.holder or "",
        f"{lease.kind} {lease.subject}" if lease.subject else lease.what or "",
        screen.ago(lease.granted_at, now),
        lease.status,
        screen.next_and_when(lease, now),
        lease.note if lease.state != "free" else ended,
    )
