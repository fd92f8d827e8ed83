"""Every path of the operators' listener and what it does.

A test compares `docs/api.md` with this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from agbot.console import acting, health, openapi, past, present, replies, rollouts, status, streaming
from agbot.console.page import ordering, views
from agbot.console.page.rendering import for_people, static


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One path."""

    method: str
    path: str
    does: str
    handler: Handler | None = None
    """None for the metrics, which are read from their registry."""
    needs_token: bool = False


async def index(_request: web.Request) -> web.Response:
    """List the paths."""
    listed = [
        {"method": each.method, "path": each.path, "does": each.does, "needs_token": each.needs_token}
        for each in ROUTES
    ]
    return replies.json({"paths": listed})


async def description(_request: web.Request) -> web.Response:
    """Describe the paths in OpenAPI."""
    return replies.json(openapi.described(ROUTES))


ROUTES: Final[tuple[Route, ...]] = (
    Route(method="GET", path="/", handler=for_people(views.fleet), does="The page: the fleet at a glance."),
    Route(method="GET", path="/rollouts", handler=for_people(views.rollouts), does="The page: every rollout."),
    Route(
        method="GET",
        path="/rollouts/{kind}/{org}/{policy}",
        handler=for_people(views.rollout),
        does="The page: one rollout, of all groups.",
    ),
    Route(method="GET", path="/groups", handler=for_people(views.groups), does="The page: a table of groups."),
    Route(method="GET", path="/groups/{org}/{group}", handler=for_people(views.group), does="The page: one group."),
    Route(method="GET", path="/nodes/{org}/{node}", handler=for_people(views.node), does="The page: why a node waits."),
    Route(
        method="GET",
        path="/orders",
        handler=for_people(views.orders),
        does="The page: holds, windows, approvals, allowances and brakes.",
    ),
    Route(method="GET", path="/journal", handler=for_people(views.journal), does="The page: the journal."),
    Route(
        method="GET",
        path="/coordinators",
        handler=for_people(views.coordinators),
        does="The page: every coordinator on this store, and who leads.",
    ),
    Route(
        method="GET",
        path="/act/{action}",
        handler=for_people(ordering.ask),
        does="The page: the form of an action, and what it will do.",
    ),
    Route(
        method="POST",
        path="/act/{action}",
        handler=for_people(ordering.carry_out),
        does="Carries out an action of the page, with the token in its form.",
        needs_token=True,
    ),
    Route(method="GET", path="/static/{name:.+}", handler=static, does="The page's own scripts, styles and pictures."),
    Route(method="GET", path="/v1", handler=index, does="Lists the paths."),
    Route(method="GET", path=openapi.PATH, handler=description, does="This API in OpenAPI 3.1."),
    Route(
        method="GET",
        path="/livez",
        handler=health.livez,
        does="200 while the event loop runs. Depends on nothing else.",
    ),
    Route(
        method="GET",
        path="/readyz",
        handler=health.readyz,
        does="200 while the daemon may grant or stands by, else 503 with the reasons.",
    ),
    Route(method="GET", path="/healthz", handler=health.healthz, does="A summary of the coordinator's state."),
    Route(method="GET", path="/metrics", does="Metrics in the Prometheus format."),
    Route(method="GET", path="/v1/overview", handler=health.healthz, does="The same summary, of the leader."),
    Route(
        method="GET",
        path=status.PATH,
        handler=status.status,
        does="The summary, what needs a person, and the busy groups, of one moment.",
    ),
    Route(
        method="GET",
        path="/v1/coordinators",
        handler=present.coordinators,
        does="Every coordinator on this store, and which of them leads.",
    ),
    Route(
        method="GET",
        path="/v1/groups",
        handler=present.groups,
        does="Groups with members, lease, waiters, brakes and holds, all of them or in pages.",
    ),
    Route(method="GET", path="/v1/groups/{org}/{group}", handler=present.group, does="One group."),
    Route(
        method="GET", path="/v1/explain/{org}/{node}", handler=present.explain, does="Why a node waits, rule by rule."
    ),
    Route(
        method="GET",
        path="/v1/rollouts",
        handler=rollouts.rollouts,
        does="Running and recent rollouts, the first ones with their summary.",
    ),
    Route(
        method="GET",
        path="/v1/rollouts/{org}/{policy}",
        handler=rollouts.rollout,
        does="One rollout: how far all groups are, over time, and when it will end.",
    ),
    Route(method="GET", path="/v1/leases", handler=present.leases, does="Every lease."),
    Route(
        method="GET",
        path="/v1/orders",
        handler=present.orders,
        does="Holds, allowances, approvals and brakes, and the maintenance windows with their next change.",
    ),
    Route(
        method="GET",
        path="/v1/history",
        handler=past.history,
        does="What happened, in words: who, why, and on which facts; newest first.",
    ),
    Route(
        method="GET",
        path="/v1/journal",
        handler=present.journal,
        does="Every journal entry as it was written, from the store.",
    ),
    Route(
        method="GET",
        path="/v1/receivers",
        handler=present.receivers,
        does="The MQTT broker, webhooks and services for notifications, and how far each is behind.",
    ),
    Route(
        method="GET",
        path="/v1/events",
        handler=streaming.events,
        does="The journal as it grows, as server-sent events.",
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
        does="Stops new grants for the fleet, an organisation, a group or a node.",
        needs_token=True,
    ),
    Route(
        method="POST",
        path="/v1/resume",
        handler=acting.resume,
        does="Ends a hold or a rest, or lifts the brakes on an upgrade.",
        needs_token=True,
    ),
    Route(
        method="POST",
        path="/v1/allowances",
        handler=acting.allow,
        does="Lets one upgrade of a node past most rules, once.",
        needs_token=True,
    ),
    Route(
        method="POST",
        path="/v1/approvals",
        handler=acting.approve,
        does="Lets an upgrade begin where an approval is required.",
        needs_token=True,
    ),
    Route(
        method="POST",
        path="/v1/allowances/withdraw",
        handler=acting.withdraw_allowance,
        does="Takes the allowance of a node back.",
        needs_token=True,
    ),
    Route(
        method="POST",
        path="/v1/approvals/withdraw",
        handler=acting.withdraw_approval,
        does="Takes an approval back. Groups in which the upgrade has begun go on.",
        needs_token=True,
    ),
    Route(
        method="POST",
        path="/v1/lead",
        handler=acting.lead,
        does="Lets another coordinator lead.",
        needs_token=True,
    ),
    Route(
        method="POST",
        path="/v1/receivers/test",
        handler=acting.test_receivers,
        does="Journals a test event, which every receiver gets.",
        needs_token=True,
    ),
)
