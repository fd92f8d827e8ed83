"""A small HTTP server on bare streams, for the simulated agbot's two interfaces.

It uses bare streams for three reasons. The secret routes use the method `LIST`; the real agbot's
headers can be reproduced exactly; and nothing that the product is built with should be on both
sides of a test. A `Responder` answers; this module only transports.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus
from posixpath import normpath
from typing import Protocol
from urllib.parse import unquote

from agbot.sim.clock import Clock
from agbot.sim.faults import Dropped, Hang, NotListening

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
AGBOT_HEADERS = (
    ("Access-Control-Allow-Headers", "X-Requested-With, content-type, Authorization"),
    ("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, PATCH, OPTIONS"),
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache, no-store"),
)
"""Of every reply of both interfaces (recorded)."""
_REQUEST_SECONDS = 30.0
_BODY_LIMIT = 1 << 20
_CHUNKED_FROM_BYTES = 2048
"""A Go server sends a longer body in chunks (recorded)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request.

    Names of headers are in lower case, and `path` is as it was sent, without its query.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def cleaned(self) -> str:
        """Return the path without `..` and empty segments: a Go router redirects to it."""
        cleaned = "/" + normpath(self.path).lstrip("/")
        return f"{cleaned}/" if self.path.endswith("/") and cleaned != "/" else cleaned

    @property
    def decoded(self) -> str:
        """Return the path as a Go router matches it: decoded, so `%2F` separates segments."""
        return unquote(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply.

    `more` are headers in addition to those of every reply; `delay_seconds` and `cut_short` are for
    faults.
    """

    status: int
    body: str = ""
    content_type: str = JSON
    more: tuple[tuple[str, str], ...] = ()
    delay_seconds: float = 0.0
    cut_short: bool = False


NOT_FOUND = Reply(
    status=404, body="404 page not found\n", content_type=TEXT, more=(("X-Content-Type-Options", "nosniff"),)
)


class Responder(Protocol):
    """What answers requests."""

    clock: Clock

    async def answer(self, received: Received) -> Reply:
        """Answer one request.

        Raises:
            Dropped: the connection ends without a reply.
            Hang: no reply ever comes.
        """
        ...

    def headers(self, received: Received) -> tuple[tuple[str, str], ...]:
        """Return the headers of every reply."""
        ...


class Listener:
    """A responder on a port.

    While it is `deaf`, connections to the port are refused, as when the program does not run.
    """

    def __init__(self, responder: Responder, host: str = "127.0.0.1", port: int = 0) -> None:
        """Take the responder and the address; port 0 takes a free one."""
        self._responder = responder
        self._host = host
        self.port = port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Return the address, `http://HOST:PORT`."""
        return f"http://{self._host}:{self.port}"

    async def listen(self) -> None:
        """Begin to listen, or listen again on the same port.

        Raises:
            OSError: the address is not available.
        """
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, self._host, self.port)
            self._host, self.port = self._server.sockets[0].getsockname()[:2]

    async def close(self) -> None:
        """Stop listening and end every connection; from now on connections are refused."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        # a task that is cancelled before its first step closes nothing itself
        task.add_done_callback(lambda _: writer.close())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it is closed."""
        try:
            while (received := await _receive(reader)) is not None:
                await self._reply(received, writer)
        except (Dropped, NotListening):
            writer.transport.abort()
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that breaks off, or does not send HTTP, gets no reply

    async def _reply(self, received: Received, writer: asyncio.StreamWriter) -> None:
        responder = self._responder
        try:
            reply = await responder.answer(received)
        except Hang:
            await asyncio.Event().wait()  # until the listener is closed
            return
        if reply.delay_seconds:
            await responder.clock.sleep(reply.delay_seconds)
        headers = responder.headers(received)
        data = encode(reply, headers, responder.clock.now(), states_length=received.method != "HEAD")
        writer.write(data[: len(data) - len(reply.body) // 2] if reply.cut_short else data)
        await writer.drain()
        if reply.cut_short:
            raise Dropped


def encode(reply: Reply, headers: tuple[tuple[str, str], ...], now: datetime, *, states_length: bool = True) -> bytes:
    """Return a reply in its form on the wire."""
    content = reply.body.encode()
    chunked = len(content) > _CHUNKED_FROM_BYTES
    typed = (("Content-Type", reply.content_type),) if content else ()
    length = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(content)))
    sized = (length,) if states_length else ()
    date = ("Date", format_datetime(now.replace(microsecond=0), usegmt=True))
    lines = "".join(f"{name}: {value}\r\n" for name, value in (*headers, *typed, *reply.more, date, *sized))
    head = f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n{lines}\r\n".encode()
    return head + (b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content) if chunked else content)


async def _receive(reader: asyncio.StreamReader) -> Received | None:
    """Read one request, or None at the end of the connection.

    Raises:
        ValueError: it was not HTTP.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    async with asyncio.timeout(_REQUEST_SECONDS):
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        length = int(headers.get("content-length", "0"))
        body = await _chunks(reader) if chunked else await reader.readexactly(min(length, _BODY_LIMIT))
    return Received(method=method, path=target.partition("?")[0], headers=headers, body=body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
        if len(body) > _BODY_LIMIT:
            raise ValueError("the body is too large")
    await reader.readuntil(b"\r\n")
    return body


@asynccontextmanager
async def listening(responder: Responder, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Listener]:
    """Listen for the duration of a block.

    Raises:
        OSError: the address is not available.
    """
    listener = Listener(responder, host, port)
    await listener.listen()
    try:
        yield listener
    finally:
        await listener.close()
