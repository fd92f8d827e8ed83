"""The wires between nodes, agbot and the two servers, on which words change and answers get lost.

To the coordinator: a question may be lost on its way or after it was answered, may be late, and may
arrive twice (the second time much later, when it is about something that is long over). To the
Exchange: a node of a newer version may report statuses that no one knows.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from agbot.sim.links import Answered, DirectExchange, Doc, Question, Unanswered
from tests.simulation.process import Killed

if TYPE_CHECKING:
    from tests.simulation.daemon import Daemon

_REFUSED_SECONDS = 0.01
_LOST_SECONDS = 20.0
_AGENT_GIVES_UP_SECONDS = 20.0
_LATEST_REPEAT_SECONDS = 120.0


class CoordinatorWire:
    """A `GatewayPort`."""

    def __init__(
        self,
        daemon: Callable[[], Daemon | None],
        spawn: Callable[..., object],
        *,
        chance: random.Random,
        way_seconds: float,
        duplicates: float,
    ) -> None:
        self._daemon = daemon
        self._spawn = spawn
        self._chance = chance
        self._way_seconds = way_seconds
        self._duplicates = duplicates
        self.loses = 0.0
        """Share of questions of which either the question or its answer is lost."""
        self.ends: set[tuple[str, str]] = set()
        """(node, policy) whose end somebody has reported at some time."""

    async def ask(self, question: Question) -> Answered:
        """Ask for permission."""
        return await self._send("POST", question.path, question)

    async def report_end(self, question: Question, *, succeeded: bool) -> Answered:
        """Report the end of a service upgrade."""
        self.ends.add((f"{question.org}/{question.node}", question.policy))
        path = question.path if succeeded else f"{question.path}?outcome=failed"
        return await self._send("DELETE", path, question)

    async def _send(self, method: str, path: str, question: Question) -> Answered:
        is_lost, is_lost_late = self._chance.random() < self.loses, self._chance.random() < 0.7
        if self._chance.random() < self._duplicates:
            later = self._chance.choice((0.0, 0.1, 1.0, self._chance.uniform(0, _LATEST_REPEAT_SECONDS)))
            self._spawn(self._repeat(later, method, path, question))
        if is_lost and not is_lost_late:
            await asyncio.sleep(_LOST_SECONDS)
            raise Unanswered("the question was lost")
        await asyncio.sleep(self._chance.uniform(0, self._way_seconds))
        answer = await self._carry(method, path, question)
        await asyncio.sleep(self._chance.uniform(0, self._way_seconds))
        if is_lost:
            raise Unanswered("the answer was lost")
        return answer

    async def _carry(self, method: str, path: str, question: Question) -> Answered:
        daemon = self._daemon()
        if daemon is None:
            await asyncio.sleep(_REFUSED_SECONDS)
            raise Unanswered("nobody listens")
        try:
            async with asyncio.timeout(_AGENT_GIVES_UP_SECONDS):
                return await daemon.call(daemon.answer(method, path, question))
        except Killed as error:
            raise Unanswered("the connection was reset") from error
        except TimeoutError as error:
            raise Unanswered("no answer in time") from error

    async def _repeat(self, later: float, method: str, path: str, question: Question) -> None:
        """Deliver it once more, to no one's profit."""
        await asyncio.sleep(later)
        try:
            await self._carry(method, path, question)
        except Unanswered:
            return


class ExchangeWire:
    """An `ExchangePort` on which some nodes speak of statuses that no one knows."""

    def __init__(self, direct: DirectExchange) -> None:
        self._direct = direct
        self.words: dict[str, str] = {}
        """Node -> what it says instead of `initiated` and `successful`."""

    async def request(self, method: str, path: str, identity: str, secret: str, body: Doc | None = None) -> Answered:
        """Send one request."""
        word = self.words.get(identity)
        if word is not None and body is not None and "agentUpgradePolicyStatus" in body:
            status = body["agentUpgradePolicyStatus"]
            if status["status"] in {"downloaded", "initiated", "successful"}:
                body = {"agentUpgradePolicyStatus": {**status, "status": word}}
        return await self._direct.request(method, path, identity, secret, body)
