"""Every recorded exchange of bytes with a real agbot, replayed over TCP against the gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agbot.coordinator.permission import Refused
from agbot.gateway.target import PassThrough, parse
from agbot.settings.model import AgbotSettings
from tests.integration.gateway.scripted import RECORDED, Got, StandIn, gateway, send

PAIRS: list[dict[str, Any]] = [
    json.loads(line) for line in (RECORDED / "agbot-secure-api.jsonl").read_text().splitlines()
]
DIFFERENT = {
    "ha-dotdot": "the agbot redirects to the plain path; we refuse what only looks like its permission route after cleaning",
    "ha-slash-in-nmp-escaped": "the agbot knows no such route (404); we name the mistake",
}
OURS = [pair for pair in PAIRS if not isinstance(parse(pair["method"], pair["path"]), PassThrough)]
PASSED = [pair for pair in PAIRS if isinstance(parse(pair["method"], pair["path"]), PassThrough)]


def raw_request(pair: dict[str, Any]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in pair["request_headers"])
    return f"{pair['method']} {pair['path']} HTTP/1.1\r\n{lines}\r\n{pair['request_body']}".encode()


def raw_reply(pair: dict[str, Any]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in pair["headers"])
    return f"{pair['status_line']}\r\n{lines}\r\n{pair['response_body']}".encode()


def without_date(headers: list[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(name, value) for name, value in headers if name != "Date"}


async def replayed() -> dict[str, Got]:
    """Play all questions in their order: the leases then stand as they stood at the real agbot."""
    async with gateway() as running:
        return {pair["name"]: await send(running.port, raw_request(pair)) for pair in OURS}


async def test_every_recorded_question_gets_the_recorded_answer() -> None:
    got = await replayed()
    for pair in OURS:
        if pair["name"] in DIFFERENT:
            continue
        reply, recorded = got[pair["name"]], pair["response_body"]
        assert reply.status_line == pair["status_line"], pair["name"]
        if reply.status == 409:  # our reasons stand between the recorded sentence and its end
            start, _, reasons = reply.body.decode().partition(" Waits for: ")
            assert (start + '"}\n', reasons) == (recorded, 'lease-held: o1/n1 upgrades o1/p1"}\n'), pair["name"]
        else:
            assert reply.body.decode() == recorded, pair["name"]
            assert without_date(reply.headers) == without_date([tuple(one) for one in pair["headers"]]), pair["name"]


async def test_the_headers_of_a_refusal_are_the_recorded_ones() -> None:
    pair = next(pair for pair in OURS if pair["name"] == "ha-peer-refused")

    async def nothing_to_add(_: object) -> Refused:
        return Refused(reasons=())

    async with gateway() as running:
        running.permission.says = nothing_to_add
        reply = await send(running.port, raw_request(pair))
    assert reply.body.decode() == pair["response_body"]
    assert without_date(reply.headers) == without_date([tuple(one) for one in pair["headers"]])


@pytest.mark.parametrize("name", DIFFERENT)
async def test_what_we_answer_otherwise_is_a_400_in_the_agbots_format(name: str) -> None:
    reply = (await replayed())[name]
    assert reply.status == 400
    assert json.loads(reply.body)["code"] == "400"


@pytest.mark.parametrize("pair", PASSED, ids=lambda pair: pair["name"])
async def test_every_other_recorded_pair_passes_through_unchanged(pair: dict[str, Any]) -> None:
    stand_in = StandIn(lambda _head, _body: raw_reply(pair))
    await stand_in.start()
    async with gateway(agbot=AgbotSettings(secure_api=stand_in.url)) as running:
        reply = await send(running.port, raw_request(pair), method=pair["method"])
    await stand_in.stop()
    assert reply.status_line == pair["status_line"]
    assert [list(one) for one in reply.headers] == pair["headers"]
    assert reply.body.decode() == pair["response_body"]
    request_line, *sent = stand_in.heads[0].decode().split("\r\n")[:-2]
    assert request_line == f"{pair['method']} {pair['path']} HTTP/1.1"
    assert stand_in.bodies == [pair["request_body"].encode()]
    expected = [f"{name}: {value}" for name, value in pair["request_headers"] if name != "Host"]
    assert [line for line in sent if line.split(":")[0] not in {"Host", "Connection"}] == expected + (
        ["Content-Length: 0"] if pair["method"] in {"DELETE", "LIST"} else []
    )
