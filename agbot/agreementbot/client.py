"""The upgrades that the real agbot has begun by itself, as its local API lists them.

Every agbot that shares the database shows the same two lists, so the addresses are tried in order until one answers. What a look finds is a
value: the rows, that no agbot runs (so none can begin anything), or that the lists cannot be read.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

from agbot.agreementbot import wire
from agbot.agreementbot.transport import HttpTransport, NoAnswerError, NotListeningError, Transport
from agbot.clock import Clock
from agbot.rules.facts import Row
from agbot.settings.model import AgbotSettings

SERVICES = "/ha/upgradingwlu"
AGENTS = "/ha/upgradingnode"
_LEAST_SECONDS = 0.001
"""To aiohttp, 0 is no limit at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Every upgrade that the agbots have under way."""

    rows: tuple[Row, ...]
    url: str
    """Who said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NobodyThere:
    """Every address refuses connections: no agbot runs, so none begins anything."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """An agbot may run and begin upgrades, but its lists cannot be read."""

    why: str


Look = Listed | NobodyThere | Unreadable


class AgreementBot:
    """The agbots behind the addresses of `[agbot] api`."""

    def __init__(self, settings: AgbotSettings, clock: Clock, transport: Transport | None = None) -> None:
        """Take the settings; nothing is opened before the first look.

        Raises:
            ValueError: the settings name no address.
        """
        if not settings.api:
            message = "[agbot] api names no address"
            raise ValueError(message)
        self._urls = tuple(url.rstrip("/") for url in settings.api)
        self._seconds = clock.real_seconds(settings.request_seconds)
        self._transport = transport or HttpTransport()

    async def look(self) -> Look:
        """Read both lists. Takes no longer than `request_seconds` for all addresses together."""
        now = asyncio.get_running_loop().time
        end = now() + self._seconds
        refused: list[str] = []
        failed: list[str] = []
        for left, url in zip(range(len(self._urls), 0, -1), self._urls, strict=True):
            # a refusal comes at once, and the time that it has not used is the next one's
            until = now() + max(end - now(), 0.0) / left
            try:
                return await self._ask(url, until)
            except NotListeningError:
                refused.append(url)
            except NoAnswerError as error:
                failed.append(f"{url}: {error}")
        if failed:
            return Unreadable(why="; ".join(failed))
        return NobodyThere(why=f"nobody listens at {', '.join(refused)}")

    async def _ask(self, url: str, until: float) -> Listed:
        services = await self._get(url + SERVICES, until)
        try:
            agents = await self._get(url + AGENTS, until)
        except NotListeningError as error:  # it was there a moment ago
            raise NoAnswerError(str(error)) from error
        try:
            rows = [*wire.service_rows(services), *wire.agent_rows(agents)]
        except ValueError as error:  # msgspec's errors are ValueErrors, as is a wrong text encoding
            message = f"an answer that is not a list of upgrades: {error}"
            raise NoAnswerError(message) from error
        return Listed(rows=wire.distinct(rows), url=url)

    async def _get(self, url: str, until: float) -> bytes:
        seconds = max(until - asyncio.get_running_loop().time(), _LEAST_SECONDS)
        reply = await self._transport.get(url, timeout_seconds=seconds)
        if reply.status != HTTPStatus.OK:
            message = f"the answer to GET {url} is {reply.status}: check that [agbot] api is the agbot's local API"
            raise NoAnswerError(message)
        return reply.body

    async def close(self) -> None:
        """Close what is open."""
        await self._transport.close()
