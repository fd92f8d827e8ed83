"""GET requests to the agbot's local API over HTTP.

It keeps no connection or cookie, follows no redirect, decompresses nothing, and bounds time and
size. A refused connection is an error of its own: it alone proves that no agbot runs there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import aiohttp

from agbot.foreign_text import unreached

_MAX_REPLY_BYTES = 16 * 1024 * 1024
"""About 100,000 rows: twice the nodes of the largest organisation that the Exchange allows."""


class NotListeningError(Exception):
    """The connection was refused: no process listens at this address."""


class NoAnswerError(Exception):
    """No complete answer, or none in time. It is not known whether an agbot runs there."""


class TooLateError(NoAnswerError):
    """No complete answer in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer, of any status."""

    status: int
    body: bytes


class Transport(Protocol):
    """Sends requests to a local API."""

    async def get(self, url: str, *, timeout_seconds: float) -> Reply:
        """Send one request; `timeout_seconds` on the event loop's clock covers all of it.

        Raises:
            NotListeningError: the connection was refused.
            TooLateError: there was no complete answer in time.
            NoAnswerError: there was no complete answer.
        """

    async def close(self) -> None:
        """Close what is open. A later request opens it again."""


class HttpTransport:
    """A local API over aiohttp."""

    def __init__(self, *, max_reply_bytes: int = _MAX_REPLY_BYTES) -> None:
        self._max_reply_bytes = max_reply_bytes
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, *, timeout_seconds: float) -> Reply:
        """Send one request; see `Transport`."""
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        try:
            async with self._open().get(url, allow_redirects=False, timeout=timeout) as response:
                return Reply(status=response.status, body=await self._read(response))
        except TimeoutError as error:
            message = f"no complete answer within {timeout_seconds:.3g} s"
            raise TooLateError(message) from error
        except aiohttp.ClientConnectorError as error:
            # Only this one proves that no process listens there. A host that is unreachable may run
            # an agbot that reaches its database.
            if isinstance(error.os_error, ConnectionRefusedError):
                raise NotListeningError(unreached(error)) from error
            raise NoAnswerError(unreached(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            message = f"no usable answer ({type(error).__name__}: {str(error) or 'the connection was closed'})"
            raise NoAnswerError(message) from error

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_reply_bytes:
                message = f"more than {self._max_reply_bytes} bytes"
                raise NoAnswerError(message)
        return bytes(body)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            # a new connection for each: a kept one may belong to an agbot that has ended
            connector = aiohttp.TCPConnector(limit=4, force_close=True)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
            )
        return self._session

    async def close(self) -> None:
        """Close the client."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
