"""`GET /openapi.json`: the operators' listener in OpenAPI 3.1, from the code that serves it.

Paths, what they do and whether they need the token are in the table of routes; bodies and answers
are the types that handlers read and write.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from agbot import __version__
from agbot.console import bodies
from agbot.console.leading import CoordinatorView
from agbot.console.rollout_views import RolloutList, RolloutView
from agbot.console.status import Attention
from agbot.coordinator.contract import Done, Explanation, GroupView, LeaseView, Overview
from agbot.coordinator.listings import GroupState, Orders
from agbot.coordinator.operators.history import HistoryView
from agbot.delivery.sinks import Receiver
from agbot.rules.ids import GroupId
from agbot.rules.lease import State
from agbot.store.contract import Entry

if TYPE_CHECKING:
    from agbot.console.routes import Route

PATH: Final = "/openapi.json"
_SCHEMAS: Final = "#/components/schemas/{name}"
_IN_PATH: Final = re.compile(r"\{(\w+)(?::[^}]*)?\}")
_STREAM: Final = "text/event-stream"


class ErrorText(msgspec.Struct):
    """What was tried, what is wrong, and what to do next."""

    tried: str
    problem: str
    next: str


class ErrorAnswer(msgspec.Struct):
    """Every error of the API."""

    error: ErrorText


class ListedPath(msgspec.Struct):
    """One path."""

    method: str
    path: str
    does: str
    needs_token: bool


def _answer(name: str, **keys: object) -> type[msgspec.Struct]:
    return msgspec.defstruct(name, list(keys.items()), module=__name__)


_GROUPS: Final = {"groups": list[GroupView], "total": int, "next": GroupId | None}
ANSWERS: Final[Mapping[str, object]] = MappingProxyType(
    {
        "/v1": _answer("Paths", paths=list[ListedPath]),
        "/healthz": Overview,
        "/v1/overview": Overview,
        "/v1/status": _answer(
            "Status",
            at=datetime,
            coordinators=list[CoordinatorView],
            attention=list[Attention],
            receivers=list[Receiver],
            **_GROUPS,
        ),
        "/v1/coordinators": _answer("Coordinators", coordinators=list[CoordinatorView]),
        "/v1/groups": _answer("Groups", **_GROUPS),
        "/v1/groups/{org}/{group}": GroupView,
        "/v1/explain/{org}/{node}": Explanation,
        "/v1/rollouts": RolloutList,
        "/v1/rollouts/{org}/{policy}": RolloutView,
        "/v1/leases": _answer("Leases", leases=list[LeaseView], total=int),
        "/v1/orders": Orders,
        "/v1/history": _answer("History", entries=list[HistoryView]),
        "/v1/journal": _answer("Journal", entries=list[Entry]),
        "/v1/receivers": _answer("Receivers", receivers=list[Receiver]),
        "/v1/receivers/test": _answer("Tested", event=int),
    }
)
"""By path, what the handler writes as JSON. Every other request that changes something is answered
with what was done."""
_TEXTS: Final = frozenset({"/livez", "/readyz", "/metrics"})

BODIES: Final[Mapping[str, type[msgspec.Struct]]] = MappingProxyType(
    {
        "/v1/leases/{org}/{group}/release": bodies.ReleaseBody,
        "/v1/holds": bodies.HoldBody,
        "/v1/resume": bodies.ResumeBody,
        "/v1/allowances": bodies.AllowBody,
        "/v1/approvals": bodies.ApproveBody,
        "/v1/allowances/withdraw": bodies.WithdrawAllowanceBody,
        "/v1/approvals/withdraw": bodies.WithdrawApprovalBody,
        "/v1/lead": bodies.LeadBody,
        "/v1/receivers/test": bodies.TestBody,
    }
)

Schema = Mapping[str, object]
_TEXT: Final[Schema] = {"type": "string"}
_NUMBER: Final[Schema] = {"type": "integer", "minimum": 0}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_OF_GROUPS: Final[Mapping[str, Schema]] = {
    "org": _TEXT,
    "find": _TEXT,
    "state": {"enum": [each.value for each in GroupState]},
    "limit": _NUMBER,
    "after": _TEXT,
}
_OF_JOURNAL: Final[Mapping[str, Schema]] = {
    "group": _TEXT,
    "node": _TEXT,
    "since": _TIME,
    "after": _NUMBER,
    "limit": _NUMBER,
}
QUERIES: Final[Mapping[str, Mapping[str, Schema]]] = MappingProxyType(
    {
        "/readyz": {"verbose": _TEXT},
        "/v1/status": {**_OF_GROUPS, "group": _TEXT},
        "/v1/groups": _OF_GROUPS,
        "/v1/rollouts/{org}/{policy}": {
            "kind": _TEXT,
            "standing": _TEXT,
            "code": _TEXT,
            "find": _TEXT,
            "offset": _NUMBER,
            "limit": _NUMBER,
        },
        "/v1/leases": {
            "org": _TEXT,
            "state": {"type": "string", "description": f"Of {', '.join(State)}; several with commas."},
        },
        "/v1/history": {**_OF_JOURNAL, "before": _NUMBER, "org": _TEXT, "event": _TEXT},
        "/v1/journal": _OF_JOURNAL,
        "/v1/events": {"after": _NUMBER},
    }
)
"""By path, the keys of the query, all of them optional."""


@functools.cache
def described(routes: tuple[Route, ...]) -> Mapping[str, Any]:
    """Describe these routes."""
    types = [*ANSWERS.values(), *BODIES.values(), Done, ErrorAnswer]
    schemas, components = msgspec.json.schema_components(types, schema_hook=_open, ref_template=_SCHEMAS)
    known = dict(zip(map(id, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        template = _IN_PATH.sub(r"{\1}", route.path)
        paths.setdefault(template, {})[route.method.lower()] = _operation(route, known)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "agbot, the operators' listener",
            "version": __version__,
            "description": "The upgrade coordinator for HA groups of Open Horizon: what operators read and order.",
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"operator": {"type": "http", "scheme": "bearer"}}},
    }


def _open(kind: type) -> dict[str, Any]:
    """Describe what may be any JSON value: the facts of reasons and events."""
    if kind is object:
        return {"description": "Any JSON value."}
    message = f"no schema for {kind.__name__}"
    raise NotImplementedError(message)


def _operation(route: Route, known: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.does,
        "parameters": [*_path_parameters(route.path), *_query_parameters(route.path)],
        "responses": {
            "200": {"description": "Done." if route.method == "POST" else route.does, **_content(route, known)}
        },
    }
    if _is_api(route):
        error = {"application/json": {"schema": known[id(ErrorAnswer)]}}
        operation["responses"]["default"] = {"description": "An error, with what to do next.", "content": error}
    if route.path in BODIES:
        content = {"application/json": {"schema": known[id(BODIES[route.path])]}}
        operation["requestBody"] = {"required": True, "content": content}
    if route.needs_token and _is_api(route):
        operation["security"] = [{"operator": []}]
    return operation


def _is_api(route: Route) -> bool:
    return route.path.startswith("/v1") or route.path == "/healthz"


def _content(route: Route, known: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    if route.path == PATH:
        return {"content": {"application/json": {"schema": {"type": "object"}}}}
    if route.path == "/v1/events":
        return {"content": {_STREAM: {"schema": {"type": "string"}}}}
    if _is_api(route):
        return {"content": {"application/json": {"schema": known[id(ANSWERS.get(route.path, Done))]}}}
    media = "text/plain" if route.path in _TEXTS else "*/*" if route.path.startswith("/static") else "text/html"
    return {"content": {media: {"schema": {"type": "string"}}}}


def _path_parameters(path: str) -> Sequence[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in _IN_PATH.findall(path)]


def _query_parameters(path: str) -> Sequence[dict[str, Any]]:
    return [{"name": name, "in": "query", "schema": schema} for name, schema in QUERIES.get(path, {}).items()]
