"""`agbot history --follow`: the journal as it grows, by the id of the last entry that was shown.

So a lost connection, a restart or another leader loses nothing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

import click

from agbot.cli import journal, screen
from agbot.cli.client import Client
from agbot.cli.journal import Read
from agbot.cli.outages import waited_out
from agbot.foreign_text import escaped_json

SHOWN: Final = 10
"""Entries of before that are shown first."""
_LOOK_SECONDS: Final = 1.0


def follow(client: Client, query: Mapping[str, Any], limit: int | None, *, as_json: bool) -> None:
    """Show the newest entries that match, oldest first, and then each new one, until Ctrl-C.

    Raises:
        Failure: the first answer is an error; later ones are waited out.
    """
    newest, first = journal.newest_id(client), list(journal.newest_first(client, query, limit or SHOWN))
    after = max((newest, *(entry.id for entry, _ in first)))
    try:
        _show(reversed(first), as_json=as_json)
        while True:
            newest, found = waited_out(partial(_look, client, {**query, "after": after}))
            _show(found, as_json=as_json)
            if len(found) == journal.MOST:
                after = found[-1][0].id
                continue
            # Not the last match: with a filter that may be months old, and each look would go
            # through everything after it. It may be less than before: a backup has replaced the
            # store, and what happens now has lower ids.
            after = max((newest, *(entry.id for entry, _ in found)))
            time.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        return


def _look(client: Client, query: Mapping[str, Any]) -> tuple[int, list[Read]]:
    """Return the newest id of all, and the entries that match.

    In this order: what is written between the two reads is found by this look or the next.
    """
    return journal.newest_id(client), journal.page(client, query, journal.MOST)


def _show(found: Iterable[Read], *, as_json: bool) -> None:
    out = screen.console()
    for entry, raw in found:
        if as_json:
            click.echo(escaped_json(json.dumps(raw, ensure_ascii=False)))
            continue
        who = f", by {entry.by}" if entry.by else ""
        why = f": {entry.why}" if entry.why else ""
        head = (f"{screen.moment(entry.at)}  ", "dim"), (f"{entry.group}  " if entry.group else "", "bold")
        screen.say(out, *head, f"{entry.what}{who}{why}", indent=4)
    sys.stdout.flush()
