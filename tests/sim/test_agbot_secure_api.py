"""The stand-in for the agbot's secure API answers as the real one was recorded to answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agbot.sim.agbot_rows import AgbotRows
from agbot.sim.agent_lock import AgentLock, Claim
from agbot.sim.exchange import SimExchange, basic, seed
from agbot.sim.faults import Fault, FaultKind
from agbot.sim.links import DirectExchange
from agbot.sim.secure_api import SecureApi, serving
from tests.sim import raw_http
from tests.sim.gates import EPOCH
from tests.support.clocks import HandClock

_RECORDED = Path(__file__).parent.parent / "recorded" / "agbot-secure-api.jsonl"


def _request(record: dict[str, Any]) -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in record["request_headers"])
    return f"{record['method']} {record['path']} HTTP/1.1\r\n{head}\r\n{record['request_body']}".encode()


def _lock(clock: HandClock) -> AgentLock:
    """Return an agbot's lock in a hub with the recorded nodes and groups."""
    exchange = SimExchange(clock=clock, root_password="pw")
    for org in ("o1", "o2"):
        seed.org(exchange, org)
    for node in ("n1", "n2", "n4", "n5"):
        seed.node(exchange, "o1", node)
        exchange.world.nodes["o1", node].token = f"{node}tok"
    seed.group(exchange, "o1", "g1", ["n1", "n2"])
    seed.group(exchange, "o1", "g2", ["n5"])
    return AgentLock(AgbotRows(), DirectExchange(exchange.handle, clock), clock, identity="root/root", secret="pw")


async def test_every_recorded_reply_is_given_in_order() -> None:
    clock, differences = HandClock(EPOCH), {}
    async with serving(SecureApi(clock, lambda _, password: password != "bad", lock=_lock(clock))) as url:
        for recorded in map(json.loads, _RECORDED.read_text().splitlines()):
            status, headers, body = await raw_http.send(url, _request(recorded))
            expected = {key: value for key, value in recorded["headers"] if key != "Date"}
            headers.pop("Date")
            if (status, body, headers) != (recorded["status"], recorded["response_body"], expected):
                differences[recorded["name"]] = (status, body, headers, recorded)

    assert differences == {}


async def test_a_body_in_chunks_is_a_body() -> None:
    head = "GET /deploycheck/userinputcompatible HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    request = f"{head}Authorization: {basic('o1/admin', 'pw')}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n".encode()
    api = SecureApi(HandClock(EPOCH))
    async with serving(api) as url:
        status, _, _ = await raw_http.send(url, request)

    assert status == 200
    assert api.requests == ["GET /deploycheck/userinputcompatible"]


async def test_what_is_no_http_is_hung_up_on() -> None:
    async with serving(SecureApi(HandClock(EPOCH))) as url:
        with pytest.raises(asyncio.IncompleteReadError):
            await raw_http.send(url, b"hello\r\n\r\n")


@pytest.mark.parametrize(("fault", "seconds"), [(502, 8.0), (503, 8.0), (500, 0.0)])
async def test_an_agbot_whose_exchange_fails_answers_401_after_the_recorded_time(fault: int, seconds: float) -> None:
    """It tries five times after 502 and 503, and once after 500."""
    clock = HandClock(EPOCH)
    exchange = SimExchange(clock=clock, root_password="rootpw")
    seed.org(exchange, "o1")
    seed.node(exchange, "o1", "n1")
    seed.group(exchange, "o1", "g1", ["n1"])
    lock = AgentLock(AgbotRows(), DirectExchange(exchange.handle, clock), clock, identity="IBM/agbot1", secret="x")
    exchange.faults.add(Fault(kind=FaultKind.STATUS, status=fault))
    status, _ = await lock.decide(Claim(org="o1", group="g1", node="n1", nmp="p1"), "o1/n1", seed.token_of("n1"))
    assert (status, (clock.now() - EPOCH).total_seconds()) == (401, seconds)
