"""The description of the agents' listener: each path answers as it says."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types

from agbot.gateway.openapi import DESCRIBED
from agbot.settings.model import GatewaySettings
from tests.integration.gateway.scripted import gateway, request, send

CALLS = [(path, method) for path, operations in DESCRIBED["paths"].items() for method in operations]
NAMES = {"org": "o1", "group": "g1", "node": "n1", "nmp": "p1", "policy": "o1%2Fp1"}
BODY = b'{"client_params": {"group": "default", "id": "m1"}}'


@pytest.mark.parametrize(("path", "method"), CALLS)
@pytest.mark.parametrize("identity", [None, "o1/n1:n1tok", "IBM/agbot:agbottok"])
async def test_each_path_answers_with_a_status_and_a_body_that_are_described(
    path: str, method: str, identity: str | None
) -> None:
    async with gateway(GatewaySettings(fleetlock=True)) as running:
        headers, body = ("fleet-lock-protocol: true\r\n", BODY) if path.startswith("/v1/") else ("", b"")
        raw = request(method.upper(), path.format(**NAMES), identity, body, headers=headers)
        got = await send(running.port, raw, method=method.upper())

    described = DESCRIBED["paths"][path][method]["responses"][str(got.status)]
    if "content" in described:
        schema = {**described["content"]["application/json"]["schema"], "components": DESCRIBED["components"]}
        Draft202012Validator(schema).validate(json.loads(got.body))
    else:
        assert got.body == b""


def test_every_schema_is_one() -> None:
    for schema in DESCRIBED["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
