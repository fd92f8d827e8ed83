"""One start of the coordinator's program: the real coordinator behind the real routes of the gateway, without sockets.

Killing it loses everything but the disk. What it knew of the Exchange and of the agbot is written
down in `Sightings`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import datetime

import structlog

from agbot.agreementbot.client import AgreementBot
from agbot.coordinator.coordinator import Coordinator
from agbot.coordinator.dependencies import Dependencies
from agbot.coordinator.permission import Answer, Confirm, Ended, Refused
from agbot.exchange.client import ExchangeClient
from agbot.exchange.credentials import Credentials
from agbot.rules.facts import Ask
from agbot.rules.limits import LimitsOf
from agbot.settings.model import AgbotSettings
from agbot.sim.exchange import SimExchange, seed
from agbot.sim.links import Answered, Question
from agbot.sim.local_api import LocalApi
from agbot.store.contract import Entry
from tests.simulation.disk import Disk, SimStore
from tests.simulation.plan import COORDINATOR, Plan
from tests.simulation.process import Process
from tests.simulation.sightings import Sightings, WatchedAgbot, WatchedTransport
from tests.support.clocks import LoopClock
from tests.support.direct_gateway import DirectGateway

_AFTER_A_BUG_SECONDS = 5.0

_log = structlog.get_logger()


class Listening:
    """The coordinator as the gateway asks it.

    Every answer is received by the judge before it goes out.
    """

    def __init__(self, coordinator: Coordinator, hear: Callable[[Ask, Answer, float], None]) -> None:
        self._coordinator = coordinator
        self._hear = hear

    def refuse_from_memory(self, ask: Ask) -> Refused | None:
        refused = self._coordinator.refuse_from_memory(ask)
        if refused is not None:
            self._hear(ask, refused, asyncio.get_running_loop().time())
        return refused

    async def ask(self, ask: Ask, confirm: Confirm) -> Answer:
        begun = asyncio.get_running_loop().time()
        answer = await self._coordinator.ask(ask, confirm)
        self._hear(ask, answer, begun)
        return answer

    async def report_end(self, ask: Ask, *, succeeded: bool, who: str, token: int | None = None) -> Ended:
        return await self._coordinator.report_end(ask, succeeded=succeeded, who=who, token=token)


class Daemon(Process):
    """One program, from its start to its death."""

    def __init__(
        self,
        plan: Plan,
        exchange: SimExchange,
        disk: Disk,
        *,
        number: int,
        on_death: Callable[[], None],
        limits_of: LimitsOf,
        hear: Callable[[Ask, Answer, float], None],
        report: Callable[[Entry], None],
        clock: LoopClock,
        agbot: Mapping[str, LocalApi],
        on_feed: Callable[[float], None],
    ) -> None:
        super().__init__()
        chance = plan.chance(f"daemon {number}")
        self._on_death = on_death
        self._clock = clock
        self.agbots = agbot
        self._store = SimStore(disk, self.kill)
        self._transport = WatchedTransport(exchange, lambda: _way(chance, plan.way_seconds), on_feed)
        client = ExchangeClient(
            self._transport,
            Credentials(identity=COORDINATOR, secret=seed.token_of("coordinator")),
            self._clock,
            request_seconds=plan.settings.request_seconds,
            max_requests_open=plan.settings.max_requests_open,
        )
        lists = WatchedAgbot(
            agbot, way_seconds=lambda: _way(chance, plan.way_seconds / 2), sightings=self._transport.sightings
        )
        dependencies = Dependencies(
            exchange=client,
            store=self._store,
            clock=self._clock,
            publish=report,
            agbot_identity=plan.agbot.identity,
            agbot=AgreementBot(AgbotSettings(api=tuple(agbot)), self._clock, lists) if agbot else None,
            chance=chance,
        )
        self.coordinator = Coordinator(dependencies, plan.settings, limits_of)
        self._gateway = DirectGateway(Listening(self.coordinator, hear), client, self._clock)

    @property
    def sightings(self) -> Sightings:
        """What it has read."""
        return self._transport.sightings

    def now(self) -> datetime:
        """Return what its clock shows."""
        return self._clock.now()

    def run(self) -> None:
        """Start cycling."""
        self.start(self._schedule())

    def kill(self) -> None:
        """Die, as after `kill -9`."""
        if not self.is_dead:
            self._store.crash()
            super().kill()
            self._on_death()

    async def answer(self, method: str, path: str, question: Question) -> Answered:
        """Answer one request."""
        return await self._gateway.carry(method, path, question)

    async def _schedule(self) -> None:
        await self._store.open()
        while True:
            try:
                await self.coordinator.cycle()
            except Exception:  # noqa: BLE001 - as the daemon does; the judge reads the log
                _log.exception("cycle.failed")
                await self._clock.sleep(_AFTER_A_BUG_SECONDS)
                continue
            await self.coordinator.pause_between_cycles()


def _way(chance: random.Random, seconds: float) -> float:
    return chance.uniform(0, seconds)
