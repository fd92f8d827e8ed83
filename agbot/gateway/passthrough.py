"""Passes all other requests to the real agbot's secure API and back, streamed and unchanged.

Method, target, headers (order, spelling, repetitions) and body bytes are passed unchanged in both
directions. Only the headers of one connection (hop-by-hop headers, Host) are replaced. Redirects
are not followed, and nothing is decompressed, cached or retried. A broken or missing upstream is
reported on these routes only, as 502 or 504 with a JSON string. An answer that breaks off is cut
off for the client too, and never ended as if it were whole.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable

import aiohttp
from aiohttp import HttpVersion11, web
from multidict import CIMultiDict
from yarl import URL

from agbot import log
from agbot.clock import Clock
from agbot.events.listeners import UpstreamFailed, UpstreamRecovered
from agbot.events.outage import Outage
from agbot.foreign_text import unanswered
from agbot.gateway import answers
from agbot.gateway.answers import Outcome, Reply
from agbot.gateway.body import Body, too_large
from agbot.gateway.patient_socket import patient_socket
from agbot.listening.connection import Connection
from agbot.listening.lingering import cut_off
from agbot.settings.model import AgbotSettings, GatewaySettings

CONNECT_SECONDS = 5.0
UPSTREAM_SECONDS = 60.0
"""The longest silence of the real agbot. Its slowest answers wait for the Exchange and its secrets
provider; `hzn` gives up after 30 s."""
ANSWER_SECONDS = 600.0
"""The longest time of one answer, from its head to its end. An endless one would keep its place
without limit."""

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
"""RFC 9110 7.6.1, and `Expect`, which the gateway answers itself."""
_NEVER_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class _BrokenOffError(Exception):
    """The upstream has broken off during its answer."""


class _Relay(web.StreamResponse):
    """A response without headers that the upstream did not send."""

    async def _prepare_headers(self) -> None:
        sent = {name.lower() for name in self.headers}
        await super()._prepare_headers()
        for name in ("Server", "Date", "Content-Type"):
            if name.lower() not in sent:
                self.headers.popall(name, None)


async def _chunks(upstream: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield the body of an answer as it arrives."""
    try:
        while chunk := await upstream.content.readany():
            yield chunk
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _BrokenOffError from error


class PassThroughRoute:
    """Passes requests to `[agbot] secure_api`. `start` before use, `stop` after."""

    def __init__(
        self,
        settings: GatewaySettings,
        agbot: AgbotSettings,
        clock: Clock,
        *,
        upstream_seconds: float = UPSTREAM_SECONDS,
    ) -> None:
        self._upstream = agbot.secure_api.rstrip("/")
        self._ca_file = agbot.secure_api_ca_file
        self._max_body_bytes = settings.max_body_bytes
        self._max_header_bytes = settings.max_header_bytes
        self._request_seconds = clock.real_seconds(settings.request_seconds)
        self._upstream_seconds = clock.real_seconds(upstream_seconds)
        self._session: aiohttp.ClientSession | None = None
        self._trust: ssl.SSLContext | bool = True
        self._outage = Outage()

    async def start(self) -> None:
        """Open the HTTP client.

        Raises:
            OSError: the CA file is not usable.
        """
        self.renew_trust()
        # a new connection for each request: the agbot could close an idle one just when it is used
        # again, and a POST must not be repeated
        connector = aiohttp.TCPConnector(limit=0, force_close=True, socket_factory=patient_socket)
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
        # aiohttp would repeat an idempotent request after a lost connection, with the rest of its
        # body
        self._session._retry_connection = False  # noqa: SLF001 - no public setting

    def renew_trust(self) -> None:
        """Load again the CA certificates for the agbot; on failure the former ones stay.

        Raises:
            OSError: the file is not usable.
        """
        if self._ca_file is None and URL(self._upstream).scheme != "https":
            return  # the system's authorities are 15 ms of processor
        try:
            self._trust = ssl.create_default_context(cafile=self._ca_file)
        except OSError as error:  # ssl.SSLError is one
            message = f"[agbot] secure_api_ca_file {self._ca_file} cannot be used: {error}"
            raise OSError(message) from error

    async def stop(self) -> None:
        """Close the HTTP client."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def handle(self, request: web.BaseRequest, target: str) -> web.StreamResponse | Reply:
        """Pass a request through. A `Reply` is an answer of the gateway itself.

        Raises:
            ConnectionError: one side broke off during the answer.
        """
        if not self._upstream or self._session is None:
            return answers.string(
                502, "No agbot is configured for this route ([agbot] secure_api).", Outcome.UPSTREAM_FAILED
            )
        headers = _passed_on(request.raw_headers)
        if headers is None:
            return answers.bad_request("A header is not valid UTF-8.")
        body = Body(request, max_bytes=self._max_body_bytes, seconds=self._request_seconds)
        if body.is_too_large():
            return too_large(self._max_body_bytes)
        # only now: a body that is refused above need not be sent
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        sending = self._session.request(
            request.method,
            URL(self._upstream + target, encoded=True),
            headers=headers,
            data=body.chunks() if request.can_read_body else None,
            allow_redirects=False,
            ssl=self._trust,
        )
        return await self._answer(request, body, sending)

    async def _answer(
        self, request: web.BaseRequest, body: Body, sending: Awaitable[aiohttp.ClientResponse]
    ) -> web.StreamResponse | Reply:
        """Send a request to the agbot and relay its answer.

        Raises:
            ConnectionError: one side broke off during the answer.
        """
        try:
            async with asyncio.timeout(CONNECT_SECONDS + self._request_seconds + self._upstream_seconds):
                upstream = await sending
            body.is_answered = True
            self._recovered()
            try:
                return await self._relay_in_time(request, upstream)
            finally:
                upstream.close()  # this also ends a body for which the upstream did not wait
        except TimeoutError as error:
            return body.reply or self._failed(504, "The agbot did not answer in time.", error)
        except (aiohttp.ClientError, ValueError) as error:
            return body.reply or self._failed(502, "The agbot cannot be reached, or its answer is broken.", error)

    async def _relay_in_time(self, request: web.BaseRequest, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        """Write the upstream's answer as it arrives, and cut off one that does not end.

        Raises:
            ConnectionError: one side broke off, or the answer was cut off.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._relay(request, upstream)
        except TimeoutError as error:
            self._failed(504, "", TimeoutError(f"an answer did not end within {ANSWER_SECONDS:g} s"))
            if request.transport is not None:
                cut_off(request.transport)
            raise ConnectionError("the answer does not end") from error

    async def _relay(self, request: web.BaseRequest, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        """Write the upstream's answer as it arrives.

        Raises:
            ConnectionError: one side broke off.
        """
        relay = _Relay(status=upstream.status, reason=upstream.reason, headers=_passed_back(upstream.raw_headers))
        if not request.content.is_eof():  # an early answer: the remaining data are no new request
            relay.force_close()
            if isinstance(request.protocol, Connection):
                request.protocol.linger(self._request_seconds)
        try:
            await self._write_in_time(relay.prepare(request))
            async for chunk in _chunks(upstream):
                await self._write_in_time(relay.write(chunk))
            await self._write_in_time(relay.write_eof())
        except TimeoutError as error:
            if request.transport is not None:
                cut_off(request.transport)
            raise ConnectionError("the client does not take the answer") from error
        # from the client, and from the upstream
        except (aiohttp.ClientError, _BrokenOffError) as error:
            if request.transport is not None and request.version < HttpVersion11:
                cut_off(request.transport)  # the end of the connection may be that of the answer
            elif request.transport is not None:
                request.transport.close()
            raise ConnectionError("the answer broke off") from error
        return relay

    async def _write_in_time(self, writing: Awaitable[object]) -> None:
        """Write a piece of the answer within the time that the client has to read it.

        Raises:
            TimeoutError: the client does not read it, and must not keep its place.
        """
        async with asyncio.timeout(self._request_seconds):
            await writing

    def _failed(self, status: int, message: str, error: BaseException) -> Reply:
        if self._outage.begins(unanswered(error)):
            log.write(UpstreamFailed(upstream=self._upstream, error=self._outage.why))
        return answers.string(status, message, Outcome.UPSTREAM_FAILED)

    def _recovered(self) -> None:
        if self._outage.ends():
            log.write(UpstreamRecovered(upstream=self._upstream))


def _passed_on(raw: tuple[tuple[bytes, bytes], ...]) -> CIMultiDict[str] | None:
    """Return a request's headers for the upstream; None if one cannot be passed unchanged."""
    try:
        pairs = [(name.decode("ascii"), value.decode("utf-8")) for name, value in raw]
    except UnicodeDecodeError:
        return None
    return _end_to_end(pairs, also_dropped={"host"})


def _passed_back(raw: tuple[tuple[bytes, bytes], ...]) -> CIMultiDict[str]:
    """Return a response's headers for the client."""
    # aiohttp writes headers in UTF-8, so bytes that are not UTF-8 cannot be passed unchanged
    return _end_to_end([(name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in raw], set())


def _end_to_end(pairs: list[tuple[str, str]], also_dropped: set[str]) -> CIMultiDict[str]:
    named = {
        token.strip().lower() for name, value in pairs if name.lower() == "connection" for token in value.split(",")
    }
    dropped = _HOP_BY_HOP | named | also_dropped
    return CIMultiDict((name, value) for name, value in pairs if name.lower() not in dropped)
