"""The operators' listener: puts routes, access and metrics together and owns the socket.

It shows what the coordinator knows and carries a person's action there; it decides nothing. No node's question passes here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from prometheus_client.aiohttp import make_aiohttp_handler

from agbot.clock import NOW_HEADER, Clock
from agbot.console import access
from agbot.console.acting import BODY_BYTES
from agbot.console.metrics import Metrics
from agbot.console.parts import PARTS, Parts
from agbot.console.replies import ApiError
from agbot.console.routes import ROUTES
from agbot.coordinator.contract import Operations
from agbot.listening.acceptor import Acceptor
from agbot.listening.connection import Bounds, Connections
from agbot.listening.descriptors import Descriptors
from agbot.settings.secret import Secret

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_STOP_SECONDS: Final = 1.0
MAX_CONNECTIONS: Final = 64
"""Monitors and people are few. When there are more, the oldest idle connection of whoever has the most gives way."""
_HEADER_BYTES: Final = 8192
_BACKLOG: Final = 64
_BOUNDS: Final = Bounds(
    head_seconds=30.0,
    max_field_bytes=_HEADER_BYTES,
    max_connections=MAX_CONNECTIONS,
    takes_chunks=lambda _method, _target: False,
)


class Console:
    """The listener from start to stop."""

    def __init__(
        self,
        *,
        listen: str,
        operations: Operations,
        metrics: Metrics,
        clock: Clock,
        operator_token: Callable[[], Secret | None],
        descriptors: Descriptors | None = None,
    ) -> None:
        """Take what is needed; nothing happens before `start`. `listen` is host:port, port 0 takes any."""
        self._host, _, port = listen.rpartition(":")
        self._port = int(port)
        app = application(
            Parts(operations=operations, clock=clock, operator_token=operator_token), listen=listen, metrics=metrics
        )
        self._descriptors = descriptors or Descriptors()
        self._acceptor: Acceptor | None = None
        self._runner = _Runner(app, handle_signals=False, shutdown_timeout=_STOP_SECONDS)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be listened on.
        """
        await self._runner.setup()
        self._acceptor = Acceptor(self._runner.connections, self._descriptors, backlog=_BACKLOG, keeps_spare=True)
        try:
            await self._acceptor.start(self._host.strip("[]"), self._port)
        except OSError:
            await self._runner.cleanup()
            raise
        log.info("console.started", url=self.url)

    async def stop(self) -> None:
        """Finish what is being answered, at most for a second, and close."""
        if self._acceptor is not None:
            self._acceptor.close()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self._host}:{self._acceptor.port if self._acceptor else self._port}"


class _Runner(web.AppRunner):
    """Serves an application on connections with our bounds."""

    connections: Connections

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        self.connections = Connections(
            made.request_handler, _BOUNDS, refuse=_refusal, request_factory=made.request_factory
        )
        return self.connections


def _refusal(error: HttpProcessingError) -> web.StreamResponse:
    """Answer what could not be parsed."""
    status = 431 if isinstance(error, LineTooLong) else 400
    next_step = "send HTTP/1.1 as written in RFC 9112, and a body, if any, with Content-Length and not in chunks"
    reply = ApiError(status, tried="reading a request", problem=error.message.lower(), next_step=next_step).response()
    reply.force_close()
    return reply


def application(parts: Parts, *, listen: str, metrics: Metrics) -> web.Application:
    """Build the application without a socket."""
    app = web.Application(middlewares=[access.plain_errors, access.own_names_only(listen)], client_max_size=BODY_BYTES)
    app[PARTS] = parts
    app.on_response_prepare.append(_stamp)
    for route in ROUTES:
        handler = route.handler or make_aiohttp_handler(metrics.registry)
        add = app.router.add_get if route.method == "GET" else app.router.add_post
        add(route.path, handler)
    return app


async def _stamp(request: web.Request, response: web.StreamResponse) -> None:
    """Say what time it is here, so that a command tells ages as they are, whatever the clock of its machine says."""
    response.headers[NOW_HEADER] = request.app[PARTS].clock.now().isoformat()
