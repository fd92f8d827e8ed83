"""Everything that `agbot status` shows, of one moment: nothing is awaited between its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from agbot.console import health, parts, replies
from agbot.console.page import attention
from agbot.console.present import group_query, not_found, where_next
from agbot.coordinator.listings import GroupPage, GroupQuery, GroupState, Noun
from agbot.rules import ids

PATH: Final = "/v1/status"
WHY_LOCAL: Final = web.RequestKey("why_local", str)
"""Why a coordinator that stands by answers this itself: the leader cannot be asked."""
_GROUPS: Final = 100
_MOST_GROUPS: Final = 250
"""Nothing else is done while they are shown: some 30 ms."""
_SUSPECTS_NAMED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """One thing that a person should know."""

    level: str
    """`bad`, `warn` or `note`: what operators have ordered, and what may be as it should."""
    title: str
    text: str


async def status(request: web.Request) -> web.Response:
    """Show the coordinators, the summary, what needs a person, and the busy groups."""
    here, now = parts.of(request), parts.of(request).clock.now()
    query = group_query(request, most=_MOST_GROUPS, limit=_GROUPS)
    overview, found = here.operations.overview(), _found(request, query)
    receivers = here.deliveries.receivers() if here.deliveries else []
    suspects = here.operations.find_groups(GroupQuery(state=GroupState.SUSPECT, limit=_SUSPECTS_NAMED)).groups
    views = [view for group in suspects if (view := here.operations.group(group)) is not None]
    coordinators, orders = here.coordinators.coordinators(), here.operations.orders(with_windows=False)
    items = attention.items(overview, orders, views, now, receivers, coordinators=coordinators)
    shown = [view for group in found.groups if (view := here.operations.group(group)) is not None]
    return replies.json(
        {
            "at": now,
            **health.summary(request, overview),
            "coordinators": coordinators,
            "attention": [
                *_no_leader(request),
                *(Attention(level=each.level, title=each.title, text=each.text) for each in items),
            ],
            "receivers": receivers,
            "groups": shown,
            **where_next(query, found),
            "known": sum(each.groups for each in overview.orgs if query.org in {None, each.org}),
        }
    )


def _found(request: web.Request, query: GroupQuery) -> GroupPage:
    """Return the group of `?group=`, or the page of groups.

    Raises:
        ApiError: that group is not known.
    """
    operations, wanted = parts.of(request).operations, request.query.get("group")
    if wanted is None:
        return operations.find_groups(query)
    group = ids.group_id(*wanted.partition("/")[::2])
    if operations.group(group) is None and WHY_LOCAL not in request:
        raise not_found(request, operations.why_excluded(ids.org_of(group)) or operations.unknown(Noun.GROUP, group))
    return GroupPage(total=1, groups=[group])


def _no_leader(request: web.Request) -> list[Attention]:
    why = request.get(WHY_LOCAL)
    return [Attention(level="bad", title="No coordinator leads that can be asked", text=why)] if why else []
