"""A stand-in for the real agbot's secure API: a few of its routes, with the replies that were recorded of it.

It is what the gateway passes other routes through to in the demo. It is a server of its own on bare streams, because the
secret routes use the method `LIST`, and because nothing the gateway is built with should be on both sides of a test.
"""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import format_datetime
from http import HTTPStatus

from agbot.sim.clock import Clock

_HEADERS = (
    ("Access-Control-Allow-Headers", "X-Requested-With, content-type, Authorization"),
    ("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, PATCH, OPTIONS"),
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache, no-store"),
)
_NO_SECRETS = "There is no secrets provider configured, secrets are unavailable."
_NO_USER = "Unauthorized. No exchange users id is supplied."
_BAD_USER = "Failed to authenticate the users with the Exchange. Wrong organization id, users id or password."
_REQUEST_SECONDS = 30.0
_BODY_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    pattern: re.Pattern[str]
    methods: tuple[str, ...]
    status: int
    body: str
    needs_input: bool = False


def _route(pattern: str, methods: str, status: int, body: str, *, needs_input: bool = False) -> _Route:
    return _Route(
        pattern=re.compile(pattern), methods=tuple(methods.split()), status=status, body=body, needs_input=needs_input
    )


_COMPATIBLE = '{"compatible":true,"reason":{"o1/svc1_1.0.0_amd64":"Compatible"}}'
_SECRETS = json.dumps(_NO_SECRETS) + "\n"
_ROUTES = (
    _route(r"/deploycheck/(userinput|secretbinding)compatible", "GET", 200, _COMPATIBLE, needs_input=True),
    _route(
        r"/deploycheck/(policy|deploy)compatible",
        "GET",
        400,
        '"No node policy found for this node o1/n1."\n',
        needs_input=True,
    ),
    _route(r"/compatibility/constraints/node/(dp|nmp)", "GET", 200, '["o1/a2","o1/a1"]', needs_input=True),
    _route(r"/compatibility/patterns/node", "GET", 200, "[]", needs_input=True),
    _route(r"/org/[^/]+/allsecrets", "LIST", 503, _SECRETS),
    _route(r"/org/[^/]+/secrets(/user/[^/]+)?(/node/[^/]+)?", "LIST", 503, _SECRETS),
    _route(r"/org/[^/]+/secrets(/user/[^/]+)?(/node/[^/]+)?/.+", "LIST GET PUT POST DELETE", 503, _SECRETS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    status: int
    body: str = ""
    content_type: str = "application/json"
    more: tuple[tuple[str, str], ...] = ()


class SecureApi:
    """The stand-in; `knows` says which `org/user` and password are good. Get a listening one from `serving`."""

    def __init__(self, clock: Clock, knows: Callable[[str, str], bool] = lambda _user, _password: True) -> None:
        """Take the clock of the `Date` header, and whom it lets in."""
        self._clock = clock
        self._knows = knows
        self.requests: list[str] = []
        """What was asked, as `METHOD path`."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it is closed."""
        try:
            while (received := await _receive(reader)) is not None:
                self.requests.append(f"{received.method} {received.path}")
                writer.write(self._encode(self._answer(received)))
                await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that breaks off, or does not speak HTTP, gets nothing
        finally:
            writer.close()

    def _answer(self, received: _Received) -> _Reply:
        found = [route for route in _ROUTES if route.pattern.fullmatch(received.path)]
        if not found:
            more = (("X-Content-Type-Options", "nosniff"),)
            return _Reply(status=404, body="404 page not found\n", content_type="text/plain; charset=utf-8", more=more)
        if received.method == "OPTIONS":
            return _Reply(status=200, more=(("Allow", ", ".join((*found[0].methods, "OPTIONS"))),))
        route = next((one for one in found if received.method in one.methods), None)
        if route is None:
            return _Reply(status=405)
        refusal = self._refusal(received)
        if refusal:
            return _Reply(status=401, body=json.dumps(refusal) + "\n")
        if route.needs_input and not received.body:
            return _Reply(status=400, body='"No input found."\n')
        return _Reply(status=route.status, body=route.body)

    def _refusal(self, received: _Received) -> str:
        scheme, _, coded = received.headers.get("authorization", "").partition(" ")
        try:
            user, colon, password = b64decode(coded, validate=True).decode().partition(":")
        except (NotBase64, UnicodeDecodeError):
            return _NO_USER
        if scheme.lower() != "basic" or not colon:
            return _NO_USER
        return "" if self._knows(user, password) else _BAD_USER

    def _encode(self, reply: _Reply) -> bytes:
        date = format_datetime(self._clock.now().replace(microsecond=0), usegmt=True)
        typed = (("Content-Type", reply.content_type),) if reply.body else ()
        content = reply.body.encode()
        headers = (*_HEADERS, *typed, *reply.more, ("Date", date), ("Content-Length", str(len(content))))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers)
        return f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n{head}\r\n".encode() + content


async def _receive(reader: asyncio.StreamReader) -> _Received | None:
    """Read one request, or None at the end of the connection.

    Raises:
        ValueError: that was no HTTP.
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
    return _Received(method=method, path=target.partition("?")[0], headers=headers, body=body)


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
async def serving(api: SecureApi, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Listen for the length of a block; gives the URL.

    Raises:
        OSError: the address cannot be had.
    """
    connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(api.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(accept, host, port)
    try:
        name, number = server.sockets[0].getsockname()[:2]
        yield f"http://{name}:{number}"
    finally:
        server.close()
        for task in tuple(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()
