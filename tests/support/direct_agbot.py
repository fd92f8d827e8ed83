"""The product's way to the agbot's local API without sockets: each base URL leads to a simulated agbot in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from agbot.agreementbot.transport import NoAnswerError, NotListeningError, Reply, TooLateError
from agbot.sim.faults import Dropped, Hang, NotListening
from agbot.sim.local_api import LocalApi
from agbot.sim.plain_http import Received


class DirectAgbot:
    """A `Transport` of `agbot.agreementbot`.

    A URL that leads nowhere refuses, as a port does on which no one listens.
    """

    def __init__(self, apis: Mapping[str, LocalApi], *, way_seconds: Callable[[], float] = lambda: 0.0) -> None:
        self._apis = dict(apis)
        self._way_seconds = way_seconds

    async def get(self, url: str, *, timeout_seconds: float) -> Reply:
        """Send one request."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._get(url)
        except TimeoutError as error:
            raise TooLateError(f"no whole answer within {timeout_seconds:g} s") from error

    async def _get(self, url: str) -> Reply:
        base = next((base for base in self._apis if url.startswith(f"{base}/")), None)
        if base is None:
            raise NotListeningError(url)
        await asyncio.sleep(self._way_seconds())
        try:
            reply = self._apis[base].handle(Received(method="GET", path=url.removeprefix(base)))
        except NotListening as error:
            raise NotListeningError(url) from error
        except Dropped as error:
            raise NoAnswerError("the connection was closed") from error
        except Hang:
            await asyncio.Event().wait()
            raise
        if reply.cut_short:
            raise NoAnswerError("the body was cut short")
        await asyncio.sleep(reply.delay_seconds + self._way_seconds())
        return Reply(status=reply.status, body=reply.body.encode())

    async def close(self) -> None:
        """Have nothing to close."""
