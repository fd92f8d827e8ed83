"""Reads of the Exchange on behalf of those who ask, each at most once at a time.

Identical questions that arrive together share one read. All reads together are bounded in number and in time, so that neither a storm of
questions nor a hanging Exchange becomes a storm of reads (A15). What the Exchange says of the credentials is remembered; see
`agbot.gateway.authentication`. A read that its asker no longer waits for goes on: the next asker profits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Protocol, TypeVar

from agbot.clock import Clock
from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import Forbidden, Refused, Unreachable
from agbot.gateway.authentication import Memory
from agbot.rules.facts import Node
from agbot.rules.ids import NodeId

MAX_OPEN_READS = 32
"""At 400 node reads per second for a whole hub, this many keep an Exchange busy without queueing on it."""

MAX_STRANGERS_READS = 24
"""So many of them at most are for credentials that the Exchange has not accepted lately: anybody may make those up."""

T = TypeVar("T")


class Exchange(Protocol):
    """What the gateway needs of `agbot.exchange.client.ExchangeClient`."""

    async def node(self, node_id: NodeId, credentials: Credentials | None = None) -> Node | None:
        """Read a node; None if there is none, or none for these credentials."""

    async def agbot_exists(self, agbot_id: str, credentials: Credentials) -> bool:
        """Tell whether these credentials can see this agbot."""


class NodeAbsent(Refused):
    """The Exchange shows no such node to these credentials: for a node's own credentials, they are not a node's."""


class SingleFlight(Generic[T]):
    """Runs what is asked for under one key once, for everybody who asks while it runs."""

    def __init__(self) -> None:
        self._flying: dict[Hashable, asyncio.Task[T]] = {}

    async def run(self, key: Hashable, start: Callable[[], Awaitable[T]]) -> T:
        """Return the result of the run under way, or start one. A cancelled caller leaves it running."""
        task = self._flying.get(key)
        if task is None:
            task = asyncio.ensure_future(start())
            self._flying[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(task)

    def _landed(self, key: Hashable, task: asyncio.Task[T]) -> None:
        if self._flying.get(key) is task:
            del self._flying[key]
        if not task.cancelled():
            task.exception()  # nobody may be left to see it

    async def stop(self) -> None:
        """Cancel what still runs."""
        tasks = list(self._flying.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Reads:
    """The gateway's reads, bounded, and remembered in `memory`."""

    def __init__(self, exchange: Exchange, memory: Memory, clock: Clock, *, seconds: float) -> None:
        self._exchange = exchange
        self._memory = memory
        self._seconds = clock.real_seconds(seconds)
        self._slots = asyncio.Semaphore(MAX_OPEN_READS)
        self._strangers_slots = asyncio.Semaphore(MAX_STRANGERS_READS)
        self._nodes: SingleFlight[Node] = SingleFlight()
        self._agbots: SingleFlight[bool] = SingleFlight()

    async def own_node(self, key: bytes, credentials: Credentials) -> Node:
        """Read the node that these credentials name, with them: authentication and confirmation in one.

        Raises:
            NodeAbsent: they are not a node's.
            ExchangeError: any other failure; `Unreachable` when there was no answer in time.
        """

        async def read() -> Node:
            node_id = NodeId(credentials.identity)
            try:
                node = await self._bounded(key, lambda: self._exchange.node(node_id, credentials))
                if node is None:
                    raise _absent(node_id)
            except (Refused, Forbidden):
                self._memory.refuse(key, _now())
                raise
            self._memory.accept(key, _now(), node)
            return node

        return await self._nodes.run(key, read)

    async def node_for_agbot(self, key: bytes, node_id: NodeId, credentials: Credentials) -> Node:
        """Read a node with an agbot's credentials.

        Raises:
            NodeAbsent: there is no such node for this agbot.
            ExchangeError: any other failure.
        """

        async def read() -> Node:
            try:
                node = await self._bounded(key, lambda: self._exchange.node(node_id, credentials))
            except Refused:
                self._memory.refuse(key, _now())
                raise
            if node is None:
                raise _absent(node_id)
            return node

        return await self._nodes.run((key, node_id), read)

    async def is_agbot(self, key: bytes, credentials: Credentials) -> bool:
        """Ask the Exchange whether these are an agbot's credentials.

        Raises:
            ExchangeError: the Exchange gave no answer to that; refused credentials are the answer no.
        """

        async def read() -> bool:
            try:
                exists = await self._bounded(
                    key, lambda: self._exchange.agbot_exists(credentials.identity, credentials)
                )
            except (Refused, Forbidden):
                exists = False
            if exists:
                self._memory.accept(key, _now())
            else:
                self._memory.refuse(key, _now())
            return exists

        return await self._agbots.run(key, read)

    async def stop(self) -> None:
        """Cancel the reads under way."""
        await self._nodes.stop()
        await self._agbots.stop()

    async def _bounded(self, key: bytes, read: Callable[[], Awaitable[T]]) -> T:
        """Wait for a free slot and then for the answer, both within the time."""
        is_known = self._memory.is_accepted(key, _now())
        try:
            async with asyncio.timeout(self._seconds):
                async with contextlib.nullcontext() if is_known else self._strangers_slots, self._slots:
                    return await read()
        except TimeoutError as error:
            raise Unreachable("GET", "/orgs", "no answer in time", "it is read again with the next question") from error


def _now() -> float:
    return asyncio.get_running_loop().time()


def _absent(node_id: NodeId) -> NodeAbsent:
    path = f"/orgs/{node_id.replace('/', '/nodes/', 1)}"
    return NodeAbsent("GET", path, "no such node for these credentials", "nothing is granted to it", status=404)
