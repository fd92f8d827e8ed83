"""The description of the operators' listener: complete, valid, and true of the answers."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types

from agbot.console.api import JSON
from agbot.console.openapi import described
from agbot.console.replies import encoded
from agbot.console.routes import ROUTES
from tests.integration.console.conftest import Desk

NAMES = {"org": "acme", "group": "mills", "node": "beta", "policy": "agent-2.32", "kind": "agent"}
OF_THE_API = [each.path for each in ROUTES if each.method == "GET" and each.is_api and each.media == JSON]
ORDERS = {each.path for each in ROUTES if each.method == "POST" and each.is_api}
DOCUMENT: dict[str, Any] = dict(described(ROUTES))


def schema_of(path: str, method: str = "get") -> dict[str, Any]:
    """Return the schema of an answer, with everything that it refers to."""
    media = DOCUMENT["paths"][path][method]["responses"]["200"]["content"]["application/json"]
    return {**media["schema"], "components": DOCUMENT["components"]}


async def test_it_is_served_as_it_is_described(desk: Desk) -> None:
    reply = await desk.get("/openapi.json")

    assert reply.json == json.loads(encoded(DOCUMENT))
    assert reply.json["openapi"] == "3.1.0"


def test_every_route_is_described_and_nothing_else() -> None:
    found = {(method.upper(), path) for path, each in DOCUMENT["paths"].items() for method in each}

    assert found == {(each.method, re.sub(r":[^}]*}", "}", each.path)) for each in ROUTES}
    assert {each.path for each in ROUTES if each.body is not None} == ORDERS


def test_every_parameter_of_a_path_is_declared_and_every_schema_is_one() -> None:
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            declared = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
            assert declared == re.findall(r"{(\w+)}", path)
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", OF_THE_API)
async def test_an_answer_has_its_schema(desk: Desk, path: str) -> None:
    desk.token = None
    reply = await desk.get(path.format(**NAMES))

    assert reply.status == 200, reply.text
    Draft202012Validator(schema_of(path)).validate(reply.json)


async def test_what_changes_something_needs_the_token_and_answers_with_what_was_done(desk: Desk) -> None:
    needs = {
        path
        for path, each in DOCUMENT["paths"].items()
        if path.startswith("/v1") and each.get("post", {}).get("security") == [{"operator": []}]
    }
    assert needs == ORDERS
    for path in sorted(needs):
        reply = await desk.ask("POST", path.format(**NAMES), json={})
        assert reply.status == 401, path

    body = {"scope": "acme", "reason": "a fair"}
    done = await desk.post("/v1/holds", body)
    Draft202012Validator(schema_of("/v1/holds", "post")).validate(done.json)
