"""The reading half of the API: groups, leases, explanations, the journal. Everything but the journal is answered from memory."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from aiohttp import web

from agbot.console import parts, replies
from agbot.console.replies import ApiError
from agbot.rules import ids
from agbot.rules.ids import GroupId, NodeId, OrgId
from agbot.rules.lease import State
from agbot.store.contract import JournalQuery

MOST_ENTRIES: Final = 1000


async def groups(request: web.Request) -> web.Response:
    """List every group with members, lease and waiters; `?org=` narrows."""
    org = _org_of(request)
    found = parts.of(request).operations.groups()
    return replies.json({"groups": [each for each in found if org is None or ids.org_of(each.id) == org]})


async def group(request: web.Request) -> web.Response:
    """Show one group."""
    wanted = group_of(request)
    found = parts.of(request).operations.group(wanted)
    if found is None:
        why = parts.of(request).operations.why_excluded(ids.org_of(wanted))
        raise not_found(request, why or f"no HA group {wanted} is known")
    return replies.json(found)


async def leases(request: web.Request) -> web.Response:
    """List the leases; `?state=held|suspect|free` narrows, `?org=` too."""
    state = request.query.get("state")
    org = _org_of(request)
    if state is not None and state not in set(State):
        raise bad_input(request, f'"{state}" is no state of a lease', f"use one of {', '.join(State)}")
    found = [each.lease for each in parts.of(request).operations.groups()]
    wanted = [each for each in found if state in (None, each.state) and org in (None, ids.org_of(each.group))]
    return replies.json({"leases": wanted})


async def explain(request: web.Request) -> web.Response:
    """Answer why a node waits, or what it does."""
    node = ids.node_id(request.match_info["org"], request.match_info["node"])
    found = parts.of(request).operations.explain(node)
    if found is None:
        raise not_found(
            request, f"no node {node} is known: it is in no HA group that is looked after and has not asked"
        )
    return replies.json(found)


async def journal(request: web.Request) -> web.Response:
    """Read decisions, the newest first; with `?after=ID` in order from there."""
    found = await parts.of(request).operations.journal(journal_query(request))
    return replies.json({"entries": found})


def _org_of(request: web.Request) -> str | None:
    """Return the organisation that a list is narrowed to. Nothing of one that is not looked after would look like nothing there.

    Raises:
        ApiError: it is not looked after.
    """
    org = request.query.get("org")
    why = parts.of(request).operations.why_excluded(OrgId(org)) if org is not None else ""
    if why:
        raise not_found(request, why)
    return org


def group_of(request: web.Request) -> GroupId:
    """Return the group that the path names."""
    return ids.group_id(request.match_info["org"], request.match_info["group"])


def bad_input(request: web.Request, problem: str, next_step: str) -> ApiError:
    """Say what is wrong with a request."""
    return ApiError(400, tried=f"{request.method} {request.path}", problem=problem, next_step=next_step)


def not_found(request: web.Request, problem: str) -> ApiError:
    """Say that the thing asked for is not known."""
    next_step = (
        "GET /v1/groups, or agbot status --all, lists what is known; /readyz?verbose says which organisations are read"
    )
    return ApiError(404, tried=f"{request.method} {request.path}", problem=problem, next_step=next_step)


def journal_query(request: web.Request) -> JournalQuery:
    """Read which entries are asked for.

    Raises:
        ApiError: a filter makes no sense.
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
    """Read a whole number of the query; None where it is not given."""
    text = request.query.get(name)
    if text is None:
        return None
    # Longer numbers than the store's integers hold are no ids.
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(2**62)) - 1 or int(text) < least:
        raise bad_input(request, f'{name}="{text}" is not a whole number of {least} or more', "mend the query")
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
        raise bad_input(request, f'{name}="{text}" is not a time with a zone', "write it as 2026-01-31T18:00:00Z")
    return found
