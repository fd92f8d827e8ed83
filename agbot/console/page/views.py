"""The views: each collects what it shows and names its template."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from agbot.console import parts
from agbot.console.page import timeline, words
from agbot.console.page.notes import Link
from agbot.console.page.rendering import page
from agbot.console.page.rollouts import Rollouts, selected
from agbot.console.page.standing import Standing
from agbot.console.present import from_memory
from agbot.console.requests import (
    bad_input,
    group_of,
    not_found,
    number,
    unknown_group,
    unknown_node,
    unknown_policy,
    word,
)
from agbot.console.status import needs_attention, of_rollout
from agbot.coordinator.listings import GroupQuery, GroupState, Noun
from agbot.coordinator.operations import Operations
from agbot.coordinator.operators import history
from agbot.coordinator.operators.history import HistoryView
from agbot.events.catalogue import EVENTS
from agbot.rules import ids
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Kind
from agbot.store.contract import JournalQuery

ROLLOUTS: Final = web.AppKey("rollouts", Rollouts)
_PAGE_GROUPS: Final = 50
_SUMMARISED: Final = 4
_EVENTS: Final = 40
_NOUNS: Final = tuple(sorted({name.partition(".")[0] for name, event in EVENTS.items() if event.is_journalled}))
"""The kinds of events by which the journal is filtered."""
_SPANS: Final = {
    "3600": "the last hour",
    "43200": "the last 12 hours",
    "86400": "the last day",
    "604800": "the last week",
}
_LONGEST: Final = 10**9
_UPGRADES: Final = 250
"""Events of upgrades that a time line is drawn from."""
_BARS: Final = 60


async def fleet(request: web.Request) -> web.Response:
    """Show the fleet at a glance."""
    operations, now = parts.of(request).operations, parts.of(request).clock.now()
    overview, oldest = operations.overview(), operations.oldest_grant()
    return await page(
        request,
        "fleet.html",
        {
            "items": needs_attention(request, overview),
            "oldest": operations.group(oldest) if oldest is not None else None,
            "lines": await request.app[ROLLOUTS].lines(now, summarised=_SUMMARISED, most=_SUMMARISED),
            "lack": request.app[ROLLOUTS].chronicler.lack,
            "entries": history.by_time(await _history(request, JournalQuery(limit=12))),
        },
        title="Fleet",
        here="fleet",
    )


async def rollouts(request: web.Request) -> web.Response:
    """List the rollouts."""
    known = request.app[ROLLOUTS]
    lines = await known.lines(parts.of(request).clock.now(), summarised=_SUMMARISED)
    return await page(
        request, "rollouts.html", {"lines": lines, "lack": known.chronicler.lack}, title="Rollouts", here="rollouts"
    )


async def rollout(request: web.Request) -> web.Response:
    """Show one rollout."""
    kind, known, now = _kind(request), request.app[ROLLOUTS], parts.of(request).clock.now()
    policy = ids.policy_id(request.match_info["org"], request.match_info["policy"])
    chosen = {name: request.query.get(name, "") for name in ("standing", "code", "find")}
    if chosen["standing"]:
        word(request, "standing", Standing, "a standing")
    if not await known.has_begun((kind, policy)) and (problem := unknown_policy(request, policy)):
        raise not_found(request, problem)
    whole = await known.whole((kind, policy), now)
    found = selected(whole.summary.stands, **chosen)
    paging = _paging(request, len(found))
    return await page(
        request,
        "rollout.html",
        {
            "kind": kind,
            "policy": policy,
            "whole": whole,
            "chosen": chosen,
            "stands": found[paging.offset : paging.offset + _PAGE_GROUPS],
            "paging": paging,
            "standings": list(Standing),
            "items": of_rollout(request, (kind, policy)),
            "lack": known.chronicler.lack,
            "accuracy": known.accuracy,
        },
        title=str(policy),
        here="rollouts",
    )


async def groups(request: web.Request) -> web.Response:
    """Show a page of the table of groups."""
    operations = parts.of(request).operations
    chosen = {name: request.query.get(name, "") for name in ("find", "state", "org")}
    query = GroupQuery(
        find=chosen["find"],
        state=word(request, "state", GroupState, "a state of a group") if chosen["state"] else None,
        org=chosen["org"] or None,
        offset=number(request, "offset", least=0) or 0,
        limit=_PAGE_GROUPS,
    )
    found = operations.find_groups(query)
    views = [view for group in found.groups if (view := operations.group(group)) is not None]
    return await page(
        request,
        "groups.html",
        {
            "chosen": chosen,
            "states": list(GroupState),
            "groups": views,
            "meant": _meant(operations, chosen["find"]) if not found.total else (),
            "paging": _paging(request, found.total),
        },
        title="Groups",
        here="groups",
    )


def _meant(operations: Operations, name: str) -> Iterator[Link]:
    """Yield the node of a name that is part of no group's name, and the nearest group."""
    orgs = [""] if "/" in name else [f"{each.org}/" for each in operations.overview().orgs]
    for node in (NodeId(f"{org}{name}") for org in orgs):
        if name and operations.explain(node) is not None:
            yield Link(text=f"node {node}", url=words.node_url(node))
    near = operations.nearest(Noun.GROUP, name) if name else ""
    if near:
        yield Link(text=f"group {near}", url=words.group_url(GroupId(near)))


async def group(request: web.Request) -> web.Response:
    """Show one group."""
    operations, wanted = parts.of(request).operations, group_of(request)
    await operations.look_at(wanted)
    found, now = operations.group(wanted), parts.of(request).clock.now()
    if found is None:
        raise unknown_group(request, wanted)
    entries = await operations.journal(JournalQuery(group=wanted, events=timeline.READ, limit=_UPGRADES))
    upgrades = timeline.upgrades(entries)[-_BARS:]
    return await page(
        request,
        "group.html",
        {
            "group": found,
            "explained": {each.node: operations.explain(each.node) for each in found.waiting},
            "upgrades": upgrades,
            "timeline": timeline.timeline(upgrades, [member.node for member in found.members], now),
            **await _journal(request, JournalQuery(group=wanted)),
        },
        title=str(wanted),
        here="groups",
    )


async def node(request: web.Request) -> web.Response:
    """Explain one node."""
    wanted = ids.node_id(request.match_info["org"], request.match_info["node"])
    operations = parts.of(request).operations
    found = operations.explain(wanted)
    if found is None:
        raise unknown_node(request, wanted)
    if found.group is not None:
        await operations.look_at(found.group)
    of_group = operations.group(found.group) if found.group is not None else None
    member = next((each for each in of_group.members if each.node == wanted), None) if of_group else None
    return await page(
        request,
        "node.html",
        {
            "explained": found,
            "member": member,
            "brakes": [each for each in of_group.brakes if each.node == wanted] if of_group else [],
            **await _journal(request, JournalQuery(node=wanted)),
        },
        title=str(wanted),
        here="groups",
    )


async def orders(request: web.Request) -> web.Response:
    """Show holds, windows, approvals, allowances and brakes."""
    found = parts.of(request).operations.orders()
    shown = {"orders": found, "lack": from_memory(request)}
    return await page(request, "orders.html", shown, title="Holds and windows", here="orders")


async def coordinators(request: web.Request) -> web.Response:
    """Show all coordinators on the store, and who leads."""
    known = parts.of(request).coordinators.coordinators()
    return await page(request, "coordinators.html", {"coordinators": known}, title="Coordinators", here="coordinators")


async def journal(request: web.Request) -> web.Response:
    """Show the journal of the fleet, or what of it is of an organisation, a kind, or a time."""
    chosen = {name: request.query.get(name, "") for name in ("org", "event", "since")}
    if chosen["event"] and chosen["event"] not in _NOUNS:
        raise bad_input(request, f"{chosen['event']!r} is not a kind of event", f"use one of {', '.join(_NOUNS)}")
    seconds = number(request, "since", least=1) if chosen["since"] else None
    query = JournalQuery(
        org=chosen["org"] or None,
        events=history.events_of([chosen["event"]]) if chosen["event"] else (),
        since=parts.of(request).clock.now() - timedelta(seconds=min(seconds, _LONGEST)) if seconds else None,
    )
    kept = urlencode({name: value for name, value in chosen.items() if value})
    shown = {"chosen": chosen, "nouns": _NOUNS, "spans": _SPANS, "kept": kept, **await _journal(request, query)}
    return await page(request, "journal.html", shown, title="Journal", here="journal")


async def _journal(request: web.Request, query: JournalQuery) -> dict[str, object]:
    """Return a page of the journal, and the id before which the next one begins."""
    before = number(request, "before", least=1)
    entries = await _history(request, replace(query, before=before, limit=_EVENTS + 1))
    shown = entries[:_EVENTS]
    return {
        "entries": history.by_time(shown),
        "before": before,
        "older": shown[-1].id if len(entries) > _EVENTS else None,
    }


async def _history(request: web.Request, query: JournalQuery) -> list[HistoryView]:
    wanted = query if query.events else replace(query, without=history.LEFT_OUT)
    return [history.view(entry) for entry in await parts.of(request).operations.journal(wanted)]


def _kind(request: web.Request) -> Kind:
    given = request.match_info["kind"]
    if given not in set(Kind):
        raise not_found(request, f"{given!r} is not a kind of upgrade: there are {' and '.join(Kind)}")
    return Kind(given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """Where a page of a table is, with the addresses of its neighbours."""

    offset: int
    shown: int
    total: int
    previous: str | None
    following: str | None


def _paging(request: web.Request, total: int) -> Paging:
    offset = number(request, "offset", least=0) or 0
    rest = {name: value for name, value in request.query.items() if name != "offset" and value}

    def address(begin: int) -> str:
        return f"{request.rel_url.raw_path}?{urlencode({**rest, 'offset': begin})}"

    return Paging(
        offset=offset,
        shown=max(min(_PAGE_GROUPS, total - offset), 0),
        total=total,
        previous=address(max(offset - _PAGE_GROUPS, 0)) if offset else None,
        following=address(offset + _PAGE_GROUPS) if offset + _PAGE_GROUPS < total else None,
    )
