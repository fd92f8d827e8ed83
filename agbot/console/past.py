"""Requests about the past: the journal, and the history, which is the journal in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from aiohttp import web

from agbot.console import parts, replies
from agbot.console.journal_api import History, Journal
from agbot.console.requests import bad_input, moment, not_found, number, unknown_org
from agbot.coordinator.listings import Noun
from agbot.coordinator.operators import history as words
from agbot.events.catalogue import EVENTS
from agbot.rules import ids
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.nearest import did_you_mean
from agbot.store.contract import Entry, JournalQuery

_MOST_ENTRIES: Final = 1000


async def journal(request: web.Request) -> web.Response:
    """Return events, the newest first; with `?after=ID` in order from there."""
    return replies.json(Journal(entries=await parts.of(request).operations.journal(_query(request))))


async def history(request: web.Request) -> web.Response:
    """Return the history, the newest first.

    `?before=ID` continues, `?after=ID` returns what came after an event, in order.
    """
    kinds = _kinds(request)
    wanted = replace(
        _query(request),
        org=request.query.get("org"),
        events=kinds,
        without=() if kinds else words.LEFT_OUT,  # `?event=lease.renewed` asks for what is left out
        before=number(request, "before", least=1),
    )
    found = await parts.of(request).operations.journal(wanted)
    if wanted.before is None and wanted.after is None:  # a further page of a known name may be empty
        _refuse_unknown(request, found)
    return replies.json(History(entries=[words.view(entry) for entry in found]))


def _query(request: web.Request) -> JournalQuery:
    query = request.query
    return JournalQuery(
        group=GroupId(query["group"]) if "group" in query else None,
        node=NodeId(query["node"]) if "node" in query else None,
        since=moment(request, "since"),
        after=number(request, "after", least=0),
        limit=min(number(request, "limit", least=1) or JournalQuery().limit, _MOST_ENTRIES),
    )


def _refuse_unknown(request: web.Request, found: Sequence[Entry]) -> None:
    """Refuse a name that is not known. Of one that was, there may be nothing in the journal."""
    # entries about the whole fleet, which every organisation is shown, do not show that it is known
    org = request.query.get("org")
    if org is not None and not any(_is_of(org, each) for each in found) and (unknown := unknown_org(request, org)):
        raise not_found(request, f"{unknown}, and the journal has no entry of it")
    # a name that was known has entries, though not always within these filters
    for noun in () if found else (Noun.GROUP, Noun.NODE):
        name = request.query.get(noun)
        if name is not None and (unknown := parts.of(request).operations.unknown(noun, name)):
            raise not_found(request, f"{unknown}, and the journal has no such entry of it")


def _is_of(org: str, entry: Entry) -> bool:
    about = str(entry.group or entry.node or entry.facts.get("scope", ""))
    return (ids.node_of_scope(about) or about).partition("/")[0] == org


def _kinds(request: web.Request) -> tuple[str, ...]:
    kinds = [kind for given in request.query.getall("event", []) for kind in given.split(",")]
    try:
        return words.events_of(kinds)
    except LookupError as error:
        given, nouns = str(error.args[0]), dict.fromkeys(name.partition(".")[0] for name in EVENTS)
        raise bad_input(
            request,
            f'event="{given}" is not a kind of event{did_you_mean(given, (*nouns, *EVENTS))}',
            f"use a name of docs/events.md, or one of {', '.join(nouns)}",
        ) from error
