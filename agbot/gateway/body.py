"""The body of a request that is passed through: limited in size and time.

A body that breaks off is never ended as if it were whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from agbot.gateway import answers
from agbot.gateway.answers import Reply

BROKEN = web.PayloadAccessError, web.RequestPayloadError, HttpProcessingError
"""How aiohttp reports a body that is not what its head says."""


class Body:
    """The body that a client sends, as it arrives."""

    def __init__(self, request: web.BaseRequest, *, max_bytes: int, seconds: float) -> None:
        self._request = request
        self._max_bytes = max_bytes
        self._seconds = seconds
        self.reply: Reply | None = None
        """The answer to a body that must not be passed through; None if the body is acceptable."""
        self.is_answered = False
        """Whether the upstream has begun to answer. From then on, errors of the body must not
        change that answer."""

    def is_too_large(self) -> bool:
        """Whether the declared length of the body is over the limit."""
        length = self._request.content_length
        return length is not None and length > self._max_bytes

    def _check(self, total: int) -> None:
        if total > self._max_bytes:
            self.reply = too_large(self._max_bytes)
            raise ConnectionError("the body is too large")

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the received data; raise an error if they are too much, too slow or broken."""
        try:
            async for chunk in self._arriving():
                yield chunk
        except (TimeoutError, ConnectionError, *BROKEN):
            if not self.is_answered:
                raise
            # until the request is cancelled: a return would end a body that is not whole
            await asyncio.Event().wait()

    async def _arriving(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        # only time spent on the client counts: it is not responsible for a slow upstream
        total, left = 0, self._seconds
        try:
            while True:
                began_at = loop.time()
                async with asyncio.timeout(left):
                    chunk = await self._request.content.readany()
                left -= loop.time() - began_at
                if not chunk:
                    return
                total += len(chunk)
                self._check(total)
                yield chunk
        except TimeoutError:
            self.reply = answers.bad_request("The request did not arrive completely in time.")
            raise
        except ConnectionError:
            self.reply = self.reply or answers.bad_request("The request broke off.")
            raise
        except BROKEN:
            self.reply = answers.bad_request("The body of the request is broken.")
            raise


def too_large(max_bytes: int) -> Reply:
    """Answer that the body is too large to be passed through."""
    return answers.bad_request(f"A body may have {max_bytes} bytes at most.", status=413)
