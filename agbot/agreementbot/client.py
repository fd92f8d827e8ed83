"""Reads from the real agbot's local API which upgrades it has begun by itself.

All agbots that share a database show the same two lists, so the addresses are tried in order until
one answers. The result is a value: the rows, or that no agbot runs (so that none can begin an
upgrade), or that the lists cannot be read.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from agbot.agreementbot import wire
from agbot.agreementbot.transport import HttpTransport, NoAnswerError, NotListeningError, TooLateError, Transport
from agbot.clock import Clock
from agbot.rules.facts import Row
from agbot.rules.ids import NodeId, PolicyId
from agbot.settings.model import AgbotSettings

_SERVICES = "/ha/upgradingwlu"
_AGENTS = "/ha/upgradingnode"
_USAGES = "/workloadusage"
_LEAST_SECONDS = 0.001
"""To aiohttp, 0 is no limit at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Every upgrade in progress of the agbots."""

    rows: tuple[Row, ...]
    url: str
    """The address that answered."""
    repeated: tuple[Row, ...] = ()
    """Rows that are listed more than once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRunning:
    """Every address refuses connections: no agbot runs, so none begins an upgrade."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """An agbot may run and begin upgrades, but its lists cannot be read."""

    why: str


Listing = Listed | NotRunning | Unreadable
Waiting = frozenset[tuple[NodeId, PolicyId]]
"""The members that the agbots keep waiting for a service upgrade, each with its policy."""


class Lists(Protocol):
    """Where the upgrades are listed that the agbots have begun by themselves."""

    async def list_rows(self) -> Listing:
        """List them all. Every failure is a value."""


class Agbots(Lists, Protocol):
    """What else the agbots show of themselves, which only shadow mode reads."""

    async def waiting(self) -> Waiting:
        """List the members that wait for a service upgrade, as far as they can be read."""

    async def close(self) -> None:
        """Close what is open."""


class AgreementBot:
    """The agbots behind the addresses of `[agbot] api`."""

    def __init__(self, settings: AgbotSettings, clock: Clock, transport: Transport | None = None) -> None:
        """Connect to nothing before the first read.

        Raises:
            ValueError: the settings have no address.
        """
        if not settings.api:
            message = "[agbot] api names no address"
            raise ValueError(message)
        self._urls = tuple(url.rstrip("/") for url in settings.api)
        self._seconds = clock.real_seconds(settings.request_seconds)
        self._transport = transport or HttpTransport()

    async def list_rows(self) -> Listing:
        """Read both lists, within `request_seconds` for all addresses together."""
        now = asyncio.get_running_loop().time
        end = now() + self._seconds
        refused: list[str] = []
        failed: list[str] = []
        for left, url in zip(range(len(self._urls), 0, -1), self._urls, strict=True):
            # a refused connection takes no time: the next address has the rest
            share = max(end - now(), 0.0) / left
            try:
                return await self._ask(url, now() + share)
            except NotListeningError:
                refused.append(url)
            except TooLateError:  # of both requests, the second has only what the first has left over
                failed.append(f"{url}: no complete answer within {share:.3g} s")
            except NoAnswerError as error:
                failed.append(f"{url}: {error}")
        # one that hangs may be an agbot that runs, however many others are refused
        if failed:
            return Unreadable(why="; ".join(failed))
        return NotRunning(why=f"connections are refused at {', '.join(refused)}")

    async def waiting(self) -> Waiting:
        """Read `/workloadusage` of every agbot: each shows those of its own partition only."""
        until = asyncio.get_running_loop().time() + self._seconds
        found: set[tuple[NodeId, PolicyId]] = set()
        for url in self._urls:
            # shadow mode only compares: what one agbot does not show is missing there, and no more
            with suppress(NotListeningError, NoAnswerError, ValueError):
                found.update(wire.waiting_services(await self._get(url + _USAGES, until)))
        return frozenset(found)

    async def _ask(self, url: str, until: float) -> Listed:
        services = await self._get(url + _SERVICES, until)
        try:
            agents = await self._get(url + _AGENTS, until)
        except NotListeningError as error:  # it answered a moment ago
            raise NoAnswerError(str(error)) from error
        try:
            rows = [*wire.service_rows(services), *wire.agent_rows(agents)]
        except ValueError as error:  # msgspec's errors are ValueErrors, as is a wrong text encoding
            message = f"an answer that is not a list of upgrades: {error}"
            raise NoAnswerError(message) from error
        return Listed(rows=wire.distinct(rows), url=url, repeated=wire.repeated(rows))

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
