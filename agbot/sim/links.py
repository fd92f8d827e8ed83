"""How a simulated program reaches the rest of the hub: the Exchange, and what gives permissions.

There are two ports, each with an implementation in one process (here) and one over real HTTP
(`http_links`). A port only transports; `agent_reply` decides what an answer means to an agent.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import quote

from agbot.sim.clock import Clock
from agbot.sim.exchange.message import Reply, Request, basic
from agbot.sim.faults import Dropped, Hang

HEADER_TIMEOUT_SECONDS = 20.0
"""An agent gives up if no reply has begun by then (`agbot-ha.md` 1.4)."""

TRANSPORT_STATUSES = frozenset({408, 429, 502, 503, 504})
"""Answers that the programs of anax take for a broken connection (`agbot-ha.md` 1.5)."""

Doc = dict[str, Any]


class Unanswered(Exception):
    """No usable answer came.

    `is_transport` is whether an agent takes it for a transport error, which it repeats every 10 s
    indefinitely. For an agent, a name that does not resolve, or a certificate that does not verify,
    is an ordinary error.
    """

    def __init__(self, reason: str, *, is_transport: bool = True) -> None:
        """Take a description of what happened."""
        super().__init__(reason)
        self.is_transport = is_transport


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer as it arrived."""

    status: int
    body: bytes = b""

    def json(self) -> Any:
        """Return the parsed body, or None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def ok(self) -> bool:
        """Return whether the status is one of success."""
        return 200 <= self.status < 300


class Kind(StrEnum):
    """What is to be upgraded."""

    AGENT = "agent"
    SERVICE = "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The question: may this node upgrade now?

    `policy` is a bare name for an agent upgrade, `org/name` for a service upgrade.
    """

    kind: Kind
    org: str
    group: str
    node: str
    policy: str
    identity: str
    secret: str

    @property
    def path(self) -> str:
        """Return the path of the permission route, encoded as the asking program encodes it.

        Agents join the parts as they are and encode only what is illegal; the service route has the
        policy as `org%2Fname`.
        """
        if self.kind is Kind.AGENT:
            bare = f"/org/{self.org}/hagroup/{self.group}/nodemanagement/{self.node}/{self.policy}"
            return quote(bare, safe="/:@!$&'()*+,;=~")
        parts = (quote(part, safe="") for part in (self.org, self.group, self.node, self.policy))
        return "/org/{}/hagroup/{}/deployment/{}/{}".format(*parts)


class ExchangePort(Protocol):
    """The connection to the Exchange."""

    async def request(self, method: str, path: str, identity: str, secret: str, body: Doc | None = None) -> Answered:
        """Send one request; `path` is below `/v1` and already encoded.

        Raises:
            Unanswered: no reply, or a broken one.
        """
        ...


class GatewayPort(Protocol):
    """The connection to what gives permissions: the coordinator or an agbot."""

    async def ask(self, question: Question) -> Answered:
        """Ask for permission.

        Raises:
            Unanswered: no reply in time, or the connection broke.
        """
        ...

    async def report_end(self, question: Question, *, succeeded: bool) -> Answered:
        """Report the end of a service upgrade.

        Raises:
            Unanswered: no reply in time, or the connection broke.
        """
        ...


def segment(text: str) -> str:
    """Encode one path segment."""
    return quote(text, safe="")


class DirectExchange:
    """The Exchange, called in this process, without a socket.

    The only waits are the delays of faults.
    """

    def __init__(self, handle: Callable[[Request], Reply], clock: Clock) -> None:
        """Take the Exchange's entry point, `SimExchange.handle`."""
        self._handle = handle
        self._clock = clock

    async def request(self, method: str, path: str, identity: str, secret: str, body: Doc | None = None) -> Answered:
        """Call the Exchange.

        Raises:
            Unanswered: a fault lost the reply.
        """
        headers = {"Authorization": basic(identity, secret), "Content-Type": "application/json"}
        content = json.dumps(body).encode() if body is not None else b""
        request = Request(method=method, target=f"/v1{path}", headers=headers, body=content)
        try:
            reply = self._handle(request)
        except Dropped as error:
            raise Unanswered("the connection was dropped") from error
        except Hang as error:
            await self._clock.sleep(HEADER_TIMEOUT_SECONDS)
            raise Unanswered("no answer in time") from error
        if reply.delay_seconds:
            await self._clock.sleep(min(reply.delay_seconds, HEADER_TIMEOUT_SECONDS))
            if reply.delay_seconds > HEADER_TIMEOUT_SECONDS:
                raise Unanswered("no answer in time")
        if reply.truncated:
            raise Unanswered("the body was cut short")
        return Answered(reply.status, reply.body)


Ask = Callable[[Question], Awaitable[Answered]]
ReportEnd = Callable[[Question, bool], Awaitable[Answered]]


class DirectGateway:
    """What gives permissions, in this process: two callables.

    They may raise `Unanswered` to simulate a lost answer.
    """

    def __init__(self, ask: Ask, report_end: ReportEnd) -> None:
        """Take what answers questions and what records ends (its second argument: `succeeded`)."""
        self._ask = ask
        self._report_end = report_end

    async def ask(self, question: Question) -> Answered:
        """Ask for permission."""
        return await self._ask(question)

    async def report_end(self, question: Question, *, succeeded: bool) -> Answered:
        """Report the end of a service upgrade."""
        return await self._report_end(question, succeeded)


class NoGateway:
    """What an agent asks whose `HZN_AGBOT_URL` is empty: nothing (`agbot-ha.md` 1.4)."""

    async def ask(self, question: Question) -> Answered:
        """Fail with an error that an agent does not repeat at once."""
        raise Unanswered('unsupported protocol scheme ""', is_transport=False)

    async def report_end(self, question: Question, *, succeeded: bool) -> Answered:
        """Fail in the same way."""
        return await self.ask(question)


def permit(msg: str = "") -> Answered:
    """Return the agbot's own grant: 201 with `code` as a string."""
    return Answered(201, json.dumps({"code": "201", "msg": msg}).encode())


def refuse(msg: str = "") -> Answered:
    """Return the agbot's own refusal: 409."""
    return Answered(409, json.dumps({"code": "409", "msg": msg}).encode())
