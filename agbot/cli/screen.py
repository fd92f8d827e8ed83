"""How commands write: tables and colours on a terminal, aligned text when piped, and never a control character that came from outside."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import click
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agbot.coordinator.contract import LeaseView
from agbot.foreign_text import escaped_json

_MINUTE = 60
_HOUR = 3600
_DAY = 86400


def console() -> Console:
    """Return standard output. Lines are as long as they are: the terminal wraps them, and a pipe gets them whole."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def print_answer(content: bytes) -> None:
    """Write the coordinator's own answer, indented."""
    print_json(json.loads(content))


def print_json(value: object) -> None:
    """Write JSON for programs; a terminal that it lands on has nothing to obey."""
    click.echo(json_text(value))


def json_text(value: object) -> str:
    """Return indented JSON with letters as they are, and what is not printable escaped."""
    return escaped_json(json.dumps(value, ensure_ascii=False, indent=2))


def clean(text: str) -> str:
    """Replace what is not printable: names come from other people's machines, and a terminal obeys escape sequences."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def table(out: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write rows under headings: ruled on a terminal that is wide enough, else in aligned lines that one can cut and grep."""
    cleaned = [[clean(cell) for cell in row] for row in rows]
    widths = [max(cell_len(line[column]) for line in (headings, *cleaned)) for column in range(len(headings))]
    if out.is_terminal and sum(widths) + 2 * len(widths) <= out.width:
        drawn = Table(*headings, box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
        for row in cleaned:
            drawn.add_row(*(Text(cell) for cell in row))
        out.print(drawn, soft_wrap=False)
        return
    for line in (headings, *cleaned):
        out.print(
            Text("  ".join(set_cell_size(cell, width) for cell, width in zip(line, widths, strict=True)).rstrip())
        )


def marks() -> tuple[str, str]:
    """Return the marks for yes and no that this terminal can show."""
    try:
        "✓✗".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "+", "-"
    return "✓", "✗"


def moment(at: datetime | None) -> str:
    """Write a time as the logs do, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}" if at else ""


def span(seconds: float) -> str:
    """Write a duration for people: 12 s, 3 min 5 s, 2 h 10 min, 3 d 4 h."""
    whole = int(max(seconds, 0))
    for unit, name, smaller, smaller_name in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit} {name} {rest} {smaller_name}" if rest else f"{whole // unit} {name}"
    return f"{whole} s"


def ago(at: datetime | None, now: datetime) -> str:
    """Write how long ago something was."""
    return f"{span((now - at).total_seconds())} ago" if at else ""


def span_since(at: datetime, now: datetime) -> str:
    """Write how long something has been so."""
    return span((now - at).total_seconds())


def lease(shown: LeaseView, now: datetime, *, with_state: bool = False) -> str:
    """Write a lease in a line: who holds it for what and how far it is, or how it ended last."""
    if shown.holder is None:
        free = "free" if with_state else ""
        if shown.last_holder is None:
            return free or "never held"
        ended = f"{shown.last_holder} ended {ago(shown.last_end_at, now)}: {shown.last_cause}"
        detail = f" ({shown.last_detail})" if shown.last_detail else ""
        return f"{free}; {ended}{detail}" if free else f"{ended}{detail}"
    state = f"{shown.state} " if with_state else ""
    status = f", reports {shown.status}" if shown.status else ""
    note = f"; {shown.note}" if shown.note else ""
    granted = ago(shown.granted_at, now)
    return f"{state}by {shown.holder} for {shown.kind} upgrade {shown.subject}, granted {granted}, token {shown.token}{status}{note}"
