"""The views: each collects what it shows and names its template."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from agbot.console import parts
from agbot.console.page import reading, timeline, words
from agbot.console.page.notes import Link
from agbot.console.page.paging import ROWS, paging
from agbot.console.page.rendering import page
from agbot.console.page.rollouts import Rollouts, selected
from agbot.console.page.standing import Standing
from agbot.console.requests import (
    bad_input,
    group_of,
    known_org,
    not_found,
    number,
    unknown_group,
    unknown_node,
    unknown_policy,
    word,
)
from agbot.console.status import needs_attention, of_rollout
from agbot.coordinator.contract import Explanation, GroupView
from agbot.coordinator.listings import GroupQuery, GroupState, Noun
from agbot.coordinator.operations import Operations
from agbot.coordinator.operators import history
from agbot.events.catalogue import EVENTS
from agbot.rules import ids
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.store.contract import JournalQuery

ROLLOUTS: Final = web.AppKey("rollouts", Rollouts)
_SUMMARISED: Final = 4
_LATEST: Final = 12
_MOST_ITEMS: Final = 20
_MOST_ROWS: Final = 100
"""Of a table that is not in pages. No question is answered while a view is rendered, and a release
that failed everywhere has as many brakes as there are groups: 20,000 rows take seconds."""
_NOUNS: Final = tuple(sorted({name.partition(".")[0] for name, event in EVENTS.items() if event.is_journalled}))
"""The kinds of events by which the journal is filtered."""
_SPANS: Final = {
    "3600": "the last hour",
    "43200": "the last 12 hours",
    "86400": "the last day",
    "604800": "the last week",
}
_LONGEST: Final = 10**9


async def fleet(request: web.Request) -> web.Response:
    """Show the fleet at a glance."""
    operations, now = parts.of(request).operations, parts.of(request).clock.now()
    known = request.app[ROLLOUTS]
    found = await known.lines(now, summarised=_SUMMARISED, most=_SUMMARISED)
    latest = await reading.part_of(request, JournalQuery(), most=_LATEST)
    # after what is awaited: what needs a person and the numbers beside it are of one moment
    oldest = operations.oldest_grant()
    return await page(
        request,
        "fleet.html",
        {
            "items": needs_attention(request, operations.overview()),
            "most": _MOST_ITEMS,
            "oldest": operations.group(oldest) if oldest is not None else None,
            "lines": found.lines,
            "lack": known.chronicler.lack,
            **latest,
        },
        title="Fleet",
        here="fleet",
    )


async def rollouts(request: web.Request) -> web.Response:
    """List the rollouts."""
    known = request.app[ROLLOUTS]
    found = await known.lines(parts.of(request).clock.now(), summarised=_SUMMARISED)
    shown = {"lines": found.lines, "total": found.total, "lack": known.chronicler.lack}
    return await page(request, "rollouts.html", shown, title="Rollouts", here="rollouts")


async def rollout(request: web.Request) -> web.Response:
    """Show one rollout."""
    kind, known, now = _kind(request), request.app[ROLLOUTS], parts.of(request).clock.now()
    policy = ids.policy_id(request.match_info["org"], request.match_info["policy"])
    chosen = {name: request.query.get(name, "") for name in ("standing", "code", "find")}
    if chosen["standing"]:
        word(request, "standing", Standing, "a standing")
    # one that has begun is shown also after its policy was deleted: groups are in the middle of it
    if not await known.has_begun((kind, policy)) and (problem := unknown_policy(request, policy)):
        raise not_found(request, problem)
    whole = await known.whole((kind, policy), now)
    found = selected(whole.summary.stands, **chosen)
    where = paging(request, len(found))
    return await page(
        request,
        "rollout.html",
        {
            "kind": kind,
            "policy": policy,
            "whole": whole,
            "chosen": chosen,
            "stands": found[where.offset : where.offset + ROWS],
            "paging": where,
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
        org=known_org(request, chosen["org"] or None),
        offset=number(request, "offset", least=0) or 0,
        limit=ROWS,
    )
    found = operations.find_groups(query)
    where = paging(request, found.total)
    if where.offset != query.offset:
        found = operations.find_groups(replace(query, offset=where.offset))
    views = [view for group in found.groups if (view := operations.group(group)) is not None]
    return await page(
        request,
        "groups.html",
        {
            "chosen": chosen,
            "states": list(GroupState),
            "groups": views,
            "meant": _meant(operations, chosen["find"]) if not found.total else (),
            "paging": where,
        },
        title="Groups",
        here="groups",
    )


def _meant(operations: Operations, name: str) -> Iterator[Link]:
    """Yield the node of a name that is part of no group's name, and the nearest group."""
    orgs = [""] if "/" in name else [f"{each.org}/" for each in operations.overview().orgs]
    # a node of each organisation may have that name, and only a person knows which one is meant
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
    past, upgrades = await reading.of_group(request, wanted)
    found, now = operations.group(wanted), parts.of(request).clock.now()
    if found is None:
        raise unknown_group(request, wanted)
    return await page(
        request,
        "group.html",
        {
            "group": found,
            "explained": _explained(operations, found),
            "upgrades": upgrades,
            "timeline": timeline.timeline(upgrades, [member.node for member in found.members], now),
            **past,
        },
        title=str(wanted),
        here="groups",
    )


def _explained(operations: Operations, group: GroupView) -> dict[tuple[NodeId, str, PolicyId], Explanation]:
    """Return what each waiter waits for now, by its upgrade.

    A node is explained by the upgrade that it has asked about last. It may wait for another one
    too, to which these answers do not apply: that one has the reasons of its own last question.
    """
    found: dict[tuple[NodeId, str, PolicyId], Explanation] = {}
    for each in group.waiting:
        explained = operations.explain(each.node)
        if explained is not None and (explained.kind, explained.subject) == (each.kind, each.subject):
            found[each.node, each.kind, each.subject] = explained
    return found


async def node(request: web.Request) -> web.Response:
    """Explain one node."""
    wanted = ids.node_id(request.match_info["org"], request.match_info["node"])
    operations = parts.of(request).operations
    before = operations.explain(wanted)
    if before is not None and before.group is not None:
        await operations.look_at(before.group)
    past = await reading.part_of(request, JournalQuery(node=wanted))
    # not as before the look: the rule about its peers would contradict their health beside it
    found = operations.explain(wanted)
    if found is None:
        raise unknown_node(request, wanted)
    of_group = operations.group(found.group) if found.group is not None else None
    member = next((each for each in of_group.members if each.node == wanted), None) if of_group else None
    return await page(
        request,
        "node.html",
        {
            "explained": found,
            "member": member,
            "brakes": [each for each in of_group.brakes if each.node == wanted] if of_group else [],
            **past,
        },
        title=str(wanted),
        here="groups",
    )


async def orders(request: web.Request) -> web.Response:
    """Show holds, windows, approvals, allowances and brakes."""
    found = parts.of(request).operations.orders()
    # the latest failures first: of many rows, the first ones are shown
    latest = replace(found, brakes=sorted(found.brakes, key=lambda each: each.since, reverse=True))
    shown = {"orders": latest, "most": _MOST_ROWS}
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
    past = await reading.page_of(request, query)
    if not past["entries"]:  # of an organisation that was coordinated there may be some
        known_org(request, query.org)
    shown = {"chosen": chosen, "nouns": _NOUNS, "spans": _SPANS, "kept": kept, **past}
    return await page(request, "journal.html", shown, title="Journal", here="journal")


def _kind(request: web.Request) -> Kind:
    given = request.match_info["kind"]
    if given not in set(Kind):
        raise not_found(request, f"{given!r} is not a kind of upgrade: there are {' and '.join(Kind)}")
    return Kind(given)
