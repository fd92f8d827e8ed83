"""The gateway without sockets: its pure core, and what it asks of the coordinator and the Exchange."""

from __future__ import annotations

import asyncio

from agbot.clock import Clock
from agbot.coordinator.permission import Permission
from agbot.gateway.answers import Reply
from agbot.gateway.asking import ANSWER_SHARE, Resolver
from agbot.gateway.core import Ask, new_core
from agbot.gateway.reads import Exchange, Reads
from agbot.settings.model import GatewaySettings
from agbot.sim.exchange import basic
from agbot.sim.links import Answered, Question


class DirectGateway:
    """Answers questions as the listener does with its default settings."""

    def __init__(self, permission: Permission, exchange: Exchange, clock: Clock) -> None:
        settings = GatewaySettings()
        seconds = settings.answer_seconds * ANSWER_SHARE
        self._core = new_core(settings, permission, clock)
        reads = Reads(exchange, self._core.memory, clock, seconds=seconds)
        self._resolver = Resolver(self._core, permission, reads, clock, answer_seconds=seconds)

    async def answer(self, method: str, target: str, credentials: str | None) -> Reply:
        now = asyncio.get_running_loop().time()
        found = self._core.answer(method, target, credentials, now)
        if isinstance(found, Ask):
            return await self._resolver.reply(found, now)
        assert isinstance(found, Reply), f"{method} {target} is no question"
        return found

    async def carry(self, method: str, path: str, question: Question) -> Answered:
        """Answer one of the simulated fleet's questions."""
        reply = await self.answer(method, path, basic(question.identity, question.secret))
        return Answered(reply.status, reply.body)
