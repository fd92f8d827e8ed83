"""Every path of the operators' listener, with its handler.

A test compares `docs/api.md` with this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from agbot.console import acting, api, health, journal_api, openapi, past, present, replies, rollouts, status, streaming
from agbot.console.answers import ListedPath, Paths
from agbot.console.api import Endpoint
from agbot.console.page import ordering, views
from agbot.console.page.rendering import for_people, static


def _page(path: str, does: str, method: str = "GET") -> Endpoint[str]:
    return Endpoint(path=path, does=does, method=method, answer=str, media="text/html")


def _text(path: str, does: str, *keys: str) -> Endpoint[str]:
    return Endpoint(path=path, does=does, answer=str, media="text/plain", query=dict.fromkeys(keys, api.TEXT))


async def _index(_request: web.Request) -> web.Response:
    """List the paths."""
    listed = [
        ListedPath(method=each.method, path=each.path, does=each.does, needs_token=each.needs_token) for each in ROUTES
    ]
    return replies.json(Paths(paths=listed))


async def _description(_request: web.Request) -> web.Response:
    """Describe the paths in OpenAPI."""
    return replies.json(openapi.described(ROUTES))


HANDLERS: Final[Mapping[Endpoint[Any], Handler | None]] = MappingProxyType(
    {
        _page("/", "The page: the fleet at a glance."): for_people(views.fleet),
        _page("/rollouts", "The page: every rollout."): for_people(views.rollouts),
        _page("/rollouts/{kind}/{org}/{policy}", "The page: one rollout, of all groups."): for_people(views.rollout),
        _page("/groups", "The page: a table of groups."): for_people(views.groups),
        _page("/groups/{org}/{group}", "The page: one group."): for_people(views.group),
        _page("/nodes/{org}/{node}", "The page: why a node waits."): for_people(views.node),
        _page("/orders", "The page: holds, windows, approvals, allowances and brakes."): for_people(views.orders),
        _page("/journal", "The page: the journal."): for_people(views.journal),
        _page("/coordinators", "The page: every coordinator on this store, and who leads."): for_people(
            views.coordinators
        ),
        _page("/act/{action}", "The page: the form of an action, and what it will do."): for_people(
            ordering.ask, is_live=False
        ),
        _page("/act/{action}", "Carries out an action of the page, with the token in its form.", "POST"): for_people(
            ordering.carry_out, is_live=False
        ),
        Endpoint(
            path="/static/{name:.+}", does="The page's own scripts, styles and pictures.", answer=str, media="*/*"
        ): static,
        api.PATHS: _index,
        Endpoint(path="/openapi.json", does="This API in OpenAPI 3.1.", answer=dict): _description,
        _text("/livez", "200 while the event loop runs. Depends on nothing else."): health.livez,
        _text(
            "/readyz", "200 while the daemon may grant or stands by, else 503 with the reasons.", "verbose"
        ): health.readyz,
        api.HEALTHZ: health.healthz,
        _text("/metrics", "Metrics in the Prometheus format."): None,  # of each server's own registry
        api.OVERVIEW: health.healthz,
        api.STATUS: status.status,
        api.COORDINATORS: present.coordinators,
        api.GROUPS: present.groups,
        api.GROUP: present.group,
        api.EXPLAIN: present.explain,
        api.ROLLOUTS: rollouts.rollouts,
        api.ROLLOUT: rollouts.rollout,
        api.LEASES: present.leases,
        api.ORDERS: present.orders,
        journal_api.HISTORY: past.history,
        journal_api.JOURNAL: past.journal,
        api.RECEIVERS: present.receivers,
        journal_api.EVENTS: streaming.events,
        **acting.HANDLERS,
    }
)
ROUTES: Final = tuple(HANDLERS)
