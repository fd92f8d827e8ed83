"""Output of commands: tables on a terminal, aligned text in a pipe, no control characters.

On a terminal a line is broken between words only, and its rest is indented below its beginning. A
pipe gets whole lines.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agbot.cli import folding
from agbot.foreign_text import escaped_json
from agbot.rules.words import apart

if TYPE_CHECKING:
    from agbot.console.answers import Attention
    from agbot.coordinator.contract import LeaseView


_LEVELS: Final[Mapping[str, str]] = {"bad": "bold red", "warn": "yellow"}
_LABEL: Final = 10
_GAP: Final = 3
"""Columns between two cells of a table on a terminal: the padding and the place of a line."""
_FEWEST_COLUMNS: Final = 24
"""A text is not made narrower than this: a terminal that is narrower breaks it itself."""


def console() -> Console:
    """Return standard output, for `say`, `labelled` and `table`."""
    # names have brackets and colons of their own, which rich would take for markup and emoji
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def say(out: Console, *parts: str | tuple[str, str] | Text, indent: int = 0) -> None:
    """Print a line of parts, each a text or a text with its style.

    `indent` is where its further lines begin on a terminal. Texts are cleaned.
    """
    cleaned = [
        each if isinstance(each, Text) else clean(each) if isinstance(each, str) else (clean(each[0]), each[1])
        for each in parts
    ]
    text = Text.assemble(*cleaned)
    if not out.is_terminal:  # rich would break it at 80 columns, and a script would not find it
        out.out(text.plain, highlight=False)
        return
    if text.cell_len <= out.width:
        out.print(text)
        return
    for number, line in enumerate(text.divide(_breaks(text.plain, out.width, indent))):
        line.rstrip()
        room = max(out.width - line.cell_len, 0)  # a long word begins further to the left
        out.print(Text.assemble(" " * min(indent, room) if number else "", line))


def _breaks(text: str, width: int, indent: int) -> list[int]:
    """Return where lines begin; a word that is longer than a line stays whole."""
    breaks, left = list[int](), width
    for word in re.finditer(r"\s*\S+\s*", text):
        if cell_len(word[0].rstrip()) > left < width:
            breaks.append(word.start())
            left = max(width - indent, _FEWEST_COLUMNS)
        left -= cell_len(word[0])
    return breaks


def item(out: Console, shown: Attention) -> None:
    """Print what a person should know."""
    title = f"{shown.level.upper()}: {shown.title}" if shown.needs_a_person else shown.title
    joint = ". " if shown.text[:1].isupper() else ": "
    say(out, (title, _LEVELS.get(shown.level, "")), f"{joint}{shown.text}", indent=2)


def lack(out: Console, text: str) -> None:
    """Print what is missing of an answer, if anything is."""
    if text:
        say(out, (text, "yellow"), indent=2)


def labelled(out: Console, label: str, text: str | Text, style: str = "", *, width: int = _LABEL) -> None:
    """Print a text behind its label, below a heading."""
    say(out, "  ", (label.ljust(width), style), text, indent=width + 2)


def print_answer(content: bytes) -> None:
    """Print the coordinator's own answer, indented."""
    print_json(json.loads(content))


def print_result(content: Mapping[str, object], text: str, *, as_json: bool) -> None:
    """Print what a command has done, for programs or for people; a text may have several lines."""
    if as_json:
        print_json(content)
    else:
        folding.say("\n".join(clean(line) for line in text.split("\n")))


def print_json(value: object) -> None:
    """Print JSON without control characters."""
    click.echo(json_text(value))


def json_text(value: object) -> str:
    """Return indented JSON; only what is not printable is escaped."""
    return escaped_json(json.dumps(value, ensure_ascii=False, indent=2))


def clean(text: str) -> str:
    """Replace what is not printable: a terminal would execute escape sequences in names."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def table(out: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under headings: aligned lines in a pipe, and on a terminal a table.

    If that is too wide, each row is printed below its first cell, which names it.
    """
    cleaned = [[clean(cell) for cell in row] for row in rows]
    widths = [max(cell_len(line[column]) for line in (headings, *cleaned)) for column in range(len(headings))]
    if not out.is_terminal:
        # by columns and not by characters, of which some are two columns wide
        lines = (map(set_cell_size, line, widths) for line in (headings, *cleaned))
        out.out("\n".join("  ".join(line).rstrip() for line in lines), highlight=False)
    elif sum(widths) + _GAP * (len(widths) - 1) <= out.width:
        drawn = Table(*headings, box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
        for row in cleaned:
            drawn.add_row(*(Text(cell) for cell in row))
        out.print(drawn, soft_wrap=False)
    else:
        width = max(_LABEL, *(len(heading) + 2 for heading in headings[1:]))
        for name, *cells in cleaned:
            say(out, (name, "bold"))
            for heading, cell in zip(headings[1:], cells, strict=True):
                if cell:
                    labelled(out, heading.lower(), cell, width=width)


def marks() -> tuple[str, str]:
    """Return the marks for yes and no that this terminal can show."""
    try:
        "✓✗".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "+", "-"
    return "✓", "✗"


def moment(at: datetime | None) -> str:
    """Format a time in this machine's zone, with the zone's name, to the second."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S %Z}" if at else ""


def short_moment(at: datetime, now: datetime) -> str:
    """Format a time to the minute, with its date unless it is today."""
    own = at.astimezone()
    return f"{own:%H:%M %Z}" if own.date() == now.astimezone().date() else f"{own:%Y-%m-%d %H:%M %Z}"


def ago(at: datetime | None, now: datetime) -> str:
    """Format the time since something."""
    return f"{apart(at, now)} ago" if at else ""


def lease(shown: LeaseView, now: datetime, *, with_state: bool = False) -> str:
    """Describe a lease in one line: its holder, upgrade and progress, or how it ended last."""
    if shown.holder is None:
        free = "free" if with_state else ""
        if shown.last_holder is None:
            return free or "never held"
        ended = f"{shown.last_holder} ended {ago(shown.last_end_at, now)}: {shown.last_cause}"
        detail = f" ({shown.last_detail})" if shown.last_detail else ""
        rests = f"; the group rests until {short_moment(shown.rests_until, now)}" if shown.rests_until else ""
        return f"{free}; {ended}{detail}{rests}" if free else f"{ended}{detail}{rests}"
    state = f"{shown.state} " if with_state else ""
    status = f", reports {shown.status}" if shown.status else ""
    note = f"; {shown.note}" if shown.note else ""
    begun = f"{'begun unasked' if shown.is_unasked else 'granted'} {ago(shown.granted_at, now)}"
    after = f"; next: {next_of(shown, now)}" if shown.next else ""
    upgrade = f"{shown.kind} upgrade {shown.subject}"
    return f"{state}by {shown.holder} for {upgrade}, {begun}, token {shown.token}{status}{note}{after}"


def next_of(shown: LeaseView, now: datetime) -> str:
    """Write what becomes of a lease, and when, if nothing new is seen of its holder."""
    if shown.next is None:
        return ""
    return f"{next_and_when(shown, now)}{shown.next.brake}{', ' if shown.next.at else ': '}{shown.next.unless}"


def next_and_when(shown: LeaseView, now: datetime) -> str:
    """Write what becomes of a lease, and when, in a few words."""
    return f"{shown.next.then} {shown.next.when(now)}".rstrip() if shown.next is not None else ""
