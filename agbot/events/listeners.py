"""Events of the listeners: the gateway, the upstream agbot behind it, and the console."""

from __future__ import annotations

from typing import ClassVar

from agbot.events.event import Level, LogEvent
from agbot.rules.words import count


class GatewayStarted(LogEvent, frozen=True, kw_only=True):
    """The agents' listener accepts questions."""

    name: ClassVar[str] = "gateway.started"
    words: ClassVar[str] = "agents and agbots can ask at {self.listen}"

    listen: str
    port: int
    tls: bool


class GatewayStopped(LogEvent, frozen=True, kw_only=True):
    """The agents' listener is closed."""

    name: ClassVar[str] = "gateway.stopped"
    words: ClassVar[str] = "agents and agbots can no longer ask"


class GatewayCut(LogEvent, frozen=True, kw_only=True):
    """Requests were still open when the listener had to close, and were cut off."""

    name: ClassVar[str] = "gateway.cut"
    level: ClassVar[Level] = Level.WARNING

    open_requests: int

    def in_words(self) -> str:
        number = count(self.open_requests, "request was", "requests were")
        return f"{number} still open when the listener closed, and cut off"


class DescriptorsScarce(LogEvent, frozen=True, kw_only=True):
    """The limit of open files and sockets is lower than `[gateway] max_open` needs.

    Fewer connections are kept open. Logged at startup.
    """

    name: ClassVar[str] = "descriptors.scarce"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "only {self.connections} connections can be open: {self.next_step}"

    limit: int
    needed: int
    connections: int
    next_step: str


class DescriptorsExhausted(LogEvent, frozen=True, kw_only=True):
    """No connection could be accepted, because no descriptor was free; idle ones are closed.

    Logged once until `descriptors.recovered`.
    """

    name: ClassVar[str] = "descriptors.exhausted"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "no connection can be accepted: {self.next_step}"

    error: str | None
    limit: int
    next_step: str


class DescriptorsRecovered(LogEvent, frozen=True, kw_only=True):
    """There are enough descriptors again."""

    name: ClassVar[str] = "descriptors.recovered"
    words: ClassVar[str] = "connections can be accepted again"

    limit: int


class LoginFailed(LogEvent, frozen=True, kw_only=True):
    """The credentials of a node, or of an agbot, were not accepted at the agents' listener.

    A caller is logged at most once in ten minutes for each reason, and all together at most ten
    times a minute.
    """

    name: ClassVar[str] = "login.failed"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "the login of {self.node} has failed"

    org: str
    node: str
    """The caller; the node that the question is about if the caller names none."""
    why: str
    left_out: int = 0
    """How many failed logins since the last such line were not logged."""


class QuestionUnconfirmed(LogEvent, frozen=True, kw_only=True):
    """The Exchange did not confirm a node in time; the node was asked to try again."""

    name: ClassVar[str] = "question.unconfirmed"
    level: ClassVar[Level] = Level.DEBUG
    words: ClassVar[str] = "the Exchange has not confirmed {self.node} in time"

    node: str
    error: str


class QuestionFailed(LogEvent, frozen=True, kw_only=True):
    """A question failed unexpectedly; the node was asked to try again."""

    name: ClassVar[str] = "question.failed"
    level: ClassVar[Level] = Level.ERROR
    words: ClassVar[str] = "a question has failed unexpectedly and was refused"

    group: str | None = None
    node: str | None = None
    subject: str | None = None
    target: str | None = None
    """The path, if the question could not be read."""


class RequestFailed(LogEvent, frozen=True, kw_only=True):
    """A request that was to be passed through failed unexpectedly."""

    name: ClassVar[str] = "request.failed"
    level: ClassVar[Level] = Level.ERROR
    words: ClassVar[str] = "a request that was to be passed through has failed unexpectedly"

    method: str


class OfUpstream(LogEvent, frozen=True, kw_only=True):
    """An event of the agbot that requests are passed through to."""

    upstream: str


class UpstreamFailed(OfUpstream, frozen=True, kw_only=True):
    """The real agbot cannot be reached; requests for it get 502.

    Logged once until `upstream.recovered`.
    """

    name: ClassVar[str] = "upstream.failed"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "the real agbot at {self.upstream} cannot be reached"

    error: str


class UpstreamRecovered(OfUpstream, frozen=True, kw_only=True):
    """The real agbot answers again."""

    name: ClassVar[str] = "upstream.recovered"
    words: ClassVar[str] = "the real agbot at {self.upstream} answers again"


class ConsoleStarted(LogEvent, frozen=True, kw_only=True):
    """The operators' listener accepts requests."""

    name: ClassVar[str] = "console.started"
    words: ClassVar[str] = "operators can ask at {self.url}"

    url: str


class ConsoleFailed(LogEvent, frozen=True, kw_only=True):
    """A request of an operator failed unexpectedly."""

    name: ClassVar[str] = "console.failed"
    level: ClassVar[Level] = Level.ERROR
    words: ClassVar[str] = "an operator's request has failed unexpectedly: {self.request}"

    request: str


class ConsoleDenied(LogEvent, frozen=True, kw_only=True):
    """A request to change something had no operator token, or a wrong one."""

    name: ClassVar[str] = "console.denied"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "an operator's request was denied: {self.request}"

    request: str
    peer: str | None
    shown: bool
    """Whether it had a token."""
