"""Requests to the Exchange over HTTP, without their meaning.

A `Transport` returns any status and body, or raises `Unreachable`. It follows no redirect
(credentials must not go to another host), keeps no cookies, retries nothing, and bounds time and
size, both of each answer and of all open ones together. Nothing is decompressed, because a small
answer could expand a thousand times.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from agbot.exchange import resources
from agbot.exchange.credentials import Credentials, secrets_of
from agbot.exchange.errors import Unreachable, Unreadable
from agbot.foreign_text import excerpt, unreached

_MAX_LIST_BYTES = 64 * 1024 * 1024
"""Twice the node list of the largest organisation that the Exchange allows (45,000 nodes)."""
MAX_THING_BYTES = 4 * 1024 * 1024
"""One node, group or policy, or an error page."""
_MAX_HELD_BYTES = 2 * _MAX_LIST_BYTES
"""All answers that are being read. One that exceeds it fails, and is read again later."""

_SHOWN_CHARACTERS = 300

Observe = Callable[[str], None]
"""Receives the outcome of each request: an HTTP status, `timeout`, `unreachable`, `too-large` or
`cancelled`."""

_TRY_LATER = "check that the Exchange runs and that [exchange] url, proxy and certificates are right; it is retried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer, of any status."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def header(self, name: str) -> str:
        """Return a header by its name in any case, or an empty string."""
        wanted = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == wanted), "")


class Transport(Protocol):
    """Sends requests to the Exchange."""

    async def request(
        self, method: str, path: str, *, credentials: Credentials | None, body: bytes | None, timeout_seconds: float
    ) -> Reply:
        """Send one request.

        `path` is below `/v1` and percent-encoded; `timeout_seconds` on the event loop's clock
        covers all of it.

        Raises:
            Unreachable: no complete answer in time.
            Unreadable: the answer is too large.
        """

    async def close(self) -> None:
        """Close the connections. A later request opens new ones."""


class HttpTransport:
    """The Exchange at a URL, over aiohttp. Connections are opened at the first request."""

    def __init__(
        self,
        url: str,
        *,
        ca_file: Path | None = None,
        is_checked: bool = True,
        connect_seconds: float = 5.0,
        connections: int = 64,
        max_list_bytes: int = _MAX_LIST_BYTES,
        max_held_bytes: int = _MAX_HELD_BYTES,
        observe: Observe | None = None,
    ) -> None:
        """Use the base URL, ending in `/v1`, and trust the authorities of a PEM file too.

        With `is_checked` False any certificate is accepted: only on request of a person
        (HZN_SSL_SKIP_VERIFY), never for the daemon.

        Raises:
            ValueError: the URL is not a plain http(s) one.
        """
        parts = urlsplit(url)
        if (
            parts.scheme not in {"http", "https"}
            or not parts.hostname
            or parts.username
            or parts.query
            or parts.fragment
        ):
            message = "the Exchange's URL must look like https://HOST[:PORT]/v1, without credentials, query or fragment"
            raise ValueError(message)
        self._url = url.rstrip("/")
        self._is_tls = parts.scheme == "https"
        self._ca_file = ca_file
        self._is_checked = is_checked
        self._connect_seconds = connect_seconds
        self._connections = connections
        self._max_list_bytes = max_list_bytes
        self._max_held_bytes = max_held_bytes
        self._held_bytes = 0
        self._observe = observe or _ignore
        self._session: aiohttp.ClientSession | None = None
        self._trust: ssl.SSLContext | bool | None = None
        """None until the first request, which reports what is wrong with the file."""

    async def request(
        self, method: str, path: str, *, credentials: Credentials | None, body: bytes | None, timeout_seconds: float
    ) -> Reply:
        """Send one request; see `Transport`."""
        outcome = "cancelled"
        try:
            reply = await self._exchange(method, path, credentials, body, timeout_seconds)
            outcome = str(reply.status)
        except TimeoutError as error:
            outcome = "timeout"
            came = f"no complete answer within {timeout_seconds:.3g} s"
            raise Unreachable(method, path, came, _TRY_LATER) from error
        except aiohttp.ClientError as error:
            outcome = "unreachable"
            raise Unreachable(method, path, _what(error, credentials), _TRY_LATER) from _without_secrets(
                error, credentials
            )
        except OSError as error:
            outcome = "unreachable"
            raise Unreachable(method, path, _what(error, credentials), _TRY_LATER) from error
        except Unreadable:
            outcome = "too-large"
            raise
        finally:
            self._observe(outcome)
        return reply

    async def _exchange(
        self, method: str, path: str, credentials: Credentials | None, body: bytes | None, timeout_seconds: float
    ) -> Reply:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if credentials is not None:
            headers["Authorization"] = credentials.basic()
        if body is not None:
            headers["Content-Type"] = "application/json"
        connect = min(self._connect_seconds, timeout_seconds)
        session = self._open()
        async with session.request(
            method,
            URL(self._url + path, encoded=True),
            headers=headers,
            data=body,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=connect),
            ssl=True if self._trust is None else self._trust,
        ) as response:
            return Reply(
                status=response.status, headers=response.headers, body=await self._read(response, method, path)
            )

    async def _read(self, response: aiohttp.ClientResponse, method: str, path: str) -> bytes:
        def unreadable(came: str, what_next: str = "check that [exchange] url names an Exchange") -> Unreadable:
            return Unreadable(method, path, came, what_next, status=response.status)

        # asked for plain: what comes packed anyway could expand a thousand times
        packed = response.headers.get("Content-Encoding", "identity")
        if packed.lower() != "identity":
            raise unreadable(
                f"the answer is compressed ({packed[:20]!r})",
                "disable compression between the Exchange and the coordinator",
            )
        most = self._max_list_bytes if resources.is_list(path) else min(MAX_THING_BYTES, self._max_list_bytes)
        # refused before the first byte is read; an answer without a length is counted below
        if (response.content_length or 0) > most:
            raise unreadable(f"an answer of more than {most} bytes")
        body = bytearray()
        try:
            async for chunk in response.content.iter_any():
                body += chunk
                self._held_bytes += len(chunk)
                if len(body) > most:
                    raise unreadable(f"an answer of more than {most} bytes")
                if self._held_bytes > self._max_held_bytes:
                    raise unreadable(
                        f"more than {self._max_held_bytes} bytes in all open answers", "it is read again later"
                    )
        finally:
            self._held_bytes -= len(body)
        return bytes(body)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            if self._trust is None:
                self._trust = self._loaded_trust() if self._is_tls and self._is_checked else self._is_checked
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections),
                cookie_jar=aiohttp.DummyCookieJar(),
                raise_for_status=False,
                auto_decompress=False,
            )
        return self._session

    def renew_trust(self) -> None:
        """Read the authorities again. Open connections stay open, but no new request uses them.

        Raises:
            OSError: they cannot be used; the former ones stay in use.
        """
        if self._is_tls and self._is_checked:
            self._trust = self._loaded_trust()

    def _loaded_trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._ca_file is not None:
            try:
                context.load_verify_locations(cafile=self._ca_file)
            except OSError as error:  # ssl.SSLError is one
                message = f"the CA file {self._ca_file} cannot be used ({error})"
                raise OSError(message) from error
        return context

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            # lets the close callbacks of the sockets run before the loop ends
            await asyncio.sleep(0)


def _what(error: Exception, credentials: Credentials | None) -> str:
    """Describe the error. aiohttp's error quotes what is not HTTP, which may be our own request."""
    if why := unreached(error):
        return why
    shown = excerpt(str(error), secrets_of(credentials), _SHOWN_CHARACTERS)
    return f"no usable answer ({type(error).__name__}: {shown or 'the connection was closed'})"


def _without_secrets(error: aiohttp.ClientError, credentials: Credentials | None) -> aiohttp.ClientError:
    """Remove the request's headers and the invalid answer from an error."""
    if isinstance(error, aiohttp.ClientResponseError):
        error.request_info = error.request_info._replace(headers=CIMultiDictProxy(CIMultiDict()))
        error.message = excerpt(error.message, secrets_of(credentials), _SHOWN_CHARACTERS)
        error.args = (error.request_info, error.history)
        error.__cause__ = error.__context__ = None
    return error


def _ignore(_outcome: str) -> None:
    """Count nothing."""
