"""One HTTP connection of an agent, on top of aiohttp's, with the parser and the bounds that this listener needs.

aiohttp's C parser answers the method `LIST`, which the agbot's secret routes use, with 400; its pure Python parser takes it. The choice
is made here for this listener alone, not for the process. What cannot be parsed is answered in the agbot's own format, without a word in
the log. A request whose head does not arrive in time ends its connection: that is aiohttp's own timer between requests, which runs from
the opening.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong
from aiohttp.http_parser import HttpRequestParserPy, RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, RequestPayloadError
from yarl import URL

from agbot.gateway import answers
from agbot.gateway.writing import Written

MAX_HEADERS = 64
"""Header fields of one request; agents send 8."""
HEAD_FIELDS = 4
"""A whole head may have this many times the bytes of its largest field."""
LINGER_SECONDS = 1.0
"""How long the rest of a body that nobody wants is read, so that the answer is not lost to a reset."""
_READ_BYTES = 65_536
_NO_URL = URL("/")

_silent = logging.getLogger(__name__)
"""What aiohttp would say about a connection: nothing of it is an event of ours."""
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one connection, and all of them, may cost. Seconds are the event loop's."""

    head_seconds: float
    max_field_bytes: int
    max_connections: int


class _Parser(HttpRequestParserPy):
    """The pure Python parser, with a bound on the whole head."""

    def parse_message(self, lines: list[bytes]) -> RawRequestMessage:
        """Read a head; refuse every target that aiohttp cannot make a URL of.

        We use the raw target alone, so the URL of an absolute one is left out: aiohttp would look into its host again where an error, as
        for a host that is no domain name, ends the connection's task and leaves the client waiting for ever.
        """
        try:
            message = super().parse_message(lines)
        except ValueError as error:
            raise BadHttpMessage("the request target cannot be read") from error
        return message._replace(url=_NO_URL) if message.url.absolute else message

    def feed_data(
        self,
        *args: Any,  # noqa: ANN401 - handed on as they are
        **kwargs: Any,  # noqa: ANN401 - handed on as they are
    ) -> tuple[list[tuple[RawRequestMessage, StreamReader]], bool, bytes]:
        """Parse what arrived; refuse a head that grows too large."""
        fed = super().feed_data(*args, **kwargs)
        if self._lines and sum(map(len, self._lines)) > HEAD_FIELDS * self.max_field_size:
            raise LineTooLong(b"the head of the request", HEAD_FIELDS * self.max_field_size)
        return fed


class Connection(web.RequestHandler):
    """aiohttp's connection with our parser, bounds and error format."""

    __slots__ = ()

    def __init__(self, manager: web.Server, *, loop: asyncio.AbstractEventLoop, bounds: Bounds) -> None:
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
        self._parser = _Parser(
            self,
            loop,
            _READ_BYTES,
            max_line_size=bounds.max_field_bytes,
            max_field_size=bounds.max_field_bytes,
            max_headers=MAX_HEADERS,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=MAX_MSG_QUEUE_SIZE,
        )

    @property
    def is_idle(self) -> bool:
        """Tell whether no request of this connection is being answered."""
        return self._current_request is None and not self._messages

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
        if isinstance(exc, LineTooLong):
            reply = answers.bad_request("The head of the request is too large.", status=431, closes=True)
        else:
            reply = answers.bad_request("The request is not valid HTTP.", closes=True)
        return Written(reply)


class Connections(web.Server):
    """Makes the connections, and gives up the oldest idle one when there are too many."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], bounds: Bounds) -> None:
        super().__init__(handler)
        self._bounds = bounds

    def __call__(self) -> Connection:
        """Make the protocol of a new connection."""
        return Connection(self, loop=self._loop, bounds=self._bounds)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a new connection in."""
        super().connection_made(handler, transport)
        if len(self._connections) > self._bounds.max_connections:
            idle = (one for one in self._connections if isinstance(one, Connection) and one.is_idle)
            oldest = next(idle, None)
            if oldest is not None:
                oldest.force_close()
