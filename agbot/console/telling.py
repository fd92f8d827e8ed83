"""The history over the API: what happened, who did it, why, and on which facts. From the store, as the journal is."""

from __future__ import annotations

from aiohttp import web

from agbot.console import parts, replies
from agbot.console.showing import MOST_ENTRIES, bad_input, moment, number
from agbot.coordinator import history as words
from agbot.events.names import EVENTS
from agbot.rules.ids import GroupId, NodeId
from agbot.store.contract import JournalQuery


async def history(request: web.Request) -> web.Response:
    """Tell what happened, the newest first; `?before=ID` reads on, `?after=ID` tells in order what came after an entry."""
    query = request.query
    wanted = JournalQuery(
        org=query.get("org"),
        group=GroupId(query["group"]) if "group" in query else None,
        node=NodeId(query["node"]) if "node" in query else None,
        events=_events(request),
        since=moment(request, "since"),
        after=number(request, "after", least=0),
        before=number(request, "before", least=1),
        limit=min(number(request, "limit", least=1) or JournalQuery().limit, MOST_ENTRIES),
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
