"""The history over the API: what happened, who did it, why, and on which facts. From the store, as the journal is."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from agbot.console import parts, replies
from agbot.console.showing import bad_input, journal_query, number
from agbot.coordinator import history as words
from agbot.events.names import EVENTS


async def history(request: web.Request) -> web.Response:
    """Tell what happened, the newest first; `?before=ID` reads on, `?after=ID` tells in order what came after an entry."""
    wanted = replace(
        journal_query(request),
        org=request.query.get("org"),
        events=_events(request),
        before=number(request, "before", least=1),
    )
    found = await parts.of(request).operations.journal(wanted)
    return replies.json({"entries": [words.view(entry) for entry in found]})


def _events(request: web.Request) -> tuple[str, ...]:
    kinds = [kind for given in request.query.getall("event", []) for kind in given.split(",")]
    try:
        return words.events_of(kinds) if kinds else words.ORDINARY
    except LookupError as error:
        nouns = ", ".join(dict.fromkeys(name.partition(".")[0] for name in EVENTS))
        raise bad_input(
            request, f'event="{error.args[0]}" is no kind of event', f"use a name of docs/events.md, or one of {nouns}"
        ) from error
