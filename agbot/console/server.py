"""The operators' listener: combines routes, access control and metrics, and owns the socket.

It shows what the coordinator knows and passes operators' requests on to it; it decides nothing.
Questions of nodes go through the gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from prometheus_client.aiohttp import make_aiohttp_handler

from agbot import log
from agbot.clock import NOW_HEADER, Clock
from agbot.console import access
from agbot.console.acting import BODY_BYTES
from agbot.console.forwarding import to_the_leader
from agbot.console.metrics import Metrics
from agbot.console.page.rollouts import Rollouts
from agbot.console.page.views import ROLLOUTS
from agbot.console.parts import PARTS, Alone, Coordinators, Parts
from agbot.console.replies import ApiError
from agbot.console.requests import only_known_keys
from agbot.console.routes import HANDLERS
from agbot.console.streaming import STREAMS, Streams, end_streams
from agbot.coordinator.operations import Operations
from agbot.delivery.sinks import Deliveries
from agbot.events.listeners import ConsoleStarted
from agbot.listening.acceptor import Acceptor
from agbot.listening.connection import Bounds
from agbot.listening.connections import Connections
from agbot.listening.descriptors import Descriptors
from agbot.listening.hop import Hop
from agbot.settings.hosts import bracketed, host_and_port
from agbot.settings.secret import Secret

_STOP_SECONDS: Final = 1.0
_MAX_CONNECTIONS: Final = 64
"""Monitors and people are few. At the limit, the oldest idle connection of the client with the most
is closed."""
_HEADER_BYTES: Final = 8192
_BACKLOG: Final = 64
_BOUNDS: Final = Bounds(
    head_seconds=30.0,
    max_field_bytes=_HEADER_BYTES,
    max_connections=_MAX_CONNECTIONS,
    # its length is not known before all of it has arrived, and no client of ours sends such a body
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
        deliveries: Deliveries | None = None,
        descriptors: Descriptors | None = None,
        coordinators: Coordinators | None = None,
        hop_ca_file: Path | None = None,
        rollouts: Rollouts | None = None,
    ) -> None:
        """Listen nowhere before `start`. `listen` is host:port; port 0 is any free port."""
        self._host, self._port = host_and_port(listen)
        coordinators = coordinators or Alone("")
        self.hop = Hop(coordinators.where().own_name, hop_ca_file)
        parts = Parts(
            operations=operations,
            clock=clock,
            coordinators=coordinators,
            deliveries=deliveries,
            operator_token=operator_token,
        )
        app = _application(parts, listen=listen, metrics=metrics, hop=self.hop)
        app[ROLLOUTS] = rollouts or Rollouts(operations)
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
            await self._acceptor.start(self._host, self._port)
        except OSError:
            await self._runner.cleanup()
            raise
        log.write(ConsoleStarted(url=self.url))

    async def stop(self) -> None:
        """Finish open requests for at most a second, and close."""
        if self._acceptor is not None:
            self._acceptor.close()
        try:
            await self._runner.cleanup()
        finally:
            await self.hop.stop()

    @property
    def url(self) -> str:
        """The base URL of the listener."""
        return f"http://{bracketed(self._host)}:{self._acceptor.port if self._acceptor else self._port}"


class _Runner(web.AppRunner):
    """Runs an application on bounded connections."""

    connections: Connections

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        self.connections = Connections(
            made.request_handler, _BOUNDS, refuse=_refusal, request_factory=made.request_factory
        )
        return self.connections


def _refusal(error: HttpProcessingError) -> web.StreamResponse:
    """Reply to what could not be parsed."""
    status = 431 if isinstance(error, LineTooLong) else 400
    next_step = "send HTTP/1.1 as written in RFC 9112, and a body, if any, with Content-Length and not in chunks"
    reply = ApiError(status, tried="reading a request", problem=error.message.lower(), next_step=next_step).response()
    reply.force_close()
    return reply


def _application(parts: Parts, *, listen: str, metrics: Metrics, hop: Hop) -> web.Application:
    """Build the application without a socket."""
    # from outside in: the errors of the others, then a foreign name, for which nothing else is done
    middlewares = [access.plain_errors, access.own_names_only(listen), to_the_leader(parts.coordinators, hop)]
    app = web.Application(middlewares=middlewares, client_max_size=BODY_BYTES)
    app[PARTS] = parts
    app[STREAMS] = Streams()
    app.on_response_prepare.append(_stamp)
    app.on_shutdown.append(end_streams)
    app.on_cleanup.append(_stop_reading)
    for endpoint, handler in HANDLERS.items():
        add = app.router.add_get if endpoint.method == "GET" else app.router.add_post
        add(endpoint.path, only_known_keys(endpoint, handler or make_aiohttp_handler(metrics.registry)))
    return app


async def _stop_reading(app: web.Application) -> None:
    await app[ROLLOUTS].chronicler.stop()


async def _stamp(request: web.Request, response: web.StreamResponse) -> None:
    """Send our time, so that commands compute ages independently of their machine's clock."""
    # an answer of the leader has the leader's time, by whose clock its moments are
    response.headers.setdefault(NOW_HEADER, request.app[PARTS].clock.now().isoformat())
