"""The body of a request on its way through: bounded in size and time, and never ended as if whole when it was not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from agbot.gateway import answers
from agbot.gateway.answers import Reply

_BROKEN = web.PayloadAccessError, web.RequestPayloadError, HttpProcessingError


class Body:
    """What a client sends, as it comes."""

    def __init__(self, request: web.BaseRequest, *, max_bytes: int, seconds: float) -> None:
        self._request = request
        self._max_bytes = max_bytes
        self._seconds = seconds
        self.reply: Reply | None = None
        """Set when the body was not what may be passed on: what to answer instead."""
        self.is_answered = False
        """Whether the upstream has begun to answer: what happens to the body from then on must not touch that answer."""

    def is_too_large(self) -> bool:
        """Tell whether the request says itself that it is too large."""
        length = self._request.content_length
        return length is not None and length > self._max_bytes

    def _check(self, total: int) -> None:
        if total > self._max_bytes:
            self.reply = too_large(self._max_bytes)
            raise ConnectionError("the body is too large")

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what arrives; stops with an error when it is too much, too slow or broken."""
        try:
            async for chunk in self._arriving():
                yield chunk
        except (TimeoutError, ConnectionError, *_BROKEN):
            if not self.is_answered:
                raise
            await asyncio.Event().wait()  # cancelled with the request; to return would end a body that is not whole

    async def _arriving(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        total, left = 0, self._seconds  # of waiting for the client: an upstream that reads slowly is not its fault
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
            self.reply = answers.bad_request("The request did not arrive completely in time.", closes=True)
            raise
        except ConnectionError:
            self.reply = self.reply or answers.bad_request("The request broke off.", closes=True)
            raise
        except _BROKEN:
            self.reply = answers.bad_request("The body of the request is broken.", closes=True)
            raise


def too_large(max_bytes: int) -> Reply:
    """Answer a body that is larger than what is passed through."""
    return answers.bad_request(f"A body may have {max_bytes} bytes at most.", status=413, closes=True)
