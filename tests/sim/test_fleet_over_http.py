"""The same fleet over real sockets: nodes talk HTTP to the Exchange and to whoever gives permission."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from aiohttp import web

from agbot.sim.clock import ScaledClock
from agbot.sim.exchange import SimExchange, serving
from agbot.sim.fleet import Fleet, quick
from agbot.sim.http_links import HttpExchange, HttpGateway
from agbot.sim.links import Kind, Question
from agbot.sim.scenarios import AGENT_SCENARIOS
from tests.sim.gates import EPOCH, ORG, OneAtATime
from tests.support.patience import PATIENCE_SECONDS

_SPEED = 120.0
_REAL_SECONDS = 5.0


class _Gate:
    """`OneAtATime` behind HTTP."""

    def __init__(self) -> None:
        self.rules = OneAtATime()
        self.questions = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.questions += 1
        _, _, org, _, group, kind, node, policy = request.path.split("/", 7)
        question = Question(
            kind=Kind.AGENT if kind == "nodemanagement" else Kind.SERVICE,
            org=org,
            group=group,
            node=node,
            policy=policy,
            identity=f"{org}/{node}",
            secret="",
        )
        if request.method == "DELETE":
            answer = await self.rules.report_end(question, request.query.get("outcome") != "failed")
        else:
            answer = await self.rules.ask(question)
        return web.Response(status=answer.status, text=json.dumps(answer.json()), content_type="application/json")


async def _play(name: str) -> tuple[list[str], _Gate, dict[str, object]]:
    scenario = next(one for one in AGENT_SCENARIOS if one.name == name)
    scenario = replace(scenario, members=2, habits=replace(quick(), cron_seconds=20.0, install_seconds=(5.0, 5.0)))
    clock = ScaledClock(_SPEED, epoch=EPOCH)
    exchange = SimExchange(clock=clock, root_password="pw")
    gate = _Gate()
    application = web.Application()
    application.router.add_route("*", "/org/{rest:.*}", gate.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://{}:{}".format(*runner.addresses[0])
    gateway = HttpGateway(url, timeout_seconds=_REAL_SECONDS)
    try:
        async with (
            serving(exchange) as server,
            HttpExchange(server.url, timeout_seconds=_REAL_SECONDS) as port,
            Fleet(exchange, gateway, clock, exchange_port=port) as fleet,
        ):
            gate.rules.fleet = fleet
            fleet.add_org(ORG)
            if scenario.needs_agbot:
                fleet.add_agbot()
            stage = await scenario.set_up(fleet, ORG)
            await scenario.play(stage)
            return scenario.wrong(stage), gate, fleet.report()
    finally:
        await runner.cleanup()


async def test_a_rollout_over_real_sockets_goes_one_at_a_time() -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        wrong, gate, report = await _play("rollout")

    assert wrong == []
    assert report["max_concurrent_in_any_group"] == 1
    assert report["grants"] == {"agent": 2}
    assert gate.questions > 2


async def test_a_service_upgrade_with_its_peer_offline_goes_over_real_sockets() -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        wrong, _, report = await _play("offline-peer")

    assert wrong == []
    assert report["service_grants_with_peers_offline"] == 1
