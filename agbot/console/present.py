"""Requests about the present: groups, leases, orders. All are answered from memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

import msgspec
from aiohttp import web

from agbot.console import parts, replies
from agbot.console.answers import Coordinators, Groups, Leases, Receivers
from agbot.console.requests import (
    bad_input,
    group_of,
    known_org,
    not_found,
    number,
    unknown_group,
    unknown_node,
    word,
)
from agbot.coordinator.contract import GroupView
from agbot.coordinator.listings import GroupPage, GroupQuery, GroupState, Noun
from agbot.rules import ids
from agbot.rules.ids import GroupId
from agbot.rules.lease import State

_EVERY_GROUP: Final = 2**31
_AT_ONCE: Final = 100
"""Views of groups between two pauses, in which questions of nodes are answered: some 10 ms."""


async def groups(request: web.Request) -> web.Response:
    """List the groups with members, lease and waiters, all of them or a page."""
    query = group_query(request, most=_EVERY_GROUP)
    found = parts.of(request).operations.find_groups(query)
    written = await _written(request, found.groups, lambda view: view)
    return replies.json(Groups(groups=written, total=found.total, next=next_after(query, found)))


async def _written(
    request: web.Request, groups: Iterable[GroupId], show: Callable[[GroupView], object | None]
) -> list[Any]:
    """Return what is shown of many groups, already as JSON.

    Questions of nodes are answered in between.
    """
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
    return GroupQuery(
        find=request.query.get("find", ""),
        state=word(request, "state", GroupState, "a state of a group"),
        org=known_org(request, request.query.get("org")),
        after=request.query.get("after", ""),
        limit=min(number(request, "limit", least=1) or limit or most, most),
    )


def next_after(query: GroupQuery, found: GroupPage) -> GroupId | None:
    """Return `?after=` of the next page; None if there is certainly none."""
    # a full page may be the last one, which only the next request can show
    return found.groups[-1] if len(found.groups) == query.limit else None


async def group(request: web.Request) -> web.Response:
    """Show one group."""
    wanted, operations = group_of(request), parts.of(request).operations
    await operations.look_at(wanted)  # before it is looked up: it may be gone after that
    found = operations.group(wanted)
    if found is None:
        raise unknown_group(request, wanted)
    return replies.json(found)


async def leases(request: web.Request) -> web.Response:
    """List the leases; `?state=held,suspect,free` and `?org=` filter."""
    states = {each for given in request.query.getall("state", []) for each in given.split(",")} or set(State)
    org, find = known_org(request, request.query.get("org")), parts.of(request).operations.find_groups
    unknown = sorted(states.difference(State))
    if unknown:
        raise bad_input(request, f'"{unknown[0]}" is not a state of a lease', f"use one of {', '.join(State)}")
    # groups cannot be looked up by a free lease, so all are looked through for those
    every = [None] if State.FREE in states else [GroupState(each) for each in states]
    pages = [find(GroupQuery(state=each, org=org, limit=_EVERY_GROUP)).groups for each in every]
    groups_of = sorted({group for page in pages for group in page})
    written = await _written(request, groups_of, lambda view: view.lease if view.lease.state in states else None)
    total = find(GroupQuery(org=org, limit=0)).total
    return replies.json(Leases(leases=written, total=total, lack=from_memory(request)))


def from_memory(request: web.Request) -> str:
    """State that what is shown is from memory, while the store cannot be used; else empty."""
    failing = parts.of(request).operations.overview().store_failing
    return f"This is from memory: {failing}." if failing else ""


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


async def orders(request: web.Request) -> web.Response:
    """Return what operators have ordered."""
    return replies.json(replace(parts.of(request).operations.orders(), lack=from_memory(request)))


async def coordinators(request: web.Request) -> web.Response:
    """List the coordinators on this store."""
    return replies.json(Coordinators(coordinators=parts.of(request).coordinators.coordinators()))


async def receivers(request: web.Request) -> web.Response:
    """Return how far the deliveries to each receiver are."""
    return replies.json(Receivers(receivers=parts.of(request).receivers()))
