"""The simulated Exchange over HTTP.

It turns what arrives on sockets into requests, and carries out the faults that need a socket. The
Exchange is below `/v1`; the simulator's own controls are below `/sim/` (`control`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from aiohttp import web

from agbot.sim.exchange import control
from agbot.sim.exchange.body import MAX_BODY_BYTES
from agbot.sim.exchange.core import SimExchange
from agbot.sim.exchange.message import Reply, Request
from agbot.sim.faults import Dropped, Hang

_CLOSE_SECONDS = 1.0
_CONTENT_LENGTH = "Content-Length"


class ExchangeServer:
    """A listening simulated Exchange; `serve` returns one."""

    def __init__(self, exchange: SimExchange) -> None:
        """Prepare, without listening yet."""
        self.exchange = exchange
        self.host = ""
        self.port = 0
        self._closing = asyncio.Event()
        application = web.Application(client_max_size=2 * MAX_BODY_BYTES)
        application.router.add_route("*", r"/{path:[\s\S]*}", self._serve)
        application.on_response_prepare.append(_without_server_header)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            shutdown_timeout=_CLOSE_SECONDS,
        )

    @property
    def url(self) -> str:
        """Return the URL of the API in the form of HZN_EXCHANGE_URL: `http://127.0.0.1:PORT/v1`."""
        return f"{self.base_url}/v1"

    @property
    def base_url(self) -> str:
        """Return the URL of the server: `http://127.0.0.1:PORT`.

        `/sim/faults` and `/sim/report` are below it.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one.

        Raises:
            OSError: the address is not available.
        """
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.host, self.port = self._runner.addresses[0][:2]

    async def close(self) -> None:
        """Stop listening and end every connection, hanging ones included."""
        self._closing.set()
        await self._runner.cleanup()

    async def _serve(self, received: web.Request) -> web.StreamResponse:
        request = Request(
            method=received.method,
            target=received.raw_path,
            headers=dict(received.headers),
            body=await received.read(),
        )
        if request.path.startswith(control.PREFIX):
            return _response(control.handle(self.exchange, request))
        try:
            reply = self.exchange.handle(request)
        except Dropped:
            return _cut(received)
        except Hang:
            await self._closing.wait()
            return _cut(received)
        if reply.delay_seconds > 0:
            await self.exchange.clock.sleep(reply.delay_seconds)
        return await _truncated(received, reply) if reply.truncated else _response(reply)


async def serve(exchange: SimExchange, host: str = "127.0.0.1", port: int = 0) -> ExchangeServer:
    """Listen with a simulated Exchange until the returned server is closed.

    Raises:
        OSError: the address is not available.
    """
    server = ExchangeServer(exchange)
    await server.start(host, port)
    return server


@asynccontextmanager
async def serving(exchange: SimExchange, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[ExchangeServer]:
    """Listen with a simulated Exchange for the duration of a block.

    Raises:
        OSError: the address is not available.
    """
    server = await serve(exchange, host, port)
    try:
        yield server
    finally:
        await server.close()


async def _without_server_header(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)


def _response(reply: Reply) -> web.Response:
    headers = {name: value for name, value in reply.headers.items() if name != _CONTENT_LENGTH}
    return web.Response(status=reply.status, headers=headers, body=reply.body or None)


async def _truncated(received: web.Request, reply: Reply) -> web.StreamResponse:
    """Announce the whole body, send the part that there is, and break the connection."""
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    await response.prepare(received)
    await response.write(reply.body)
    if received.transport is not None:
        received.transport.close()
    return response


def _cut(received: web.Request) -> web.Response:
    """Break the connection without a reply."""
    if received.transport is not None:
        received.transport.abort()
    return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
