"""Answers one request from aiohttp's connection, and limits how many are open.

The number of open requests is limited. Without a free place, a question is refused at once with a
409, after which an agent waits 60 s. Requests that are passed through have places of their own,
half as many, so that neither a hanging upstream nor a slow client delays the answers to questions.
Addresses get fair shares of the places, and some places are reserved for nodes and agbots that the
Exchange knows. An answer from memory takes no place, because it is finished before any other task
runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from agbot import log
from agbot.events.listeners import QuestionFailed, RequestFailed
from agbot.gateway import answers, authentication, openapi, refusals
from agbot.gateway.answers import Outcome, Reply
from agbot.gateway.asking import Resolver
from agbot.gateway.core import Ask, Core, Elsewhere
from agbot.gateway.fleetlock import FleetLock, refused
from agbot.gateway.forwarding import Forwarding
from agbot.gateway.logins import FailedLogins
from agbot.gateway.passthrough import PassThroughRoute
from agbot.gateway.target import PassThrough, origin_form, parse
from agbot.gateway.writing import Written
from agbot.listening.connection import Connection
from agbot.listening.parsing import ChunkedBodyError
from agbot.listening.shares import Place, Shares

Observe = Callable[[str, float], None]
"""Called for each request with its `Outcome` and its duration in seconds."""

_KNOWN_SHARE = 4
"""One further place for this many of `max_open` is for nodes and agbots that the Exchange has
recently accepted."""


class Requests:
    """The requests that are being answered."""

    def __init__(
        self,
        core: Core,
        resolver: Resolver,
        passing: PassThroughRoute,
        forwarding: Forwarding,
        fleetlock: FleetLock,
        *,
        max_open: int,
        max_passed_on: int,
        observe: Observe,
        is_tls: bool,
    ) -> None:
        self._core = core
        self._resolver = resolver
        self._passing = passing
        self._forwarding = forwarding
        self._fleetlock = fleetlock
        self._observe = observe
        self.logins = FailedLogins()
        self._is_tls = is_tls
        self._question_places = Shares(max_open)
        self._reserved_places = Shares(max(1, max_open // _KNOWN_SHARE))
        self._passed_places = Shares(max_passed_on)
        self.open: set[asyncio.Task[object]] = set()
        """The tasks that are answering them."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, in the task that aiohttp runs it in."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is handled in a task")
        began_at = asyncio.get_running_loop().time()
        self.open.add(task)
        try:
            if openapi.is_asked(request.method, request.raw_path):
                answer: web.StreamResponse | Reply = openapi.REPLY
            elif self._fleetlock.is_asked(request):
                answer = await self._asked_by_host(request, began_at)
            else:
                answer = await self._answer(request, began_at)
        finally:
            self.open.discard(task)
        took = asyncio.get_running_loop().time() - began_at
        if isinstance(answer, Reply):
            self._observe(answer.outcome, took)
            self.logins.note(answer, began_at)
            return Written(answer, is_tls=self._is_tls)
        self._observe(Outcome.PASSED, took)
        return answer

    async def _answer(self, request: web.BaseRequest, now: float) -> web.StreamResponse | Reply:
        method, target = request.method, request.raw_path
        try:
            found = self._core.answer(method, target, request.headers.get("Authorization"), now)
        except Exception:  # noqa: BLE001 - every question gets an answer; the log has the traceback
            log.write_with_traceback(QuestionFailed(target=target))
            return self._core.failed(method, target)
        if isinstance(found, Reply):
            return found
        if isinstance(found, PassThrough):
            return await self._pass(request, found)
        if isinstance(found, Elsewhere):
            return await self._forward(request, found)
        place = self._place(_client(request), found, now)
        if place is None:
            return self._core.own_refusal(found.asked, refusals.BUSY)
        with place:
            return await self._resolver.reply(found, now)

    async def _asked_by_host(self, request: web.BaseRequest, now: float) -> Reply:
        place = self._question_places.take(_client(request))
        if place is None:
            return refused(409, "busy", "too many questions are open at once", Outcome.BUSY)
        with place:
            return await self._fleetlock.reply(request, now)

    async def _forward(self, request: web.BaseRequest, found: Elsewhere) -> Reply:
        place = self._question_places.take(_client(request))
        if place is None:
            return self._core.own_refusal(found.asked, refusals.BUSY)
        target = origin_form(request.raw_path) or "/"  # it is a question, so it has one
        with place:
            return await self._forwarding.reply(request.method, target, found.asked, request.headers)

    def _place(self, client: str, ask: Ask, now: float) -> Place | None:
        """Take a place for a question; None if there is none.

        Callers that the Exchange has recently accepted find one where unproven callers have taken
        all others, even from the same address.
        """
        place = self._question_places.take(client)
        if place is None and self._core.memory.is_accepted(ask.key, now):
            return self._reserved_places.take(ask.caller.identity)
        return place

    async def _pass(self, request: web.BaseRequest, target: PassThrough) -> web.StreamResponse | Reply:
        place = self._passed_places.take(_client(request), authentication.claimed(request.headers.get("Authorization")))
        if place is None:
            return answers.string(503, "Too many requests are open at once.", Outcome.BUSY, closes=True)
        try:
            with place:
                return await self._passing.handle(request, target.target)
        except ConnectionError:
            self._observe(Outcome.UPSTREAM_FAILED, 0.0)  # `handle` is left by the error, and counts nothing
            raise
        except Exception:  # noqa: BLE001 - the client gets an answer, and the log the traceback
            log.write_with_traceback(RequestFailed(method=request.method))
            return answers.string(502, "The request could not be passed on.", Outcome.ERROR, closes=True)


def _client(request: web.BaseRequest) -> str:
    """Return the client whose share of the places a request uses."""
    connection = request.protocol
    return connection.client if isinstance(connection, Connection) else ""


def takes_chunks(method: str, target: str) -> bool:
    """Whether a request may have a chunked body: only if it is passed through."""
    return isinstance(parse(method, target), PassThrough)


def unreadable(error: HttpProcessingError) -> web.StreamResponse:
    """Answer a request that could not be parsed."""
    if isinstance(error, LineTooLong):
        return Written(answers.bad_request("The head of the request is too large.", status=431))
    if isinstance(error, ChunkedBodyError):
        return Written(answers.bad_request("This route takes no chunked body."))
    return Written(answers.bad_request("The request is not valid HTTP."))
