"""Every path of the operators' listener, with what it does. `docs/api.md` is held against this table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from agbot.console import acting, health, replies, showing, telling


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One path."""

    method: str
    path: str
    does: str
    handler: Handler | None = None
    """None for the metrics, which have a registry to be asked."""
    needs_token: bool = False


async def index(_request: web.Request) -> web.Response:
    """List the paths."""
    listed = [
        {"method": each.method, "path": each.path, "does": each.does, "needs_token": each.needs_token}
        for each in ROUTES
    ]
    return replies.json({"paths": listed})


ROUTES: Final[tuple[Route, ...]] = (
    Route(method="GET", path="/", handler=index, does="Lists the paths."),
    Route(
        method="GET",
        path="/livez",
        handler=health.livez,
        does="200 while the event loop moves. Depends on nothing else.",
    ),
    Route(
        method="GET",
        path="/readyz",
        handler=health.readyz,
        does="200 while the daemon may grant, else 503 with the reasons.",
    ),
    Route(method="GET", path="/healthz", handler=health.healthz, does="The coordinator at one glance."),
    Route(method="GET", path="/metrics", does="Metrics in Prometheus' format."),
    Route(
        method="GET",
        path="/v1/groups",
        handler=showing.groups,
        does="Every group with members, lease, waiters, brakes and pauses.",
    ),
    Route(method="GET", path="/v1/groups/{org}/{group}", handler=showing.group, does="One group."),
    Route(
        method="GET", path="/v1/explain/{org}/{node}", handler=showing.explain, does="Why a node waits, rule by rule."
    ),
    Route(method="GET", path="/v1/leases", handler=showing.leases, does="Every lease."),
    Route(
        method="GET",
        path="/v1/history",
        handler=telling.history,
        does="What happened, in words: who, why, and on which facts; the newest first.",
    ),
    Route(
        method="GET", path="/v1/journal", handler=showing.journal, does="Every entry as it was written, from the store."
    ),
    Route(
        method="POST",
        path="/v1/leases/{org}/{group}/release",
        handler=acting.release,
        does="Frees a group's lease by force.",
        needs_token=True,
    ),
    Route(
        method="POST",
        path="/v1/holds",
        handler=acting.hold,
        does="Stops new grants for everything, an organisation, a group or a node.",
        needs_token=True,
    ),
    Route(
        method="POST",
        path="/v1/resume",
        handler=acting.resume,
        does="Ends a pause, or lifts the brakes on an upgrade.",
        needs_token=True,
    ),
    Route(
        method="POST",
        path="/v1/allowances",
        handler=acting.allow,
        does="Lets one upgrade of a node past what would keep it, once.",
        needs_token=True,
    ),
    Route(
        method="POST",
        path="/v1/approvals",
        handler=acting.approve,
        does="Lets a release begin where a person's word is asked for.",
        needs_token=True,
    ),
)
