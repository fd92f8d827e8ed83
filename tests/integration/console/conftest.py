"""A console on a real socket, with a scripted coordinator behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from agbot.console.metrics import Metrics
from agbot.console.server import Console
from agbot.delivery.receiver import Kind
from agbot.rules.leadership import Leader, Whereabouts
from agbot.settings.secret import Secret
from tests.integration.console.scripted import NOW, Scripted
from tests.support.clocks import HandClock

OPERATOR = "let-me-in-0123456789"


@dataclass
class Reply:
    status: int
    headers: Any
    text: str
    json: Any


@dataclass
class Desk:
    """An operator before the console."""

    url: str
    operations: Scripted
    metrics: Metrics
    http: aiohttp.ClientSession
    token: Secret | None = None
    console: Console | None = None

    async def ask(self, method: str, path: str, **kwargs: Any) -> Reply:
        async with self.http.request(method, f"{self.url}{path}", **kwargs) as reply:
            text = await reply.text()
            is_json = reply.content_type == "application/json" and text
            return Reply(reply.status, reply.headers, text, await reply.json() if is_json else None)

    async def get(self, path: str, **kwargs: Any) -> Reply:
        return await self.ask("GET", path, **kwargs)

    async def post(self, path: str, body: Any, bearer: str = OPERATOR) -> Reply:
        return await self.ask("POST", path, json=body, headers={"Authorization": f"Bearer {bearer}"})


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    operations = Scripted()
    metrics = Metrics()
    leader = Leader(name="one", run="r", epoch=3, since=NOW, left_seconds=5.0)
    where = Whereabouts(own_name="one", leader=leader)
    metrics.watch(operations.overview, lambda: len(operations.groups()), lambda: where)
    metrics.watch_deliveries(lambda: {Kind.MQTT: 3})
    async with aiohttp.ClientSession() as http:
        desk = Desk("", operations, metrics, http, Secret(OPERATOR))
        clock = HandClock(NOW)
        console = Console(
            listen="127.0.0.1:0",
            operations=operations,
            metrics=metrics,
            clock=clock,
            operator_token=lambda: desk.token,
        )
        await console.start()
        desk.url, desk.console = console.url, console
        yield desk
        await console.stop()
        assert clock.slept == [], "nothing here waits"
