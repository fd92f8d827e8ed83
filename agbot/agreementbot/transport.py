"""One GET to the agbot's local API over HTTP, and nothing of what it means.

It keeps no connection, no cookie, follows no redirect, unpacks nothing, and bounds time and size. That nobody listens at an address is told
apart from everything else: it alone proves that no agbot runs there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import aiohttp

MAX_REPLY_BYTES = 16 * 1024 * 1024
"""About 100,000 rows: twice the nodes of the largest organisation that the Exchange allows."""


class NotListeningError(Exception):
    """The connection was refused: nobody listens at this address."""


class NoAnswerError(Exception):
    """No whole answer, or none in time. Whether an agbot runs there is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back, whatever it is."""

    status: int
    body: bytes


class Transport(Protocol):
    """How a request reaches a local API."""

    async def get(self, url: str, *, timeout_seconds: float) -> Reply:
        """Send one request; `timeout_seconds` on the event loop's clock covers all of it.

        Raises:
            NotListeningError: the connection was refused.
            NoAnswerError: anything else than a whole answer.
        """

    async def close(self) -> None:
        """Give back what is open. A request after it opens it anew."""


class HttpTransport:
    """A local API over aiohttp."""

    def __init__(self, *, max_reply_bytes: int = MAX_REPLY_BYTES) -> None:
        self._max_reply_bytes = max_reply_bytes
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, *, timeout_seconds: float) -> Reply:
        """Send one request; see `Transport`."""
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        try:
            async with self._open().get(url, allow_redirects=False, timeout=timeout) as response:
                return Reply(status=response.status, body=await self._read(response))
        except TimeoutError as error:
            message = f"no whole answer within {timeout_seconds:.3g} s"
            raise NoAnswerError(message) from error
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, ConnectionRefusedError):
                raise NotListeningError(str(error)) from error
            raise NoAnswerError(str(error)) from error
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
            # a new connection each: one that is kept may belong to an agbot that has ended since
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
