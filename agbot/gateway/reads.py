"""Reads of the Exchange for callers, with identical reads in flight only once.

Identical questions that arrive together share one read. All reads together are limited in number
and in time, so that neither a storm of questions nor a hanging Exchange causes a storm of reads
(A15). The Exchange's answer about the credentials is cached; see `agbot.gateway.authentication`. A
read continues when its caller has stopped waiting, for the benefit of the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from sys import intern
from typing import Protocol, TypeVar

from agbot.clock import Clock
from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import Forbidden, Refused, Unreachable
from agbot.gateway.authentication import Memory
from agbot.rules.facts import Node
from agbot.rules.ids import NodeId
from agbot.single_flight import SingleFlight

_MAX_OPEN_READS = 32
"""At 400 node reads per second for a whole hub, this many keep an Exchange busy without a queue."""

_MAX_STRANGERS_READS = 24
"""The most of them for credentials that the Exchange has not recently accepted: any client can
invent those."""

T = TypeVar("T")


class Exchange(Protocol):
    """The part of `agbot.exchange.client.ExchangeClient` that the gateway uses."""

    async def node(self, node_id: NodeId, credentials: Credentials | None = None) -> Node | None:
        """Read a node; None if it does not exist or is not visible to these credentials."""

    async def agbot_exists(self, agbot_id: str, credentials: Credentials) -> bool:
        """Whether these credentials can see this agbot."""


class NodeAbsent(Refused):
    """The Exchange shows no such node to these credentials: a node's own ones are then wrong."""


class Reads:
    """The gateway's reads, limited, with their results in `memory`."""

    def __init__(self, exchange: Exchange, memory: Memory, clock: Clock, *, seconds: float) -> None:
        self._exchange = exchange
        self._memory = memory
        self._seconds = clock.real_seconds(seconds)
        self._slots = asyncio.Semaphore(_MAX_OPEN_READS)
        self._strangers_slots = asyncio.Semaphore(_MAX_STRANGERS_READS)
        self._nodes: SingleFlight[Node] = SingleFlight()
        self._agbots: SingleFlight[bool] = SingleFlight()

    async def own_node(self, key: bytes, credentials: Credentials) -> Node:
        """Read the node that these credentials name: authentication and confirmation in one.

        Raises:
            NodeAbsent: the credentials do not belong to a node.
            ExchangeError: any other failure; `Unreachable` if there was no answer in time.
        """

        async def read() -> Node:
            node_id = NodeId(intern(credentials.identity))
            try:
                node = await self._bounded(key, lambda: self._exchange.node(node_id, credentials))
                if node is None:
                    raise _absent(node_id)
            except (Refused, Forbidden):  # `NodeAbsent` too: a node sees itself
                self._memory.refuse(key, _now())
                raise
            self._memory.accept(key, _now(), node)
            return node

        return await self._nodes.run(key, read)

    async def node_for_agbot(self, key: bytes, node_id: NodeId, credentials: Credentials) -> Node:
        """Read a node with an agbot's credentials.

        Raises:
            NodeAbsent: this agbot can see no such node.
            ExchangeError: any other failure.
        """

        async def read() -> Node:
            try:
                node = await self._bounded(key, lambda: self._exchange.node(node_id, credentials))
            except Refused:
                self._memory.refuse(key, _now())
                raise
            if node is None:  # that says nothing about the agbot's credentials
                raise _absent(node_id)
            return node

        return await self._nodes.run((key, node_id), read)

    async def is_agbot(self, key: bytes, credentials: Credentials) -> bool:
        """Whether the credentials belong to an agbot; they do not if the Exchange refuses them.

        Raises:
            ExchangeError: the Exchange did not answer.
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
        """Cancel all open reads."""
        await self._nodes.stop()
        await self._agbots.stop()

    async def _bounded(self, key: bytes, read: Callable[[], Awaitable[T]]) -> T:
        """Wait for a free slot and for the answer, both within the time limit."""
        is_known = self._memory.is_accepted(key, _now())
        try:
            async with asyncio.timeout(self._seconds):
                # in this order: a stranger that waits for a place must not keep one of the others'
                async with contextlib.nullcontext() if is_known else self._strangers_slots, self._slots:
                    return await read()
        except TimeoutError as error:
            raise Unreachable("GET", "/orgs", "no answer in time", "it is read again with the next question") from error


def _now() -> float:
    return asyncio.get_running_loop().time()


def _absent(node_id: NodeId) -> NodeAbsent:
    path = f"/orgs/{node_id.replace('/', '/nodes/', 1)}"
    return NodeAbsent("GET", path, "no such node for these credentials", "nothing is granted to it", status=404)
