"""The agent-facing listener: takes connections, finds out whom a request is for, and writes the answer.

Bounded everywhere: open requests, open connections, the head, the body, the time. When there is no room, questions are told so at once, as
a 409 that an agent repeats after 60 s. What is passed through has places of its own, half as many, so that neither a hanging upstream nor a
slow client ever touches the answers to questions. Places are shared fairly among addresses, and some are kept for nodes and agbots that the
Exchange knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from agbot.clock import Clock
from agbot.coordinator.contract import Permission
from agbot.gateway import answers, authentication
from agbot.gateway.answers import Outcome, Reply
from agbot.gateway.authentication import Memory, Unproven
from agbot.gateway.budget import Budget
from agbot.gateway.certificate import Certificate
from agbot.gateway.passthrough import UPSTREAM_SECONDS, PassThroughRoute
from agbot.gateway.permission import PermissionRoute
from agbot.gateway.reads import Exchange, Reads
from agbot.gateway.service import ServiceRoute
from agbot.gateway.target import AgentQuestion, BadTarget, PassThrough, ServiceEnd, ServiceQuestion, Target, parse
from agbot.gateway.writing import Written
from agbot.listening.acceptor import Acceptor
from agbot.listening.connection import Bounds, Connection, Connections
from agbot.listening.descriptors import Descriptors
from agbot.listening.parsing import ChunkedBodyError
from agbot.listening.shares import Place, Shares
from agbot.settings.model import AgbotSettings, GatewaySettings

Observe = Callable[[str, float], None]
"""Is told of every request: its `Outcome`, and the seconds it took."""

BACKLOG = 1024
"""Agents come with a new connection each; after a restart of the hub, all at once."""
KNOWN_SHARE = 4
"""One part in so many of `max_open`, besides, is for nodes and agbots that the Exchange has accepted lately."""
ANSWER_SHARE = 0.9
"""Of the time for an answer: the rest is for writing it."""
_WRITE_SECONDS = 0.5
_PORT_DIGITS = 5

_log = structlog.get_logger()


def _ignore(outcome: str, seconds: float) -> None:
    """Observe nothing."""


class Listener:
    """The gateway as one thing to start and stop."""

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
    ) -> None:
        self._settings = settings
        self._descriptors = descriptors or Descriptors()
        room = self._descriptors.room(settings.max_open)
        self._observe = observe
        request_seconds = clock.real_seconds(settings.request_seconds)
        answer_seconds = settings.answer_seconds * ANSWER_SHARE
        memory = Memory(clock, settings.remember_seconds)
        budget = Budget(settings.questions_per_minute, clock)
        self._reads = Reads(exchange, memory, clock, seconds=answer_seconds)
        self._permission = PermissionRoute(
            permission,
            self._reads,
            memory,
            clock,
            budget=budget,
            answer_seconds=answer_seconds,
            quiet_refusals=settings.quiet_refusals,
        )
        self._service = ServiceRoute(
            permission, self._reads, memory, clock, budget=budget, answer_seconds=answer_seconds
        )
        self._passing = PassThroughRoute(
            settings,
            agbot,
            request_seconds=request_seconds,
            upstream_seconds=clock.real_seconds(upstream_seconds),
        )
        self._bounds = Bounds(
            head_seconds=request_seconds,
            max_field_bytes=settings.max_header_bytes,
            max_connections=room.connections,
            takes_chunks=_takes_chunks,
        )
        self._memory = memory
        self._asking = Shares(settings.max_open)
        self._known = Shares(max(1, settings.max_open // KNOWN_SHARE))
        self._being_passed = Shares(room.passed_on)
        self._open: set[asyncio.Task[object]] = set()
        self._connections: Connections | None = None
        self._server: Acceptor | None = None
        self._certificate: Certificate | None = None
        self._is_tls = False
        self._loop: asyncio.AbstractEventLoop
        """The one it was started on: asking for the running loop is a system call, which a refusal would feel."""

    @property
    def port(self) -> int:
        """The port that is listened on, once started; of use when the settings say port 0."""
        if self._server is None:
            raise RuntimeError("the listener is not started")
        return self._server.port

    @property
    def open_requests(self) -> int:
        """How many requests are being answered."""
        return len(self._open)

    @property
    def open_connections(self) -> int:
        """How many clients are connected, whether or not they ask anything."""
        return 0 if self._connections is None else len(self._connections.connections)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address is taken or not ours, or a certificate, key or CA file cannot be used.
            ValueError: `listen` is not host:port.
        """
        host, port = _address(self._settings.listen)
        certificate_file, key_file = self._settings.certificate_file, self._settings.key_file
        if certificate_file is not None and key_file is not None:
            self._certificate = Certificate(certificate_file, key_file)
        context = self._certificate.context if self._certificate else None
        self._is_tls = context is not None
        await self._passing.start()
        self._loop = asyncio.get_running_loop()
        self._connections = Connections(self._handle, self._bounds, refuse=_refusal)
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
        _log.info("gateway.started", listen=self._settings.listen, port=self.port, tls=self._is_tls)

    def renew_certificate(self) -> None:
        """Load certificate and key again, for the connections to come.

        Raises:
            OSError: they cannot be used; the former ones stay in use.
        """
        if self._certificate is not None:
            self._certificate.renew()

    def renew_upstream_trust(self) -> None:
        """Load the authorities of the real agbot's certificate again.

        Raises:
            OSError: they cannot be used; the former ones stay in use.
        """
        self._passing.renew_trust()

    async def stop(self, grace_seconds: float = 4.0) -> None:
        """Accept nothing new, finish the answers in flight for at most `grace_seconds` of the event loop, then close."""
        if self._server is None or self._connections is None:
            await self._passing.stop()
            return
        self._server.close()
        self._connections.pre_shutdown()
        if self._open:
            _, cut = await asyncio.wait(self._open, timeout=grace_seconds)
            for task in cut:
                task.cancel()
            if cut:
                _log.warning("gateway.cut", open_requests=len(cut))
                await asyncio.wait(cut, timeout=_WRITE_SECONDS)
        await self._connections.shutdown(_WRITE_SECONDS)
        await self._reads.stop()
        await self._passing.stop()
        self._server = None
        _log.info("gateway.stopped")

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        loop = self._loop
        began_at = loop.time()
        target = parse(request.method, request.raw_path)
        task = asyncio.current_task(loop)
        if task is None:  # aiohttp runs every request in a task of its own
            raise RuntimeError("a request is handled in a task")
        self._open.add(task)
        try:
            answer = await self._answer(request, target, began_at)
        finally:
            self._open.discard(task)
        if isinstance(answer, Reply):
            self._observe(answer.outcome, loop.time() - began_at)
            return Written(answer, is_tls=self._is_tls)
        self._observe(Outcome.PASSED, loop.time() - began_at)
        return answer

    async def _answer(self, request: web.BaseRequest, target: Target, now: float) -> web.StreamResponse | Reply:
        if isinstance(target, PassThrough):
            return await self._pass(request, target)
        if isinstance(target, BadTarget):
            return answers.bad_request(target.message, status=target.status, closes=True)
        authorization = request.headers.get("Authorization")
        client = _client(request)
        place = self._place(client, target, authorization, now)
        if isinstance(target, AgentQuestion):
            if place is None:
                return self._permission.busy(target)
            with place:
                return await self._permission.answer(target, authorization, now)
        if place is None:
            return self._service.busy(target)
        with place:
            return await self._service.answer(target, authorization, now)

    def _place(
        self, client: str, target: AgentQuestion | ServiceQuestion | ServiceEnd, authorization: str | None, now: float
    ) -> Place | None:
        """Find room for a question; None when there is none.

        Whoever the Exchange has accepted lately finds some where strangers have taken all, from the same address too.
        """
        place = self._asking.take(client)
        if place is not None:
            return place
        kind = "nodes" if isinstance(target, AgentQuestion) else "agbots"
        caller = authentication.read(authorization, kind)
        if isinstance(caller, Unproven) or not self._memory.is_accepted(self._memory.key(caller), now):
            return None
        return self._known.take(caller.identity)

    async def _pass(self, request: web.BaseRequest, target: PassThrough) -> web.StreamResponse | Reply:
        place = self._being_passed.take(_client(request), authentication.claimed(request.headers.get("Authorization")))
        if place is None:
            return answers.string(503, "Too many requests are open at once.", Outcome.BUSY, closes=True)
        try:
            with place:
                return await self._passing.handle(request, target.target)
        except ConnectionError:
            self._observe(Outcome.UPSTREAM_FAILED, 0.0)
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the client gets an answer and the log the traceback
            _log.exception("request.failed", method=request.method)
            return answers.string(502, "The request could not be passed on.", Outcome.ERROR, closes=True)


def _client(request: web.BaseRequest) -> str:
    """Name whose share of the places a request takes."""
    connection = request.protocol
    return connection.client if isinstance(connection, Connection) else ""


def _takes_chunks(method: str, target: str) -> bool:
    """Only what is passed on may have a chunked body: a question has none at all."""
    return isinstance(parse(method, target), PassThrough)


def _refusal(error: HttpProcessingError) -> web.StreamResponse:
    """Answer what could not be parsed."""
    if isinstance(error, LineTooLong):
        return Written(answers.bad_request("The head of the request is too large.", status=431, closes=True))
    if isinstance(error, ChunkedBodyError):
        return Written(answers.bad_request("This route takes no chunked body.", closes=True))
    return Written(answers.bad_request("The request is not valid HTTP.", closes=True))


def _address(listen: str) -> tuple[str, int]:
    """Split `host:port`; an IPv6 host stands in brackets.

    Raises:
        ValueError: it is not of that form.
    """
    host, colon, port = listen.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()) or len(port) > _PORT_DIGITS:
        message = f"[gateway] listen must be host:port, not {listen!r}"
        raise ValueError(message)
    return host.strip("[]"), int(port)
