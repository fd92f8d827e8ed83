"""A standby that takes over while it waits for the leader's answer: it answers what is read as the leader it is now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import aiohttp
import pytest

from agbot.console.answers import CoordinatorView
from agbot.console.metrics import Metrics
from agbot.console.server import Console
from agbot.coordinator.contract import Done, NotDone
from agbot.rules.leadership import Leader, Position, Whereabouts
from agbot.settings.secret import Secret
from tests.integration.console.conftest import OPERATOR
from tests.integration.console.scripted import NOW, Scripted
from tests.support.clocks import HandClock

GONE = Leader(name="one", run="r", epoch=3, since=NOW, left_seconds=5.0, console_url="http://127.0.0.1:9")
OWN = Leader(name="two", run="s", epoch=4, since=NOW, left_seconds=5.0)


@dataclass
class TakingOver:
    """Stands by when it is first asked, and leads from then on."""

    asked: int = 0

    def where(self) -> Whereabouts:
        self.asked += 1
        position, leader = (Position.STANDING_BY, GONE) if self.asked <= 1 else (Position.LEADING, OWN)
        return Whereabouts(position=position, own_name="two", leader=leader, left_seconds=5.0)

    def coordinators(self) -> Sequence[CoordinatorView]:
        return [CoordinatorView(name="two", leads=True)]

    async def hand_over(self, *, to: str, reason: str, who: str) -> Done | NotDone:
        raise NotImplementedError


@dataclass
class Taken:
    url: str
    operations: Scripted
    coordinators: TakingOver
    http: aiohttp.ClientSession

    async def ask(self, method: str, path: str, **kwargs: object) -> tuple[int, str]:
        self.coordinators.asked = 0
        async with self.http.request(method, f"{self.url}{path}", **kwargs) as reply:  # type: ignore[arg-type]  # aiohttp's own
            return reply.status, await reply.text()


@pytest.fixture
async def taken() -> AsyncIterator[Taken]:
    operations, coordinators = Scripted(), TakingOver()
    console = Console(
        listen="127.0.0.1:0",
        operations=operations,
        metrics=Metrics(),
        clock=HandClock(NOW),
        operator_token=lambda: Secret(OPERATOR),
        coordinators=coordinators,
    )
    coordinators.asked = 0
    await console.start()
    async with aiohttp.ClientSession() as http:
        yield Taken(console.url, operations, coordinators, http)
    await console.stop()


@pytest.mark.parametrize("path", ["/v1/groups", "/v1/status", "/", "/groups/acme/mills"])
async def test_what_is_read_is_answered_by_the_leader_that_it_is_now(taken: Taken, path: str) -> None:
    status, text = await taken.ask("GET", path)

    assert (status, "acme/mills" in text) == (200, True), text
    assert "does not answer" not in text
    assert "stands by" not in text


async def test_an_order_is_not_carried_out_a_second_time(taken: Taken) -> None:
    login, body = {"Authorization": f"Bearer {OPERATOR}"}, {"scope": "acme", "reason": "x"}
    form, own = {**body, "operator_token": OPERATOR}, {"Origin": taken.url}

    of_api = await taken.ask("POST", "/v1/holds", json=body, headers=login)
    of_page = await taken.ask("POST", "/act/hold", data=form, headers=own)

    assert [status for status, _ in (of_api, of_page)] == [409, 409]
    assert "Coordinator one does not answer" in of_page[1]
    assert taken.operations.emitted == []
