"""The listener for agents: its sockets, from start to stop.

`core.py` decides on the answers. `quick.py` answers plain questions from memory, `serving.py` all
other requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from agbot import log
from agbot.clock import Clock
from agbot.coordinator.permission import Permission
from agbot.events.listeners import GatewayCut, GatewayStarted, GatewayStopped
from agbot.gateway.asking import ANSWER_SHARE, Resolver
from agbot.gateway.certificate import Certificate
from agbot.gateway.core import new_core
from agbot.gateway.fleetlock import FleetLock
from agbot.gateway.forwarding import Forwarding
from agbot.gateway.passthrough import UPSTREAM_SECONDS, PassThroughRoute
from agbot.gateway.quick import Quick
from agbot.gateway.reads import Exchange, Reads
from agbot.gateway.serving import Observe, Requests, takes_chunks, unreadable
from agbot.listening.acceptor import Acceptor
from agbot.listening.connection import Bounds
from agbot.listening.connections import Connections
from agbot.listening.descriptors import Descriptors, Room
from agbot.listening.hop import Hop
from agbot.rules.leadership import Whereabouts
from agbot.settings.hosts import host_and_port
from agbot.settings.model import AgbotSettings, GatewaySettings

BACKLOG = 1024
"""Agents use a new connection for each question, and all ask at once after a restart of the hub."""
_WRITE_SECONDS = 0.5


def _ignore(outcome: str, seconds: float) -> None:
    """Ignore the observation."""


class Listener:
    """The gateway, with its start and its stop."""

    def __init__(
        self,
        settings: GatewaySettings,
        agbot: AgbotSettings,
        permission: Permission,
        exchange: Exchange,
        clock: Clock,
        *,
        observe: Observe = _ignore,
        upstream_seconds: float = UPSTREAM_SECONDS,
        descriptors: Descriptors | None = None,
        where: Callable[[], Whereabouts] = Whereabouts,
        hop_ca_file: Path | None = None,
    ) -> None:
        self._settings = settings
        self._descriptors = descriptors or Descriptors()
        room = self._descriptors.room(settings.max_open)
        answer_seconds = settings.answer_seconds * ANSWER_SHARE
        is_tls = settings.certificate_file is not None and settings.key_file is not None
        core = new_core(settings, permission, clock, where)
        self._reads = Reads(exchange, core.memory, clock, seconds=answer_seconds)
        self.passing = PassThroughRoute(settings, agbot, clock, upstream_seconds=upstream_seconds)
        self.hop = Hop(where().own_name, hop_ca_file)
        forwarding = Forwarding(core, self.hop, where, settings, clock=clock)
        self._requests = Requests(
            core,
            Resolver(core, permission, self._reads, clock, answer_seconds=answer_seconds),
            self.passing,
            forwarding,
            FleetLock(core, permission, self._reads, forwarding, settings, clock=clock),
            max_open=settings.max_open,
            max_passed_on=room.passed_on,
            observe=observe,
            is_tls=is_tls,
        )
        self._bounds = _bounds(settings, room, clock)
        self._quick = partial(Quick, core, observe, self._requests.logins, is_tls=is_tls)
        self._connections: Connections | None = None
        self._server: Acceptor | None = None
        self._certificate: Certificate | None = None

    @property
    def port(self) -> int:
        """The port on which the listener accepts connections, once started; useful with port 0."""
        if self._server is None:
            raise RuntimeError("the listener is not started")
        return self._server.port

    @property
    def open_requests(self) -> int:
        """The number of requests that are being answered."""
        return len(self._requests.open)

    @property
    def open_connections(self) -> int:
        """The number of open connections, with or without a request."""
        return 0 if self._connections is None else self._connections.number

    async def start(self) -> None:
        """Start the listener.

        Raises:
            OSError: the address is in use or not local, or a certificate, key or CA file is not
                usable.
            ValueError: `listen` is not host:port.
        """
        host, port = host_and_port(self._settings.listen)
        certificate_file, key_file = self._settings.certificate_file, self._settings.key_file
        if certificate_file is not None and key_file is not None:
            self._certificate = Certificate(certificate_file, key_file)
        context = self._certificate.context if self._certificate else None
        await self.passing.start()
        quick = self._quick(asyncio.get_running_loop().time, max_bytes=self._bounds.max_field_bytes)
        self._connections = Connections(self._requests.handle, self._bounds, refuse=unreadable, at_once=quick.answer)
        acceptor = Acceptor(
            self._connections,
            self._descriptors,
            backlog=BACKLOG,
            tls=context,
            tls_seconds=self._bounds.head_seconds,
            max_handshakes=self._bounds.max_connections // 2,
        )
        await acceptor.start(host, port)
        self._server = acceptor
        log.write(GatewayStarted(listen=self._settings.listen, port=self.port, tls=context is not None))

    def renew_certificate(self) -> None:
        """Load the certificate and the key again, for future connections.

        Raises:
            OSError: they are not usable; the former ones stay in use.
        """
        if self._certificate is not None:
            self._certificate.renew()

    async def stop(self, grace_seconds: float = 4.0) -> None:
        """Stop accepting, finish open answers within `grace_seconds` of the event loop; close."""
        if self._server is None or self._connections is None:
            await self.passing.stop()
            return
        self._server.close()
        self._connections.pre_shutdown()
        if self._requests.open:
            _, cut = await asyncio.wait(self._requests.open, timeout=grace_seconds)
            for task in cut:
                task.cancel()
            if cut:
                log.write(GatewayCut(open_requests=len(cut)))
                await asyncio.wait(cut, timeout=_WRITE_SECONDS)
        await self._connections.shutdown(_WRITE_SECONDS)
        await self._reads.stop()
        await self.passing.stop()
        await self.hop.stop()
        self._server = None
        log.write(GatewayStopped())


def _bounds(settings: GatewaySettings, room: Room, clock: Clock) -> Bounds:
    return Bounds(
        head_seconds=clock.real_seconds(settings.request_seconds),
        max_field_bytes=settings.max_header_bytes,
        max_connections=room.connections,
        takes_chunks=takes_chunks,
    )
