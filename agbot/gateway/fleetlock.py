"""FleetLock: a host asks before it reboots, and reports when it is back.

The protocol is that of CoreOS (https://coreos.github.io/zincati/development/fleetlock/protocol/):
`POST /v1/pre-reboot` and `POST /v1/steady-state` with the header `fleet-lock-protocol: true` and
`{"client_params": {"group": …, "id": …}}`. 200 is yes; anything else has `kind` and `value`, and
the client asks again. It names no login, so the rule kept here is ours (decision 45): a host logs
in with the Exchange's credentials of its node, as the agent does. The lease is that of the node's
own HA group, whatever the body says.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import msgspec
from aiohttp import web

from agbot.clock import Clock
from agbot.coordinator.permission import Granted, Permission
from agbot.coordinator.questions import stages
from agbot.coordinator.questions.stages import Stage
from agbot.events.listeners import QuestionFailed
from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import Forbidden, Refused
from agbot.gateway import authentication, refusals
from agbot.gateway.answers import HEADERS, Denied, Outcome, Reply, waits_for
from agbot.gateway.asking import ANSWER_SHARE, in_time
from agbot.gateway.authentication import Unproven
from agbot.gateway.body import BROKEN, Body
from agbot.gateway.core import NODES, Core
from agbot.gateway.forwarding import Forwarding
from agbot.gateway.reads import Reads
from agbot.gateway.refusals import Refusal
from agbot.listening.hop import Received
from agbot.rules import host, ids
from agbot.rules.facts import Ask, Node
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Claim, Kind
from agbot.rules.reasons import Code, Reason
from agbot.settings.model import GatewaySettings

PRE_REBOOT: Final = "/v1/pre-reboot"
STEADY_STATE: Final = "/v1/steady-state"
HEADER: Final = "fleet-lock-protocol"
_ANY_GROUP: Final = "default"
"""What clients send that were given no group."""
_MAX_BYTES: Final = 4_096
_BODY_SECONDS: Final = 5.0
_YES: Final = 200
_REFUSALS: Final = frozenset({400, 401, 409, 413})
_NO_LOGIN: Final = "a host logs in with the Exchange's credentials of its node, org/node and token"
_WRONG: Final = "the Exchange does not know the node, or does not accept its token"


class _Params(msgspec.Struct, frozen=True):
    # `$` alone also matches before a newline at the end
    group: Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9.-]+(?!\n)$")]
    id: Annotated[str, msgspec.Meta(min_length=1)]


class _Asked(msgspec.Struct, frozen=True):
    client_params: _Params


class _RefusedError(Exception):
    """The request is answered without the coordinator."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body)
        self.reply = reply


class FleetLock:
    """Answers the two routes."""

    def __init__(
        self,
        core: Core,
        permission: Permission,
        reads: Reads,
        forwarding: Forwarding,
        settings: GatewaySettings,
        *,
        clock: Clock,
    ) -> None:
        self._core = core
        self._permission = permission
        self._reads = reads
        self._forwarding = forwarding
        self._seconds = clock.real_seconds(settings.answer_seconds * ANSWER_SHARE)
        self._is_on = settings.fleetlock

    def is_asked(self, request: web.BaseRequest) -> bool:
        """Whether this is a request of FleetLock, and it is on."""
        return self._is_on and request.method == "POST" and request.raw_path in {PRE_REBOOT, STEADY_STATE}

    async def reply(self, request: web.BaseRequest, now: float) -> Reply:
        """Answer a request that arrived at `now` of the event loop; raises only if cancelled."""
        try:
            content = await _content(request)
            asked = _params(request, content)
            if not self._forwarding.leads:
                return await self._forwarded(request, content)
            caller, key = self._caller(request, asked, now)
        except _RefusedError as refusal:
            return refusal.reply
        failed = QuestionFailed(node=caller.identity, target=request.path)
        try:
            found = await in_time(lambda _: self._decide(request.path, asked, caller, key), now + self._seconds, failed)
        except (Refused, Forbidden):
            return _denied(caller.identity, _WRONG)
        return _of_reasons(found.reasons, found.outcome) if isinstance(found, Refusal) else found

    def _caller(self, request: web.BaseRequest, asked: _Params, now: float) -> tuple[Credentials, bytes]:
        caller = authentication.read(request.headers.get("Authorization"), NODES)
        if isinstance(caller, Unproven):
            raise _RefusedError(_denied(asked.id, _NO_LOGIN))
        key = self._core.memory.key(caller)
        if self._core.memory.is_refused(key, now):
            raise _RefusedError(_denied(caller.identity, _WRONG))
        # here and not later: every request reads the node, even if it is refused after that
        if not self._core.budget.spend(key, now):
            raise _RefusedError(_of_reasons(refusals.TOO_OFTEN.reasons, refusals.TOO_OFTEN.outcome))
        return caller, key

    async def _decide(self, path: str, asked: _Params, caller: Credentials, key: bytes) -> Reply:
        stages.reach(Stage.CONFIRM)
        node = await self._reads.own_node(key, caller)
        if node.group is None:  # no other member depends on it
            return Reply(status=200, body=b"", outcome=Outcome.GRANTED)
        if asked.group not in {_ANY_GROUP, ids.name_of(node.group)}:
            value = f"{node.id} is in HA group {ids.name_of(node.group)}, not {asked.group}"
            return refused(400, "wrong-group", value, Outcome.BAD_REQUEST)
        ask = _question(node.id, node.group)
        if path == STEADY_STATE:
            stages.reach(Stage.STORE)
            # A host reports after every start, and again until it gets a yes: so also if it holds
            # no lease. The protocol has no word for a failure.
            await self._permission.report_end(ask, succeeded=True, who=node.id)
            return Reply(status=200, body=b"", outcome=Outcome.ENDED)
        return await self._asked(ask, lambda: self._reads.own_node(key, caller))

    async def _asked(self, ask: Ask, confirm: Callable[[], Awaitable[Node]]) -> Reply:
        answer = await self._permission.ask(ask, confirm)
        if isinstance(answer, Granted):
            return Reply(status=200, body=b"", outcome=Outcome.GRANTED)
        return _of_reasons(answer.reasons, Outcome.REFUSED)

    async def _forwarded(self, request: web.BaseRequest, content: bytes) -> Reply:
        """Answer with the leader's answer: this coordinator stands by."""
        received = await self._forwarding.received("POST", request.path, request.headers, content)
        # A host reboots on any 200, also on that of a proxy's page, or of another server that has
        # the leader's address now.
        if not isinstance(received, str) and not _is_of_a_coordinator(received):
            received = "the leading coordinator cannot answer hosts at present"
        if isinstance(received, str):
            return _of_reasons((Reason(code=Code.NO_LEADER, text=received),), Outcome.UNAVAILABLE)
        return Reply(status=received.status, body=received.body, outcome=Outcome.FORWARDED)


def _is_of_a_coordinator(received: Received) -> bool:
    """Whether a coordinator has written this answer."""
    if received.status == _YES:
        # its body is empty, which shows nothing: only a coordinator and the agbot send all of these
        return not received.body and all(received.headers.get(name) == text for name, text in HEADERS.items())
    try:
        found = msgspec.json.decode(received.body, type=dict[str, str])
    except ValueError:
        return False
    return received.status in _REFUSALS and set(found) == {"kind", "value"}


async def _content(request: web.BaseRequest) -> bytes:
    body = Body(request, max_bytes=_MAX_BYTES, seconds=_BODY_SECONDS)
    try:
        return b"".join([chunk async for chunk in body.chunks()])
    except (TimeoutError, ConnectionError, *BROKEN) as error:
        # not `body.reply`, which is in the agbot's form
        status = 400 if body.reply is None else body.reply.status
        text = f"the body has more than {_MAX_BYTES} bytes, is broken, or did not arrive in {_BODY_SECONDS:g} s"
        reply = refused(status, "invalid-request", text, Outcome.BAD_REQUEST)
        raise _RefusedError(msgspec.structs.replace(reply, closes=True)) from error


def _params(request: web.BaseRequest, content: bytes) -> _Params:
    if request.headers.get(HEADER) != "true":
        raise _RefusedError(_invalid(f"the header {HEADER}: true is missing"))
    try:
        return msgspec.json.decode(content, type=_Asked).client_params
    except ValueError as error:
        raise _RefusedError(_invalid(f"the body is invalid: {error}")) from error


def refused(status: int, kind: str, value: str, outcome: Outcome) -> Reply:
    """Write a refusal in the protocol's form."""
    return Reply(status=status, body=json.dumps({"kind": kind, "value": value}).encode(), outcome=outcome)


def _invalid(value: str) -> Reply:
    return refused(400, "invalid-request", value, Outcome.BAD_REQUEST)


def _question(node: NodeId, group: GroupId) -> Ask:
    claim = Claim(holder=node, kind=Kind.HOST, subject=host.subject_of(ids.org_of(node)))
    return Ask(group=group, claim=claim, by=node)


def _of_reasons(reasons: tuple[Reason, ...], outcome: Outcome) -> Reply:
    return refused(409, str(reasons[0].code), f"The host may not reboot now.{waits_for(reasons)}", outcome)


def _denied(caller: str, why: str) -> Reply:
    reply = refused(401, "unauthenticated", why, Outcome.UNAUTHENTICATED)
    return msgspec.structs.replace(reply, denied=Denied(caller=caller, why=why))
