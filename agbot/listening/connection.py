"""One HTTP connection of either listener, on top of aiohttp's, with the parser and the bounds that ours need; and all of them together.

What cannot be parsed is answered in the listener's own format, without a word in the log, and the connection is closed so that the answer
still arrives. A request whose head does not arrive in time ends its connection: that is aiohttp's own timer between requests, which runs
from the opening. Whoever does not take his answers is given as long: asyncio would wait for ever for him, and once more half a minute for
TLS to be ended on both sides. Reads are small (`reads`), so that many connections take turns in small steps.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
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

from agbot.listening.parsing import Parser, TakesChunks
from agbot.listening.reads import take_small_reads

MAX_HEADERS = 64
"""Header fields of one request; agents send 8."""
LINGER_SECONDS = 1.0
"""How long the rest of a request that nobody wants is read, so that the answer is not lost to a reset."""
_BUFFER_BYTES = 65_536
_V6_NETWORK_BITS = 64
"""One customer's IPv6 addresses: counting them singly would give each attacker as many shares as it likes."""

_silent = logging.getLogger(__name__)
"""What aiohttp would say about a connection: nothing of it is an event of ours."""
_silent.addHandler(logging.NullHandler())
_silent.propagate = False

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
RequestFactory = Callable[
    [RawRequestMessage, StreamReader, web.RequestHandler, AbstractStreamWriter, "asyncio.Task[None]"], web.BaseRequest
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one connection, and all of them, may cost. Seconds are the event loop's."""

    head_seconds: float
    """For a head to arrive, and for answers to be taken."""
    max_field_bytes: int
    max_connections: int
    takes_chunks: TakesChunks = lambda _method, _target: True
    """Tells whether a request may have a chunked body."""


Refuse = Callable[[HttpProcessingError], web.StreamResponse]
"""Answers what could not be parsed."""


class Connection(web.RequestHandler):
    """aiohttp's connection with our parser, bounds and error format."""

    __slots__ = (
        "_gone",
        "_is_last",
        "_is_lingering",
        "_is_over",
        "_patience",
        "_refusal",
        "_refuse",
        "_seconds",
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
            max_headers=MAX_HEADERS,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,
        )
        self._parser = Parser(
            self,
            loop,
            _BUFFER_BYTES,
            max_line_size=bounds.max_field_bytes,
            max_field_size=bounds.max_field_bytes,
            max_headers=MAX_HEADERS,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=MAX_MSG_QUEUE_SIZE,
            takes_chunks=bounds.takes_chunks,
        )
        self._refuse = refuse
        self._refusal: web.StreamResponse | None = None
        self._is_last = False
        """Whether the client has closed its half, and nothing can follow what has come."""
        self._is_lingering = False
        """Whether a refusal has been written, and its connection waits for nothing but the client's end."""
        self._is_over = False
        """Whether nothing will be answered any more, and the connection has only to end."""
        self._gone: asyncio.Future[None] = loop.create_future()
        self._seconds = bounds.head_seconds
        self._patience: asyncio.TimerHandle | None = None
        """Runs while the client has answers to take, or the connection to end."""
        self._wire: asyncio.Transport | None = None
        """The transport until it is lost; aiohttp's own is None as soon as it is being closed."""
        self.client = ""
        """Who is at the other end, as `client_of` names it."""

    @property
    def is_idle(self) -> bool:
        """Tell whether no request of this connection is being answered; so is none while it is being closed."""
        return self._current_request is None and not self._messages

    @property
    def is_there(self) -> bool:
        """Tell whether it still takes a descriptor, and was not hung up on."""
        return self._wire is not None

    def hang_up(self) -> None:
        """End the connection now. What the client has not taken is lost."""
        wire, self._wire = self._wire, None
        if wire is None:
            return
        if (
            not wire.is_closing()
        ):  # over TLS, a second `close` would leave `abort` without effect (CPython 3.11 to 3.13)
            wire.close()  # which says so over TLS
        wire.abort()
        self.force_close()

    async def start(self) -> None:
        """Answer one request after the other; then the client has as long as for a request to take what is left, and to go."""
        try:
            await super().start()
        finally:
            self._is_over = True
            self._wait_for_client()

    def pause_writing(self) -> None:
        """Begin to wait for a client that does not take its answers."""
        super().pause_writing()
        self._wait_for_client()

    def resume_writing(self) -> None:
        """Take note that it has taken some."""
        super().resume_writing()
        self._wait_no_longer()
        if self._is_over:
            self._wait_for_client()

    def _wait_for_client(self) -> None:
        if self._patience is None and self._wire is not None:
            self._patience = self._loop.call_later(self._seconds, self.hang_up)

    def _wait_no_longer(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def linger(self, seconds: float) -> None:
        """Read what is left of the present request for so long at most, once it is answered."""
        self._lingering_time = seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection up."""
        take_small_reads(transport)
        self.client = client_of(transport.get_extra_info("peername"))
        self._wire = cast("asyncio.Transport", transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Take note that nobody is there any more."""
        if not self._gone.done():
            self._gone.set_result(None)
        self._wire = None
        self._wait_no_longer()
        super().connection_lost(exc)

    def eof_received(self) -> bool | None:  # type: ignore[override]  # aiohttp says None, asyncio takes both
        """Keep our half open while whole requests are still to be answered: that the client sends no more is no end of its interest."""
        if self._is_lingering:
            return None  # both halves are closed now, and the connection with them
        body = self._parser._payload_parser if self._parser is not None else None  # noqa: SLF001 - nothing public tells
        is_plain = self.transport is not None and self.transport.can_write_eof()
        is_waiting = self._waiter is not None and not self._waiter.done()
        self._is_last = is_plain and body is None and not is_waiting
        return self._is_last or None

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer. After a refusal go on reading for a moment: closing before would tear the answer away."""
        written = await super().finish_response(request, resp, start_time)
        transport = self.transport
        if self._is_last and not self._messages:
            self.close()
        if resp is self._refusal and transport is not None and not transport.is_closing():
            if transport.can_write_eof():
                transport.write_eof()
            if not transport.is_reading():
                transport.resume_reading()
            self._is_lingering = True
            await asyncio.wait([self._gone], timeout=LINGER_SECONDS)
        return written

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be parsed; end the connection of a request that can have no answer.

        Raises:
            ConnectionError: the handler gave up, because one side went away.
        """
        if not isinstance(exc, HttpProcessingError):
            raise ConnectionError("no answer can be written") from exc
        self._refusal = self._refuse(exc)
        return self._refusal


class Connections(web.Server):
    """Makes the connections, and gives up the oldest idle one of whoever has the most when there are too many."""

    def __init__(
        self,
        handler: Handler,
        bounds: Bounds,
        *,
        refuse: Refuse,
        request_factory: RequestFactory | None = None,
    ) -> None:
        super().__init__(handler, request_factory=request_factory)
        self._bounds = bounds
        self._refuse = refuse
        self._of: dict[str, dict[Connection, None]] = {}

    def __call__(self) -> Connection:
        """Make the protocol of a new connection."""
        return Connection(self, loop=self._loop, bounds=self._bounds, refuse=self._refuse)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a new connection in; the newcomer itself goes where every other one is being answered."""
        super().connection_made(handler, transport)
        if isinstance(handler, Connection):
            self._of.setdefault(handler.client, {})[handler] = None
        if len(self._connections) > self._bounds.max_connections:
            self._loop.call_soon(self.give_up, 1)  # not at once: it may be the newcomer, whose task does not run yet

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Let a connection go."""
        super().connection_lost(handler, exc)
        if isinstance(handler, Connection):
            mine = self._of.get(handler.client, {})
            mine.pop(handler, None)
            if not mine:
                self._of.pop(handler.client, None)

    def give_up(self, number: int) -> None:
        """End so many connections on which nothing is being answered, the oldest of whoever has the most."""
        for _ in range(number):
            by_number = sorted(self._of.values(), key=len, reverse=True)
            idle = (one for each in by_number for one in each if one.is_idle and one.is_there)
            oldest = next(idle, None)
            if oldest is None:
                return
            oldest.hang_up()


def client_of(peername: object) -> str:
    """Name whoever is at the other end: its IPv4 address, its IPv6 network, or nothing where there is no address.

    Behind a load balancer that does not keep addresses, all clients are one.
    """
    return _network(str(peername[0])) if isinstance(peername, tuple) and peername else ""


@functools.lru_cache(maxsize=4096)
def _network(host: str) -> str:
    """Name the network of an address. Agents come again and again: to parse theirs each time would be felt."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((address, _V6_NETWORK_BITS), strict=False))
    return str(address)
