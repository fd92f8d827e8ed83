"""One HTTP connection of either listener: aiohttp's, with our parser and limits.

A request that cannot be parsed is answered in the listener's own format and not logged. After the
last answer the connection is closed in a way that still delivers it (`lingering`). A connection
ends if the head of a request does not arrive in time: aiohttp's own keep-alive timer measures this,
from the opening of the connection. A client that does not read its answers has the same time;
asyncio would wait for it without limit, and 30 s more for the shutdown of TLS. Reads are small
(`reads`), so that many connections take turns in small steps.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, RequestPayloadError

from agbot.listening.lingering import hang_up, linger, tcp_of
from agbot.listening.parsing import Parser, TakesChunks
from agbot.listening.reads import break_cycle, take_small_reads
from agbot.listening.shares import client_of

_MAX_HEADERS = 64
"""Header fields of one request; agents send 8."""
LINGER_SECONDS = 1.0
"""How long the rest of a request is awaited after its answer, and the client's end after the last.
"""
_BUFFER_BYTES = 65_536

_silent = logging.getLogger(__name__)
"""Drops aiohttp's log lines about connections: none of them is an event of ours."""
_silent.addHandler(logging.NullHandler())
_silent.propagate = False

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
RequestFactory = Callable[
    [RawRequestMessage, StreamReader, web.RequestHandler, AbstractStreamWriter, "asyncio.Task[None]"], web.BaseRequest
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The limits of one connection and of all of them. Seconds are those of the event loop."""

    head_seconds: float
    """For the head of a request to arrive, and for the client to read the answers."""
    max_field_bytes: int
    max_connections: int
    takes_chunks: TakesChunks = lambda _method, _target: True
    """Whether a request may have a chunked body, by its method and raw target."""


Refuse = Callable[[HttpProcessingError], web.StreamResponse]
"""Answers a request that could not be parsed."""


class Connection(web.RequestHandler):
    """aiohttp's connection with our parser, limits and error format."""

    __slots__ = (
        "_answered",
        "_awaits_rest",
        "_client_seconds",
        "_client_timer",
        "_handed_over",
        "_is_finished",
        "_is_last",
        "_linger_seconds",
        "_refuse",
        "_tcp",
        "_wire",
        "client",
    )

    def __init__(self, manager: web.Server, *, loop: asyncio.AbstractEventLoop, bounds: Bounds, refuse: Refuse) -> None:
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=bounds.head_seconds,
            logger=_silent,
            access_log=None,  # type: ignore[arg-type] # aiohttp's own default server takes None as off
            max_line_size=bounds.max_field_bytes,
            max_field_size=bounds.max_field_bytes,
            max_headers=_MAX_HEADERS,
            lingering_time=0.0,  # `finish_response` does it
            auto_decompress=False,
        )
        self._parser = self._new_parser(bounds)
        self._refuse = refuse
        self._linger_seconds = LINGER_SECONDS
        self._is_last = False
        """Whether the client has closed its half, so that no further request can arrive."""
        self._answered = 0
        """How many requests have been answered."""
        self._awaits_rest = False
        """Whether a request has been answered before all of it has arrived."""
        self._is_finished = False
        """Whether all requests have been answered, and the connection only has to close."""
        self._client_seconds = bounds.head_seconds
        self._client_timer: asyncio.TimerHandle | None = None
        """Runs while answers are unread by the client, or the connection is closing."""
        self._wire: asyncio.Transport | None = None
        """The transport until it is lost. aiohttp's own attribute is None once it is closing."""
        self._tcp: asyncio.Transport  # below TLS; in clear text it is the same
        self._handed_over: tuple[bytes, bytes, float] | None = None
        """The arguments of `go_on_with`, until the connection is made."""
        self.client = ""
        """The client, as `client_of` names it."""

    def _new_parser(self, bounds: Bounds) -> Parser:
        return Parser(
            self,
            self._loop,
            _BUFFER_BYTES,
            max_line_size=bounds.max_field_bytes,
            max_field_size=bounds.max_field_bytes,
            max_headers=_MAX_HEADERS,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=MAX_MSG_QUEUE_SIZE,
            takes_chunks=bounds.takes_chunks,
        )

    @property
    def is_idle(self) -> bool:
        """Whether no request of this connection is being answered, also while it is closing."""
        # by a count of our own: aiohttp's task is woken a step after the answer, and whoever closed
        # in that step would take the client's answer with the connection
        is_between_requests = self._answered == self._request_count or self._awaits_rest
        return not self._messages and (self._is_finished or is_between_requests)

    @property
    def is_open(self) -> bool:
        """Whether it still occupies a descriptor: it is neither lost nor aborted."""
        return self._wire is not None

    @property
    def sends_no_more(self) -> bool:
        """Whether the client has closed its half. Only writing shows whether it still reads."""
        return self._is_last

    def hang_up(self) -> None:
        """Abort the connection. Answers that the client has not read are lost."""
        wire, self._wire = self._wire, None
        if wire is not None:
            hang_up(wire, self._tcp)
            self.force_close()

    def leave(self) -> None:
        """Accept no further request, and close the connection after the last answer."""
        self.close()
        if self.is_idle:
            self._part()

    def _process_keepalive(self) -> None:
        is_late = self._loop.time() >= self._next_keepalive_close_time
        if is_late and self._keepalive and self._waiter is not None and not self._waiter.done():
            self.leave()  # aiohttp would close at once
        else:
            super()._process_keepalive()

    def _part(self) -> None:
        """Close our half, and give the client a limited time to close its own."""
        wire, self.transport = self.transport, None  # so that aiohttp does not close it
        self.close()
        self._messages.clear()
        if wire is not None:
            linger(wire, self._all_is_sent)

    def _all_is_sent(self) -> None:
        self._stop_client_timer()
        self._start_client_timer(self._linger_seconds)

    async def start(self) -> None:
        """Answer one request after the other, then limit the time of the closing.

        The client has as long as for a request to read the remaining answers and to close its side.
        """
        try:
            await super().start()
        finally:
            self._is_finished = True
            self._start_client_timer(self._client_seconds)

    def pause_writing(self) -> None:
        """Start the timer for a client that does not read its answers."""
        super().pause_writing()
        self._start_client_timer(self._client_seconds)

    def resume_writing(self) -> None:
        """Stop the timer, because the client has read some; restart it if the connection closes."""
        super().resume_writing()
        self._stop_client_timer()
        if self._is_finished:
            self._start_client_timer(self._client_seconds)

    def _start_client_timer(self, seconds: float) -> None:
        if self._client_timer is None and self._wire is not None:
            self._client_timer = self._loop.call_later(seconds, self.hang_up)

    def _stop_client_timer(self) -> None:
        if self._client_timer is not None:
            self._client_timer.cancel()
            self._client_timer = None

    def linger(self, seconds: float) -> None:
        """Limit how long what still arrives is read after the answer to the present request."""
        self._linger_seconds = seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the connection, also from where another protocol has left it."""
        take_small_reads(transport)
        self.client = client_of(transport.get_extra_info("peername"))
        self._wire = cast("asyncio.Transport", transport)
        self._tcp = tcp_of(self._wire)
        super().connection_made(transport)
        if self._handed_over is not None:
            self._go_on(self._wire, *self._handed_over)

    def _go_on(self, wire: asyncio.Transport, data: bytes, unsent: bytes, deadline: float) -> None:
        if self._keepalive_handle is not None:
            self._keepalive_handle.cancel()
        self._next_keepalive_close_time = deadline
        self._keepalive_handle = self._loop.call_at(deadline, self._process_keepalive)
        if unsent:
            wire.write(unsent)
        if data:
            self.data_received(data)

    def go_on_with(self, data: bytes, *, unsent: bytes, deadline: float) -> None:
        """Continue, as soon as the connection is made, from where another protocol has left it.

        `data` are unanswered, `unsent` is the rest of the previous answer, and `deadline` is for
        the rest of the head, in the event loop's time.
        """
        self._handed_over = (data, unsent, deadline)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Record that the connection has ended."""
        if self._wire is not None:
            break_cycle(self._wire)
        self._wire = None
        self._stop_client_timer()
        super().connection_lost(exc)

    def eof_received(self) -> bool | None:  # type: ignore[override]  # aiohttp declares None, asyncio accepts both
        """Keep our half open while whole requests are still to be answered.

        A client that sends no more may still read its answers.
        """
        body = self._parser._payload_parser if self._parser is not None else None  # noqa: SLF001 - no public attribute
        is_plain = self.transport is not None and self.transport.can_write_eof()
        is_waiting = self._waiter is not None and not self._waiter.done()
        self._is_last = is_plain and body is None and not is_waiting
        return self._is_last or None

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer. Unless another request can follow, close so that the answer arrives."""
        answer, is_lost = written = await super().finish_response(request, resp, start_time)
        if self._is_last:  # nothing more can arrive, so an ordinary close does no harm
            if not self._messages:
                self.close()
        elif not is_lost and not await self._may_go_on(request, answer):
            self._part()
        self._answered += 1
        return written

    async def _may_go_on(self, request: web.BaseRequest, answer: web.StreamResponse) -> bool:
        """Return whether another request can follow; for this, the rest of the last is awaited."""
        if answer.keep_alive and not self._close:
            self._awaits_rest = True
            with contextlib.suppress(TimeoutError, HttpProcessingError, RequestPayloadError):
                async with asyncio.timeout(self._linger_seconds):
                    while not request.content.is_eof():
                        await request.content.readany()
            self._awaits_rest = False
        return bool(answer.keep_alive) and not self._close and request.content.is_eof()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer a request that could not be parsed.

        Raises:
            ConnectionError: the handler gave up, because one side has closed the connection.
        """
        if not isinstance(exc, HttpProcessingError):
            raise ConnectionError("no answer can be written") from exc
        return self._refuse(exc)
