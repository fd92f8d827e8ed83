"""Requests about the present: groups, leases, explanations; and the journal.

All but the journal is answered from memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

import msgspec
from aiohttp import web

from agbot.console import parts, replies
from agbot.console.replies import ApiError
from agbot.coordinator.contract import GroupView
from agbot.coordinator.listings import GroupPage, GroupQuery, GroupState, Noun
from agbot.rules import ids
from agbot.rules.ids import GroupId, NodeId, OrgId
from agbot.rules.lease import State
from agbot.store.contract import JournalQuery

MOST_ENTRIES: Final = 1000
EVERY_GROUP: Final = 2**31
_AT_ONCE: Final = 100
"""Views of groups between two pauses, in which questions of nodes are answered: some 10 ms."""


async def groups(request: web.Request) -> web.Response:
    """List the groups with members, lease and waiters, all of them or a page."""
    query = group_query(request, most=EVERY_GROUP)
    found = parts.of(request).operations.find_groups(query)
    written = await _written(request, found.groups, lambda view: view)
    return replies.json({"groups": written, **where_next(query, found)})


async def _written(
    request: web.Request, groups: Iterable[GroupId], show: Callable[[GroupView], object | None]
) -> list[msgspec.Raw]:
    """Return what is shown of many groups, as JSON; questions of nodes are answered in between."""
    operations, written = parts.of(request).operations, list[msgspec.Raw]()
    for counted, each in enumerate(groups, 1):
        view = operations.group(each)
        shown = show(view) if view is not None else None
        if shown is not None:
            written.append(msgspec.Raw(replies.encoded(shown)))
        if counted % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return written


def group_query(request: web.Request, *, most: int, limit: int | None = None) -> GroupQuery:
    """Return which groups a request is about; without `?limit=` so many as `limit`, or `most`.

    Raises:
        ApiError: a filter is invalid, or the organisation is not coordinated.
    """
    state = request.query.get("state")
    if state is not None and state not in set(GroupState):
        raise bad_input(request, f'"{state}" is not a state of a group', f"use one of {', '.join(GroupState)}")
    return GroupQuery(
        find=request.query.get("find", ""),
        state=GroupState(state) if state else None,
        org=_org_of(request),
        after=request.query.get("after", ""),
        limit=min(number(request, "limit", least=1) or limit or most, most),
    )


def where_next(query: GroupQuery, found: GroupPage) -> dict[str, object]:
    """Return how many groups match, and `?after=` of the next page; null on the last one."""
    is_full = len(found.groups) == query.limit
    return {"total": found.total, "next": found.groups[-1] if is_full else None}


async def group(request: web.Request) -> web.Response:
    """Show one group."""
    wanted = group_of(request)
    found = parts.of(request).operations.group(wanted)
    if found is None:
        why = parts.of(request).operations.why_excluded(ids.org_of(wanted))
        raise not_found(request, why or parts.of(request).operations.unknown(Noun.GROUP, wanted))
    return replies.json(found)


async def leases(request: web.Request) -> web.Response:
    """List the leases; `?state=held,suspect,free` and `?org=` filter."""
    states = {each for given in request.query.getall("state", []) for each in given.split(",")} or set(State)
    org, find = _org_of(request), parts.of(request).operations.find_groups
    unknown = sorted(states.difference(State))
    if unknown:
        raise bad_input(request, f'"{unknown[0]}" is not a state of a lease', f"use one of {', '.join(State)}")
    every = [None] if State.FREE in states else [GroupState(each) for each in states]
    pages = [find(GroupQuery(state=each, org=org, limit=EVERY_GROUP)).groups for each in every]
    groups_of = sorted({group for page in pages for group in page})
    written = await _written(request, groups_of, lambda view: view.lease if view.lease.state in states else None)
    return replies.json({"leases": written, "total": find(GroupQuery(org=org, limit=0)).total})


async def explain(request: web.Request) -> web.Response:
    """Explain why a node waits, or what it does."""
    node = ids.node_id(request.match_info["org"], request.match_info["node"])
    found = parts.of(request).operations.explain(node)
    if found is None:
        if not parts.of(request).operations.unknown(Noun.GROUP, node):
            problem = f"{node} is an HA group, not a node: `agbot status {node}` shows it and its members"
            raise not_found(request, problem)
        raise unknown_node(request, node)
    return replies.json(found)


def unknown_node(request: web.Request, node: NodeId) -> ApiError:
    """Return the error for a node that is not known."""
    unknown = parts.of(request).operations.unknown(Noun.NODE, node) or f"no node {node} is known"
    return not_found(request, f"{unknown}: it is in no HA group of a coordinated organisation, and has not asked")


async def orders(request: web.Request) -> web.Response:
    """Return what operators have ordered."""
    return replies.json(parts.of(request).operations.orders())


async def coordinators(request: web.Request) -> web.Response:
    """List the coordinators on this store."""
    return replies.json({"coordinators": parts.of(request).coordinators.coordinators()})


async def journal(request: web.Request) -> web.Response:
    """Return events, the newest first; with `?after=ID` in order from there."""
    found = await parts.of(request).operations.journal(journal_query(request))
    return replies.json({"entries": found})


def _org_of(request: web.Request) -> str | None:
    """Return the organisation to filter by.

    For one that is not coordinated, an empty list would be misleading.

    Raises:
        ApiError: it is not coordinated.
    """
    org = request.query.get("org")
    why = parts.of(request).operations.why_excluded(OrgId(org)) if org is not None else ""
    if why:
        raise not_found(request, why)
    return org


def group_of(request: web.Request) -> GroupId:
    """Return the group of the path."""
    return ids.group_id(request.match_info["org"], request.match_info["group"])


def bad_input(request: web.Request, problem: str, next_step: str) -> ApiError:
    """Return the error for an invalid request."""
    return ApiError(400, tried=f"{request.method} {request.path}", problem=problem, next_step=next_step)


def not_found(
    request: web.Request,
    problem: str,
    next_step: str = "`agbot status --all` lists the groups that are known, `agbot doctor` names what cannot be read",
) -> ApiError:
    """Return the error for something that is not known."""
    return ApiError(404, tried=f"{request.method} {request.path}", problem=problem, next_step=next_step)


def journal_query(request: web.Request) -> JournalQuery:
    """Return the query for the journal.

    Raises:
        ApiError: a filter is invalid.
    """
    query = request.query
    return JournalQuery(
        group=GroupId(query["group"]) if "group" in query else None,
        node=NodeId(query["node"]) if "node" in query else None,
        since=_time(request, "since"),
        after=number(request, "after", least=0),
        limit=min(number(request, "limit", least=1) or JournalQuery().limit, MOST_ENTRIES),
    )


def number(request: web.Request, name: str, *, least: int) -> int | None:
    """Return a whole number of the query; None if it is not given."""
    text = request.query.get(name)
    if text is None:
        return None
    # An id fits in an integer of the store.
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(2**62)) - 1 or int(text) < least:
        raise bad_input(request, f'{name}="{text}" is not a whole number of {least} or more', "correct the query")
    return int(text)


def _time(request: web.Request, name: str) -> datetime | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise bad_input(
            request, f'{name}="{text}" is not a time with a zone', "use a form such as 2026-01-31T18:00:00Z"
        )
    return found


async def receivers(request: web.Request) -> web.Response:
    """Return how far the deliveries to each receiver are."""
    deliveries = parts.of(request).deliveries
    return replies.json({"receivers": deliveries.receivers() if deliveries else []})
