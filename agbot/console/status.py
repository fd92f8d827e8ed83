"""Everything that `agbot status` shows, of one moment: nothing is awaited between its parts.

A group that is named is read again before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Final

import msgspec
from aiohttp import web

from agbot import __version__
from agbot.console import parts, replies
from agbot.console.answers import Attention, Status
from agbot.console.page import attention, notes
from agbot.console.page.chronicle import Rollout
from agbot.console.page.notes import Item
from agbot.console.present import group_query, next_after
from agbot.console.replies import ApiError
from agbot.console.requests import unknown_group
from agbot.coordinator.contract import GroupView, Overview
from agbot.coordinator.listings import GroupPage, GroupQuery, GroupState
from agbot.rules import ids
from agbot.rules.ids import GroupId

WHY_LOCAL: Final = web.RequestKey("why_local", str)
"""Why a coordinator that stands by answers this itself: the leader cannot be asked."""
NOT_ORDERED: Final = web.RequestKey("not_ordered", ApiError)
"""What is to be shown in place of the answer to an order that the leader cannot be sent."""
_GROUPS: Final = 100
_MOST_GROUPS: Final = 250
"""Nothing else is done while they are shown: some 30 ms."""
_SUSPECTS_NAMED: Final = 3
_SUSPECTS_SEARCHED: Final = 100
"""Among so many those of one rollout are looked for."""


async def status(request: web.Request) -> web.Response:
    """Show the coordinators, the summary, what needs a person, and the busy groups."""
    named = _named(request)
    # at a standby there is no group to look at, only why the leader is not asked
    if named is not None and WHY_LOCAL not in request:
        await parts.of(request).operations.look_at(named)
    here, now = parts.of(request), parts.of(request).clock.now()
    query = group_query(request, most=_MOST_GROUPS, limit=_GROUPS)
    overview, found = _overview(request), _found(request, query)
    views = [view for group in found.groups if (view := here.operations.group(group)) is not None]
    return replies.json(
        Status(
            at=now,
            **summary(request, overview),
            coordinators=here.coordinators.coordinators(),
            attention=shown(needs_attention(request, overview)),
            receivers=here.receivers(),
            groups=views,
            total=found.total,
            next=next_after(query, found),
            known=sum(each.groups for each in overview.orgs if query.org in {None, each.org}),
        )
    )


def summary(request: web.Request, overview: Overview) -> dict[str, Any]:
    """Return the values of a `Summary`."""
    where = parts.of(request).coordinators.where()
    leader = where.leader
    leads = {
        "position": where.position,
        "leader": (where.own_name if where.leads else None) if leader is None else leader.name,
        "epoch": None if leader is None else leader.epoch,
    }
    # not `asdict`, which copies each of a thousand organisations
    return {"version": __version__, **leads, **{each.name: getattr(overview, each.name) for each in fields(overview)}}


def shown(items: Sequence[Item]) -> list[Attention]:
    """Return what a person should know as it is written."""
    return msgspec.convert(items, list[Attention], from_attributes=True)


def needs_attention(request: web.Request, overview: Overview, rollout: Rollout | None = None) -> list[Item]:
    """Return what needs a person, the most urgent first, and the notes; or what of a rollout."""
    here = parts.of(request)
    if why := request.get(WHY_LOCAL):
        return [_no_leader(request, why), *notes.of_coordinators(here.coordinators.coordinators())]
    orders, coordinators = here.operations.orders(with_windows=False), here.coordinators.coordinators()
    suspects, now = _suspects(request, rollout), here.clock.now()
    found = attention.items(overview, orders, suspects, now, here.receivers(), coordinators=coordinators)
    return [each for each in found if rollout in {None, each.rollout}]


def _suspects(request: web.Request, rollout: Rollout | None) -> list[GroupView]:
    """Return the first groups with a suspect lease, or with one of this rollout."""
    operations, limit = parts.of(request).operations, _SUSPECTS_NAMED if rollout is None else _SUSPECTS_SEARCHED
    groups = operations.find_groups(GroupQuery(state=GroupState.SUSPECT, limit=limit)).groups
    views = [view for group in groups if (view := operations.group(group)) is not None]
    mine = (view for view in views if rollout in {None, (view.lease.kind, view.lease.subject)})
    return list(mine)[:_SUSPECTS_NAMED]


def of_rollout(request: web.Request, rollout: Rollout) -> list[Item]:
    """Return what of a rollout needs a person."""
    return needs_attention(request, parts.of(request).operations.overview(), rollout)


def _found(request: web.Request, query: GroupQuery) -> GroupPage:
    """Return the group of `?group=`, or the page of groups.

    Raises:
        ApiError: that group is not known.
    """
    operations, group = parts.of(request).operations, _named(request)
    if group is None:
        return operations.find_groups(query)
    if operations.group(group) is None and WHY_LOCAL not in request:
        raise unknown_group(request, group)
    return GroupPage(total=1, groups=[group])


def _named(request: web.Request) -> GroupId | None:
    wanted = request.query.get("group")
    return None if wanted is None else ids.group_id(*wanted.partition("/")[::2])


def _overview(request: web.Request) -> Overview:
    """Return the summary; of a coordinator that stands by only what it knows."""
    overview, why = parts.of(request).operations.overview(), request.get(WHY_LOCAL)
    if not why:
        return overview
    # not as its own coordinator has it, which has read nothing: that is no news about the leader
    doubt = parts.of(request).coordinators.where().doubt
    return replace(overview, ready=False, not_ready=(why,), store_ok=not doubt)


def _no_leader(request: web.Request, why: str) -> Item:
    """State why the leader is not asked. Another follows one that is killed, within seconds."""
    where = parts.of(request).coordinators.where()
    if where.leader is None or where.doubt:
        return Item(level="bad", title="No coordinator leads that can be asked", text=why)
    return Item(level="warn", title=f"Coordinator {where.leader.name} does not answer", text=why)
