"""`GET /openapi.json` of the agents' listener: its contract in OpenAPI 3.1. Pure.

The questions are those of unmodified agents and of agbots, byte for byte as the real agbot answers
them; so this is a table and not derived from types. All other paths are the real agbot's, and are
passed through.
"""

from __future__ import annotations

import json
from typing import Any, Final

from agbot import __version__
from agbot.gateway.answers import TOKEN_HEADER, Outcome, Reply
from agbot.gateway.fleetlock import HEADER, PRE_REBOOT, STEADY_STATE

PATH: Final = "/openapi.json"
_TEXT: Final = {"type": "string"}
_JSON: Final = "application/json"


def _schema(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _answers(of: dict[int, tuple[str, str]]) -> dict[str, Any]:
    """Describe the answers by status, each with its text and the name of its schema."""
    return {
        str(status): {"description": text, "content": {_JSON: {"schema": _schema(name)}}}
        for status, (text, name) in of.items()
    }


def _parameters(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names]


_NODE: Final[list[dict[str, list[str]]]] = [{"node": []}]
_AGBOT: Final[list[dict[str, list[str]]]] = [{"agbot": []}]
_NO_LOGIN: Final = ("The Exchange does not accept the credentials.", "Text")
_GRANT_TOKEN: Final = {
    TOKEN_HEADER: {"description": "The token of the grant, for its end.", "schema": {"type": "integer"}}
}
_QUESTION: Final[dict[str, Any]] = {
    "summary": "May this node upgrade its agent? Agents ask every 60 s, with an empty body.",
    "parameters": _parameters("org", "group", "node", "nmp"),
    "security": _NODE,
    "responses": _answers(
        {
            201: (
                "Yes: the node holds the lease of its group. With `quiet_refusals` also no, with code 409.",
                "Coded",
            ),
            400: ("The path is invalid, or the node is not the caller or not in that group.", "Coded"),
            401: _NO_LOGIN,
            409: ("Not now; `msg` has every reason. The agent asks again.", "Coded"),
        }
    ),
}
_SERVICE: Final[dict[str, Any]] = {
    "summary": "May the agbot upgrade a service on this node? `policy` is org%2Fname.",
    "parameters": _parameters("org", "group", "node", "policy"),
    "security": _AGBOT,
    "responses": _answers(
        {
            201: ("Yes.", "Coded"),
            400: ("The path or the query is invalid.", "Coded"),
            401: _NO_LOGIN,
            403: ("The agbot does not serve that organisation.", "Coded"),
            404: ("There is no such node.", "Coded"),
            409: ("Not now; `msg` has every reason.", "Coded"),
        }
    ),
}
_SERVICE["responses"]["201"]["headers"] = _GRANT_TOKEN
_END: Final[dict[str, Any]] = {
    "summary": "The upgrade of the service has ended.",
    "parameters": [
        *_parameters("org", "group", "node", "policy"),
        {"name": "outcome", "in": "query", "schema": {"enum": ["succeeded", "failed"], "default": "succeeded"}},
        {"name": "token", "in": "query", "schema": {"type": "integer"}},
    ],
    "security": _AGBOT,
    "responses": _answers(
        {
            200: ("The lease is free again, or the node held none.", "Coded"),
            400: ("The path or the query is invalid.", "Coded"),
            401: _NO_LOGIN,
            403: ("The upgrade was granted to another caller.", "Coded"),
            409: ("It is not known whether it was recorded; report it again.", "Coded"),
        }
    ),
}


def _fleetlock(summary: str) -> dict[str, Any]:
    refusals = {
        400: ("The header, the body or the group is not right.", "Refusal"),
        401: ("There is no login, or the Exchange does not accept it.", "Refusal"),
        409: ("Not now; `value` has every reason.", "Refusal"),
        413: ("The body is too large.", "Refusal"),
    }
    return {
        "summary": f"{summary} With `[gateway] fleetlock`; otherwise passed through.",
        "parameters": [{"name": HEADER, "in": "header", "required": True, "schema": {"const": "true"}}],
        "security": _NODE,
        "requestBody": {"required": True, "content": {_JSON: {"schema": _schema("FleetLock")}}},
        "responses": {"200": {"description": "Yes."}, **_answers(refusals)},
    }


_CLIENT: Final = {
    "type": "object",
    "required": ["group", "id"],
    "properties": {
        "group": {"type": "string", "pattern": "^[a-zA-Z0-9.-]+$"},
        "id": {"type": "string", "minLength": 1},
    },
}
_SCHEMAS: Final = {
    "Coded": {
        "type": "object",
        "required": ["code", "msg"],
        "properties": {"code": {"type": "string", "description": "A status, as text."}, "msg": _TEXT},
    },
    "Text": _TEXT,
    "Refusal": {"type": "object", "required": ["kind", "value"], "properties": {"kind": _TEXT, "value": _TEXT}},
    "FleetLock": {"type": "object", "required": ["client_params"], "properties": {"client_params": _CLIENT}},
}
DESCRIBED: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {
        "title": "agbot, the agents' listener",
        "version": __version__,
        "description": "What nodes and agbots of Open Horizon ask. Every other path is the real agbot's.",
    },
    "paths": {
        "/org/{org}/hagroup/{group}/nodemanagement/{node}/{nmp}": {"post": _QUESTION},
        "/org/{org}/hagroup/{group}/deployment/{node}/{policy}": {"post": _SERVICE, "delete": _END},
        PRE_REBOOT: {"post": _fleetlock("May this host reboot for its operating system?")},
        STEADY_STATE: {"post": _fleetlock("The host is back.")},
        PATH: {
            "get": {
                "summary": "This description.",
                "security": [],
                "responses": {"200": {"description": "OpenAPI.", "content": {_JSON: {"schema": {"type": "object"}}}}},
            }
        },
    },
    "components": {
        "schemas": _SCHEMAS,
        "securitySchemes": {
            "node": {"type": "http", "scheme": "basic", "description": "org/node and the node's Exchange token"},
            "agbot": {"type": "http", "scheme": "basic", "description": "org/agbot and the agbot's Exchange token"},
        },
    },
}
REPLY: Final = Reply(status=200, body=json.dumps(DESCRIBED).encode(), outcome=Outcome.DESCRIBED)


def is_asked(method: str, target: str) -> bool:
    """Whether this is a request for the description."""
    return method == "GET" and target == PATH
