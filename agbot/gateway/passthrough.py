"""Every other route and method, passed to the real agbot's secure API and back, streaming and unchanged.

Method, target, headers (order, spelling, repetitions) and body bytes go through as they came, in both directions; only what belongs to
one connection (hop-by-hop headers, Host) is made anew. Nothing is followed, decompressed, remembered or retried. A broken or missing
upstream is told on these routes alone, as 502 or 504 with a JSON string; a reply that breaks off is broken off, never ended as if whole.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import aiohttp
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from agbot.gateway import answers
from agbot.gateway.answers import Outcome, Reply
from agbot.settings.model import AgbotSettings, GatewaySettings

CONNECT_SECONDS = 5.0
UPSTREAM_SECONDS = 60.0
"""Longest silence of the real agbot. Its slowest answers wait for the Exchange and its secrets provider; `hzn` gives up after 30 s."""

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    },
)
"""RFC 9110 7.6.1, and `Expect`, which this side has answered by itself."""
_NEVER_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_BROKEN_BODY = web.PayloadAccessError, web.RequestPayloadError, HttpProcessingError

_log = structlog.get_logger()


class _BrokenOffError(Exception):
    """The upstream broke off in the middle of its answer."""


class _Relay(web.StreamResponse):
    """A response to which the server adds no header that the upstream did not send."""

    async def _prepare_headers(self) -> None:
        sent = {name.lower() for name in self.headers}
        await super()._prepare_headers()
        for name in ("Server", "Date", "Content-Type"):
            if name.lower() not in sent:
                self.headers.popall(name, None)


class _Body:
    """The body of a request on its way through, bounded in size and time."""

    def __init__(self, request: web.BaseRequest, *, max_bytes: int, seconds: float) -> None:
        self._request = request
        self._max_bytes = max_bytes
        self._seconds = seconds
        self.reply: Reply | None = None
        """Set when the body was not what may be passed on: what to answer instead."""

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
        total = 0
        deadline = asyncio.get_running_loop().time() + self._seconds
        try:
            while True:
                async with asyncio.timeout_at(deadline):
                    chunk = await self._request.content.readany()
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
        except _BROKEN_BODY:
            self.reply = answers.bad_request("The body of the request is broken.", closes=True)
            raise


async def _chunks(upstream: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield an answer's body as it comes."""
    try:
        while chunk := await upstream.content.readany():
            yield chunk
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _BrokenOffError from error


def too_large(max_bytes: int) -> Reply:
    """Answer a body that is larger than what is passed through."""
    return answers.bad_request(f"A body may have {max_bytes} bytes at most.", status=413, closes=True)


class PassThroughRoute:
    """Passes requests to `[agbot] secure_api`. `start` before use, `stop` after."""

    def __init__(
        self,
        settings: GatewaySettings,
        agbot: AgbotSettings,
        *,
        request_seconds: float,
        upstream_seconds: float = UPSTREAM_SECONDS,
    ) -> None:
        self._upstream = agbot.secure_api.rstrip("/")
        self._ca_file = agbot.secure_api_ca_file
        self._max_body_bytes = settings.max_body_bytes
        self._max_header_bytes = settings.max_header_bytes
        self._request_seconds = request_seconds
        self._upstream_seconds = upstream_seconds
        self._session: aiohttp.ClientSession | None = None
        self._is_failing = False

    async def start(self) -> None:
        """Open the client.

        Raises:
            OSError: the CA file cannot be read.
            ssl.SSLError: it is not a PEM file of certificates.
        """
        context = ssl.create_default_context(cafile=self._ca_file)
        # a new connection each: the agbot may close an idle one just when it is used again, and a POST cannot be repeated
        connector = aiohttp.TCPConnector(ssl=context, limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=self._upstream_seconds)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_NEVER_ADDED,
            max_line_size=self._max_header_bytes,
            max_field_size=self._max_header_bytes,
        )
        # aiohttp would send an idempotent request again after a lost connection, with what is left of its body
        self._session._retry_connection = False  # noqa: SLF001 - there is no public switch

    async def stop(self) -> None:
        """Close the client."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def handle(self, request: web.BaseRequest, target: str) -> web.StreamResponse | Reply:
        """Pass one request on; a `Reply` is what to answer instead.

        Raises:
            ConnectionError: one side broke off in the middle of the answer.
        """
        if not self._upstream or self._session is None:
            return answers.string(
                502, "No agbot is configured for this route ([agbot] secure_api).", Outcome.UPSTREAM_FAILED
            )
        headers = _passed_on(request.raw_headers)
        if headers is None:
            return answers.bad_request("A header is not valid UTF-8.", closes=True)
        body = _Body(request, max_bytes=self._max_body_bytes, seconds=self._request_seconds)
        if body.is_too_large():
            return too_large(self._max_body_bytes)
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            async with self._session.request(
                request.method,
                URL(self._upstream + target, encoded=True),
                headers=headers,
                data=body.chunks() if request.can_read_body else None,
                allow_redirects=False,
            ) as upstream:
                self._recovered()
                return await self._relay(request, upstream)
        except TimeoutError as error:
            return body.reply or self._failed(504, "The agbot did not answer in time.", error)
        except (aiohttp.ClientError, ValueError) as error:
            return body.reply or self._failed(502, "The agbot cannot be reached, or its answer is broken.", error)

    async def _relay(self, request: web.BaseRequest, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        """Write the upstream's answer as it comes.

        Raises:
            ConnectionError: one side broke off.
        """
        relay = _Relay(status=upstream.status, reason=upstream.reason, headers=_passed_back(upstream.raw_headers))
        try:
            await relay.prepare(request)
            async for chunk in _chunks(upstream):
                await relay.write(chunk)
            await relay.write_eof()
        except (
            aiohttp.ClientError,
            _BrokenOffError,
        ) as error:  # what a client's going away is called, and an upstream's
            if request.transport is not None:
                request.transport.close()
            raise ConnectionError("the answer broke off") from error
        return relay

    def _failed(self, status: int, message: str, error: BaseException) -> Reply:
        if not self._is_failing:
            self._is_failing = True
            _log.warning("upstream.failed", upstream=self._upstream, error=_said(error))
        return answers.string(status, message, Outcome.UPSTREAM_FAILED)

    def _recovered(self) -> None:
        if self._is_failing:
            self._is_failing = False
            _log.info("upstream.recovered", upstream=self._upstream)


def _said(error: BaseException) -> str:
    """Say what went wrong; not what came instead of an answer, in which the client's credentials may stand."""
    if isinstance(error, aiohttp.ClientResponseError):
        return "the answer is not HTTP"
    return str(error) or type(error).__name__


def _passed_on(raw: tuple[tuple[bytes, bytes], ...]) -> CIMultiDict[str] | None:
    """Return a request's headers for the upstream; None when one cannot be written again as it came."""
    try:
        pairs = [(name.decode("ascii"), value.decode("utf-8")) for name, value in raw]
    except UnicodeDecodeError:
        return None
    return _end_to_end(pairs, also_dropped={"host"})


def _passed_back(raw: tuple[tuple[bytes, bytes], ...]) -> CIMultiDict[str]:
    """Return a response's headers for the client."""
    return _end_to_end([(name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in raw], set())


def _end_to_end(pairs: list[tuple[str, str]], also_dropped: set[str]) -> CIMultiDict[str]:
    named = {
        token.strip().lower() for name, value in pairs if name.lower() == "connection" for token in value.split(",")
    }
    dropped = _HOP_BY_HOP | named | also_dropped
    return CIMultiDict((name, value) for name, value in pairs if name.lower() not in dropped)
