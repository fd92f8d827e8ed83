"""`agbot orders`: what operators have ordered, what failures have stopped, and the windows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import click
from rich.console import Console

from agbot.cli import options, screen
from agbot.cli.client import Client
from agbot.console import api
from agbot.coordinator.listings import Orders, WindowView
from agbot.rules import words
from agbot.rules.records import Allowance, Approval

_Line = tuple[str, str]
"""The kind of an order, and the order in words."""


@click.command("orders")
@options.url
@options.as_json
def orders(url: str, as_json: bool) -> None:
    """List holds, allowances, approvals and brakes, and the maintenance windows.

    `agbot resume` ends a hold or a brake. `agbot allow --withdraw` and `agbot approve --withdraw`
    take an allowance or an approval back.
    """
    client = Client(url=url)
    content = client.get(api.ORDERS)
    if as_json:
        screen.print_answer(content)
        return
    found = client.decoded(content, api.ORDERS)
    out = screen.console()
    screen.lack(out, found.lack)
    _write(out, [*_lines(found), *_of_settings(found, client.now())])


def _write(out: Console, found: list[_Line]) -> None:
    """Print orders, one below the other."""
    width = max((len(kind) for kind, _ in found), default=0)
    for kind, text in found:
        screen.say(out, (kind.ljust(width), "bold"), "  ", text, indent=width + 2)
    if not found:
        screen.say(out, "nothing is on hold, allowed, approved or stopped, and no windows are configured")


def _lines(found: Orders) -> Iterator[_Line]:
    """Yield what operators have ordered."""
    for hold in found.holds:
        until = f" until {screen.moment(hold.until)}" if hold.until else ""
        yield "hold", f"{words.scope(hold.scope)}{until}, {_by(hold.by, hold.since, hold.why)}"
    for allowance in found.allowances:
        yield "allowance", _in_words(allowance)
    for approval in found.approvals:
        yield "approval", _in_words(approval)
    for each in found.awaited:
        where = each.example if each.groups == 1 else f"{each.groups} groups such as {each.example}"
        yield "awaited", f"approval of {each.subject} ({each.kind}), for which members wait in {where}"


def _in_words(order: Allowance | Approval) -> str:
    """Write an allowance or an approval in one line."""
    if isinstance(order, Allowance):
        what = f"{order.node}, {order.subject or 'its next upgrade'}, until {screen.moment(order.until)}"
    else:
        what = f"{order.subject} ({order.kind}) in {words.scope(order.scope)}"
    return f"{what}, {_by(order.by, order.since, order.why)}"


def _of_settings(found: Orders, now: datetime) -> Iterator[_Line]:
    for brake in found.brakes:
        failed = f"{brake.cause} on {brake.node} {screen.ago(brake.since, now)}"
        yield "brake", f"{brake.subject} ({brake.kind}) in {brake.group}: {failed}"
    for window in found.windows:
        yield "windows", _window(window)


def _window(window: WindowView) -> str:
    state, change = ("open", "closes") if window.is_open else ("closed", "opens")
    changes = f", {change} {screen.moment(window.changes_at)}" if window.changes_at else ""
    groups = window.example if window.groups == 1 else f"{window.groups} groups such as {window.example}"
    return f"{'; '.join(window.windows)}: {state}{changes} ({groups})"


def _by(who: str, since: datetime, why: str) -> str:
    return f"by {who} at {screen.moment(since)}: {why}"
