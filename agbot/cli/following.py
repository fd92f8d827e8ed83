"""`agbot history --follow`: the journal as it grows, by the id of the last entry that was shown.

So a lost connection, a restart or another leader loses nothing.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final
from urllib.parse import urlencode

import click
import msgspec
from rich.console import Console

from agbot.cli import screen
from agbot.cli.client import Client, decode
from agbot.cli.failure import Exit, Failure
from agbot.coordinator.operators.history import HistoryView
from agbot.foreign_text import escaped, escaped_json

SHOWN: Final = 10
"""Entries of before that are shown first."""
_LOOK_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 2.0
_MOST: Final = 250


class Page(msgspec.Struct):
    """An answer of `/v1/history`."""

    entries: list[HistoryView]


def follow(client: Client, query: dict[str, Any], limit: int | None, *, as_json: bool) -> None:
    """Show the newest entries that match, oldest first, and then each new one, until Ctrl-C.

    Raises:
        Failure: the first answer is an error; later ones are waited out.
    """
    out = screen.console()
    newest = _page(client, {"limit": 1})[1]
    first, last_id = _page(client, {**query, "limit": min(limit or SHOWN, _MOST)})
    after = max(newest, last_id)
    try:
        _show(out, first, as_json=as_json, reverse=True)
        while True:
            found, last_id = _next(client, {**query, "after": after, "limit": _MOST})
            _show(out, found, as_json=as_json)
            after = max(after, last_id)
            if len(json.loads(found)["entries"]) < _MOST:
                time.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        return


def _next(client: Client, query: dict[str, Any]) -> tuple[bytes, int]:
    """Return what came after an entry.

    While the coordinator cannot answer, say so once and wait.
    """
    is_lost = False
    while True:
        try:
            found = _page(client, query)
        except Failure as failure:
            if failure.exit_code not in {Exit.UNREACHABLE, Exit.REFUSED}:
                raise
            if not is_lost:
                click.echo(f"agbot: {escaped(failure.problem)}; trying again", err=True)
            is_lost = True
            time.sleep(_AGAIN_SECONDS)
        else:
            if is_lost:
                click.echo("agbot: the coordinator answers again", err=True)
            return found


def _page(client: Client, query: dict[str, Any]) -> tuple[bytes, int]:
    """Return a page, and the highest id in it; 0 if it is empty."""
    content = client.get("v1", "history", query=f"?{urlencode(query, doseq=True)}")
    return content, max((each.id for each in decode(content, Page, client.url).entries), default=0)


def _show(out: Console, content: bytes, *, as_json: bool, reverse: bool = False) -> None:
    if as_json:
        raw = json.loads(content)["entries"]
        for each in reversed(raw) if reverse else raw:
            click.echo(escaped_json(json.dumps(each, ensure_ascii=False)))
        sys.stdout.flush()
        return
    entries = msgspec.json.decode(content, type=Page).entries
    for entry in reversed(entries) if reverse else entries:
        who = f", by {entry.by}" if entry.by else ""
        why = f": {entry.why}" if entry.why else ""
        head = (f"{screen.moment(entry.at)}  ", "dim"), (f"{entry.group}  " if entry.group else "", "bold")
        screen.say(out, *head, f"{entry.what}{who}{why}", indent=4)
