"""A transport that asks the simulated Exchange in-process, without sockets, for tests on a virtual clock.

It enacts what the simulator can only signal (a dropped connection, a hang, a slow reply, a body cut
short) with the event loop's sleep, so that a virtual loop jumps over the waiting. One simulated
second is one second of the loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from agbot.exchange import resources
from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import Unreachable
from agbot.exchange.transport import Reply
from agbot.sim.exchange import Request, SimExchange
from agbot.sim.faults import Dropped, Hang

_WHAT_NEXT = "it is tried again"


def _at_once() -> float:
    return 0.0


Spoil = Callable[[str, str, Reply], Reply]
"""What a fault makes of a reply, by method and path."""


def _unspoilt(_method: str, _path: str, reply: Reply) -> Reply:
    return reply


class DirectTransport:
    """Asks a `SimExchange`.

    `way_seconds` is drawn twice per request: for the way there and for the way back.
    """

    def __init__(self, exchange: SimExchange, *, way_seconds: Callable[[], float] = _at_once) -> None:
        self._exchange = exchange
        self._way_seconds = way_seconds
        self.requests: Counter[tuple[str, str]] = Counter()
        """Requests sent so far, by method and route template."""
        self.spoil: Spoil = _unspoilt

    async def request(
        self, method: str, path: str, *, credentials: Credentials | None, body: bytes | None, timeout_seconds: float
    ) -> Reply:
        """Send one request."""
        self.requests[method, resources.template(path)] += 1
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._carry(method, path, credentials, body)
        except TimeoutError as error:
            raise Unreachable(method, path, f"no whole answer within {timeout_seconds:g} s", _WHAT_NEXT) from error

    async def _carry(self, method: str, path: str, credentials: Credentials | None, body: bytes | None) -> Reply:
        headers = {"Accept": "application/json"}
        if credentials is not None:
            headers["Authorization"] = credentials.basic()
        if body is not None:
            headers["Content-Type"] = "application/json"
        await asyncio.sleep(self._way_seconds())
        try:
            reply = self._exchange.handle(
                Request(method=method, target=f"/v1{path}", headers=headers, body=body or b"")
            )
        except Dropped as error:
            raise Unreachable(method, path, "the connection was closed", _WHAT_NEXT) from error
        except Hang:
            await asyncio.Event().wait()
            raise
        await asyncio.sleep(reply.delay_seconds + self._way_seconds())
        if reply.truncated:
            raise Unreachable(method, path, "the body ended early", _WHAT_NEXT)
        return self.spoil(method, path, Reply(status=reply.status, headers=reply.headers, body=reply.body))

    async def close(self) -> None:
        """Nothing is open."""
