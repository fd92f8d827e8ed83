"""`agbot leases`: who holds what."""

from __future__ import annotations

from datetime import datetime

import click
import msgspec

from agbot.cli import options, screen
from agbot.cli.client import Client, decode
from agbot.coordinator.contract import LeaseView


class _Leases(msgspec.Struct):
    leases: list[LeaseView]


@click.command("leases")
@click.option("--all", "show_all", is_flag=True, help="Show the free ones too, with how they ended last.")
@options.url
@options.as_json
def leases(show_all: bool, url: str, as_json: bool) -> None:
    """List the leases."""
    client = Client(url=url)
    content = client.get("v1", "leases")
    if as_json:
        screen.print_answer(content)
        return
    known = decode(content, _Leases, url).leases
    shown = [each for each in known if show_all or each.state != "free"]
    out = screen.console()
    now = client.now()
    if shown:
        headings = ("GROUP", "STATE", "TOKEN", "HOLDER", "UPGRADES", "GRANTED", "EXPIRES", "STATUS", "NOTE")
        screen.table(out, headings, [_row(each, now) for each in shown])
    else:
        out.print(f"none of {len(known)} leases is held" if known else "no HA group is known")


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
        _expiry(lease, now),
        lease.status,
        lease.note if lease.state != "free" else ended,
    )


def _expiry(lease: LeaseView, now: datetime) -> str:
    if lease.expires_at is None:
        return ""
    left = (lease.expires_at - now).total_seconds()
    return f"in {screen.span(left)}" if left > 0 else f"{screen.span(-left)} ago"
