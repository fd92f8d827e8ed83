"""Every recorded pair of a real Exchange is replayed, in order, against the simulated one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import aiohttp
import yarl

from agbot.sim.exchange import Request, SimExchange, serving
from tests.sim.recorded import Pair, body_of, pairs
from tests.support.clocks import HandClock

EPOCH = datetime(2026, 11, 23, 5, 17, 4, 1, tzinfo=UTC)

EXCEPTIONS: dict[str, str] = {}
"""Pairs that differ, and why they may."""

BURNT_AFTER = 127
"""A pair that the recording leaves out stood after this one and burnt two change ids without
leaving rows."""

_VARYING_HEADERS = ("Content-Length",)


def _new_exchange() -> tuple[SimExchange, HandClock]:
    clock = HandClock(EPOCH)
    exchange = SimExchange(clock=clock, root_password="rootpw")
    exchange.world.stamps.short_every = 1 << 20  # no recorded time happens to end in zeros
    return exchange, clock


def _burn(exchange: SimExchange) -> None:
    reply = exchange.call("DELETE", "/orgs/o1/hagroups/g1/nodes/lee-box-01")
    assert reply.status == 404


def _recorded(pair: Pair) -> dict[str, Any]:
    return _outcome(pair.status, pair.headers, pair.body)


def _outcome(status: int, headers: dict[str, str], body: str | None) -> dict[str, Any]:
    return {
        "status": status,
        "headers": {name: value for name, value in headers.items() if name not in _VARYING_HEADERS},
        "has_length": "Content-Length" in headers,
        "body": body_of(body, headers.get("Content-Type", "")),
    }


def _judge(differences: dict[str, str]) -> None:
    unexpected = {name: text for name, text in differences.items() if name not in EXCEPTIONS}
    assert not unexpected, "\n\n".join(f"{name}:\n{text}" for name, text in unexpected.items())
    needless = EXCEPTIONS.keys() - differences.keys()
    assert not needless, f"these exceptions are not needed: {sorted(needless)}"


def _difference(recorded: dict[str, Any], simulated: dict[str, Any]) -> str:
    lines = [
        f"  {part}\n    recorded:  {json.dumps(recorded[part])}\n    simulated: {json.dumps(simulated[part])}"
        for part in recorded
        if recorded[part] != simulated[part]
    ]
    return "\n".join(lines)


def test_every_recorded_reply_is_given_in_process() -> None:
    exchange, clock = _new_exchange()
    differences = {}
    for pair in pairs("exchange.jsonl"):
        clock.set(pair.at)
        reply = exchange.handle(pair.request)
        simulated = _outcome(reply.status, dict(reply.headers), reply.body.decode())
        if difference := _difference(_recorded(pair), simulated):
            differences[pair.name] = difference
        if pair.seq == BURNT_AFTER:
            _burn(exchange)
    _judge(differences)


async def _over_http(session: aiohttp.ClientSession, base_url: str, request: Request) -> dict[str, Any]:
    async with session.request(
        request.method,
        yarl.URL(base_url + request.target, encoded=True),
        headers=request.headers,
        data=request.body or None,
    ) as response:
        return _outcome(response.status, dict(response.headers), await response.text())


async def test_every_recorded_reply_is_given_over_http() -> None:
    exchange, clock = _new_exchange()
    differences = {}
    async with serving(exchange) as server, aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session:
        for pair in pairs("exchange.jsonl"):
            clock.set(pair.at)
            simulated = await _over_http(session, server.base_url, pair.request)
            if difference := _difference(_recorded(pair), simulated):
                differences[pair.name] = difference
            if pair.seq == BURNT_AFTER:
                _burn(exchange)
    _judge(differences)
