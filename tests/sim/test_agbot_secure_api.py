"""The stand-in for the agbot's secure API answers as the real one was recorded to answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from agbot.sim.clock import ManualClock
from agbot.sim.links import basic
from agbot.sim.secure_api import SecureApi, serving
from tests.sim.gates import EPOCH

_RECORDED = Path(__file__).parent.parent / "recorded" / "agbot-secure-api.jsonl"
_NAMES = (
    "deploycheck-policycompatible",
    "deploycheck-policycompatible-nobody",
    "deploycheck-policycompatible-badcred",
    "deploycheck-userinputcompatible",
    "deploycheck-secretbindingcompatible",
    "deploycheck-long",
    "deploycheck-post",
    "deploycheck-options",
    "compat-dp",
    "compat-patterns",
    "secrets-list",
    "secrets-list-badcred",
    "secrets-list-no-cred",
    "allsecrets-list",
    "node-secrets-list",
    "user-node-secrets-list",
    "secret-get",
    "secret-post",
    "secret-delete",
    "secrets-get-wrong-method",
    "unknown-route",
    "unknown-route-no-cred",
)
_PAIRS = {
    record["name"]: record for record in map(json.loads, _RECORDED.read_text().splitlines()) if record["name"] in _NAMES
}


async def _exchange(url: str, request: bytes) -> tuple[int, dict[str, str], str]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(request)
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await reader.readexactly(int(headers["Content-Length"]))
        return int(first.split(" ")[1]), headers, body.decode()
    finally:
        writer.close()
        await writer.wait_closed()


def _request(record: dict[str, Any]) -> bytes:
    body: bytes = record["request_body"].encode()
    lines = [f"{record['method']} {record['path']} HTTP/1.1", "Host: agbot", f"Content-Length: {len(body)}"]
    if record["identity"]:
        identity, _, secret = record["identity"].partition(":")
        lines.append(f"Authorization: {basic(identity, secret)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def _knows(_user: str, password: str) -> bool:
    return password != "bad"


@pytest.mark.parametrize("name", _NAMES)
async def test_a_route_answers_as_recorded(name: str) -> None:
    recorded = _PAIRS[name]
    async with serving(SecureApi(ManualClock(EPOCH), _knows)) as url:
        status, headers, body = await _exchange(url, _request(recorded))

    expected = {name: value for name, value in recorded["headers"] if name != "Date"}
    assert (status, body) == (recorded["status"], recorded["response_body"])
    assert {name: value for name, value in headers.items() if name != "Date"} == expected


async def test_a_body_in_chunks_is_a_body() -> None:
    head = "GET /deploycheck/userinputcompatible HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    request = f"{head}Authorization: {basic('o1/admin', 'pw')}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n".encode()
    api = SecureApi(ManualClock(EPOCH))
    async with serving(api) as url:
        status, _, _ = await _exchange(url, request)

    assert status == 200
    assert api.requests == ["GET /deploycheck/userinputcompatible"]


async def test_what_is_no_http_is_hung_up_on() -> None:
    async with serving(SecureApi(ManualClock(EPOCH))) as url:
        with pytest.raises(asyncio.IncompleteReadError):
            await _exchange(url, b"hello\r\n\r\n")
