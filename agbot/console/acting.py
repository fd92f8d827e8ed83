"""Operators' requests that change something.

Each needs the operator token and a reason, and is journalled with a name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from agbot.console import access, api, parts, replies
from agbot.console.answers import Tested
from agbot.console.api import Endpoint
from agbot.console.bodies import (
    AllowBody,
    ApproveBody,
    HoldBody,
    LeadBody,
    ReleaseBody,
    ResumeBody,
    TestBody,
    WithdrawAllowanceBody,
    WithdrawApprovalBody,
)
from agbot.console.replies import ApiError
from agbot.console.requests import bad_input, content_of, group_of
from agbot.coordinator.contract import Done, NotDone
from agbot.rules import ids
from agbot.rules.ids import REST_SCOPE, STORE_SCOPE, GroupId, NodeId, PolicyId
from agbot.rules.records import Allowance, Approval, Hold

BODY_BYTES: Final = 16_384
_LONGEST_TEXT: Final = 500
_TEXTS: Final = ("reason", "by", "scope", "subject", "node", "to")
_EXAMPLE_AHEAD: Final = timedelta(days=1)
_LISTED: Final = "`agbot orders` lists what has been allowed and approved"

Body = TypeVar("Body", bound=msgspec.Struct)


async def _release(request: web.Request, wanted: ReleaseBody, group: GroupId) -> Done | NotDone:
    """Free a group's lease by force."""
    return await parts.of(request).operations.release(group, token=wanted.token, reason=wanted.reason, who=wanted.by)


async def _hold(request: web.Request, wanted: HoldBody) -> Done | NotDone:
    """Stop new grants for the fleet, an organisation, a group or a node."""
    now = parts.of(request).clock.now()
    # one that is over would be answered as done, and hold nothing
    if wanted.until is not None:
        _require_future(request, wanted.until, now)
    hold = Hold(scope=wanted.scope, since=now, by=wanted.by, why=wanted.reason, until=wanted.until)
    return await parts.of(request).operations.hold(hold)


async def _resume(request: web.Request, wanted: ResumeBody) -> Done | NotDone:
    """End the hold of a scope, or lift the brakes on a subject in it, or end its rests."""
    return await parts.of(request).operations.resume(
        f"{REST_SCOPE}{wanted.scope}" if wanted.rest else wanted.scope,
        subject=PolicyId(wanted.subject) if wanted.subject is not None else None,
        reason=wanted.reason,
        who=wanted.by,
    )


async def _allowance(request: web.Request, wanted: AllowBody) -> Done | NotDone:
    """Let one upgrade of a node past most rules, once."""
    now = parts.of(request).clock.now()
    _require_future(request, wanted.until, now)
    allowance = Allowance(
        node=NodeId(_qualified(request, "node", wanted.node)),
        subject=PolicyId(_qualified(request, "subject", wanted.subject) if wanted.subject else ""),
        since=now,
        until=wanted.until,
        by=wanted.by,
        why=wanted.reason,
    )
    return await parts.of(request).operations.allow(allowance)


async def _approval(request: web.Request, wanted: ApproveBody) -> Done | NotDone:
    """Let an upgrade begin where `[rules] approval` asks for that."""
    approval = Approval(
        scope=wanted.scope,
        kind=wanted.kind,
        subject=PolicyId(_qualified(request, "subject", wanted.subject)),
        since=parts.of(request).clock.now(),
        by=wanted.by,
        why=wanted.reason,
    )
    return await parts.of(request).operations.approve(approval)


async def _withdrawn_allowance(request: web.Request, wanted: WithdrawAllowanceBody) -> Done | NotDone:
    """Take the allowance of a node back."""
    node = NodeId(_qualified(request, "node", wanted.node))
    return await parts.of(request).operations.withdraw_allowance(node, reason=wanted.reason, who=wanted.by)


async def _withdrawn_approval(request: web.Request, wanted: WithdrawApprovalBody) -> Done | NotDone:
    """Take an approval back."""
    subject = PolicyId(_qualified(request, "subject", wanted.subject))
    return await parts.of(request).operations.withdraw_approval(
        wanted.scope, wanted.kind, subject, reason=wanted.reason, who=wanted.by
    )


async def _lead(request: web.Request, wanted: LeadBody) -> Done | NotDone:
    """Let another coordinator lead."""
    return await parts.of(request).coordinators.hand_over(to=wanted.to or "", reason=wanted.reason, who=wanted.by)


async def _test(request: web.Request, wanted: TestBody) -> Tested:
    """Journal a test event, which every receiver gets as it gets any other."""
    deliveries = parts.of(request).deliveries
    tried = "a test event for all receivers"
    if deliveries is None or not deliveries.receivers():
        raise ApiError(409, tried=tried, problem="there is no receiver", next_step="set [mqtt], [webhook] or [notify]")
    number = await deliveries.test(wanted.by)
    if not number:
        next_step = "`agbot status` shows what is wrong with the store"
        raise ApiError(409, tried=tried, problem="the journal cannot be written", next_step=next_step)
    return Tested(event=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a request is carried out."""

    carry_out: Callable[..., Awaitable[Any]]
    """With the request and its body; a release also takes the group."""
    about: str = ""
    """The key of the body with the scope or node. If that is not found because its organisation is
    not coordinated, the error states it."""
    next_step: str = "`agbot status --all` shows the present state"


ORDERS: Final[Mapping[Endpoint[Any], Order]] = MappingProxyType(
    {
        api.RELEASE: Order(carry_out=_release),
        api.HOLD: Order(carry_out=_hold, about="scope"),
        api.RESUME: Order(carry_out=_resume),
        api.ALLOW: Order(carry_out=_allowance, about="node"),
        api.APPROVE: Order(carry_out=_approval, about="scope", next_step="`agbot rollout` lists the rollouts"),
        api.WITHDRAW_ALLOWANCE: Order(carry_out=_withdrawn_allowance, about="node", next_step=_LISTED),
        api.WITHDRAW_APPROVAL: Order(carry_out=_withdrawn_approval, about="scope", next_step=_LISTED),
        api.LEAD: Order(carry_out=_lead, next_step="`agbot status` shows all coordinators"),
        api.TEST_RECEIVERS: Order(carry_out=_test),
    }
)


def _handler(endpoint: Endpoint[Any], order: Order) -> Handler:
    """Return the handler of a path that changes something."""

    async def handle(request: web.Request) -> web.Response:
        # first of all: what is wrong with a body, or known of a group, is for operators
        access.require_operator(request)
        wanted = await _body(request, endpoint.body or TestBody)
        group = (group_of(request),) if endpoint is api.RELEASE else ()
        done = await order.carry_out(request, wanted, *group)
        # An answer of 200 would be read as done by every program that looks at the status alone.
        if isinstance(done, NotDone):
            raise _not_done(request, done, getattr(wanted, order.about) if order.about else "*", order.next_step)
        return replies.json(done)

    return handle


HANDLERS: Final[Mapping[Endpoint[Any], Handler]] = MappingProxyType(
    {endpoint: _handler(endpoint, order) for endpoint, order in ORDERS.items()}
)


def _not_done(request: web.Request, done: NotDone, about: str, next_step: str) -> ApiError:
    org = ids.org_of(ids.node_of_scope(about) or about)
    why = parts.of(request).operations.why_excluded(org) if done.not_found and about != "*" else ""
    problem = f"{done.text}: {why}" if why else done.text
    return ApiError.of(request, 404 if done.not_found else 409, problem, next_step)


def _require_future(request: web.Request, until: datetime, now: datetime) -> None:
    if until <= now:
        problem = f"until is in the past: {_moment(until)}, and it is {_moment(now)}"
        raise bad_input(request, problem, _such_as(now))


def _such_as(now: datetime) -> str:
    return f"give a time in the future, such as {_moment(now + _EXAMPLE_AHEAD)}"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _qualified(request: web.Request, name: str, text: str) -> str:
    org, _, bare = text.partition("/")
    if not org or not bare:
        raise bad_input(request, f"{name} {text!r} is not org/name", "give it as org/name")
    return text


async def _body(request: web.Request, kind: type[Body]) -> Body:
    content = await content_of(request)
    try:
        found = msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        fields = ", ".join(kind.__struct_fields__)
        raise bad_input(request, f"the body is invalid: {error}", f"send a JSON object with {fields}") from error
    return checked(request, found)


def checked(request: web.Request, body: Body) -> Body:
    """Return a body without white space around its texts, and with its time in UTC.

    Raises:
        ApiError: a text is empty, too long, or not one line; or the time has no zone.
    """
    texts = {name: text for name in _TEXTS if (text := getattr(body, name, None)) is not None}
    for name, text in texts.items():
        if not text.strip():
            next_step = "give the reason; it is journalled" if name == "reason" else f"give a {name}"
            raise bad_input(request, f"{name} is empty", next_step)
        # It goes into log, journal and messages: a line break would begin a line of its own.
        if len(text) > _LONGEST_TEXT or not text.isprintable():
            problem = f"{name} is not one line of at most {_LONGEST_TEXT} characters"
            is_long = len(text) > _LONGEST_TEXT
            next_step = f"shorten {name}" if is_long else f"leave out line breaks and control characters in {name}"
            raise bad_input(request, problem, next_step)
    if isinstance(body, ReleaseBody) and body.token is not None and body.token < 1:
        raise bad_input(request, "a token is 1 or more", "take it from /v1/leases, or leave it out")
    # here, so that the page refuses it before it describes one of the two and asks for the token
    if isinstance(body, ResumeBody) and body.subject is not None and (body.rest or body.scope == STORE_SCOPE):
        other = "rest" if body.rest else f"the scope {STORE_SCOPE}"
        raise bad_input(request, f"subject and {other} exclude each other", "send one request for each")
    values: dict[str, Any] = {name: text.strip() for name, text in texts.items()}
    until: datetime | None = getattr(body, "until", None)
    if until is not None and until.tzinfo is None:
        raise bad_input(request, "until has no time zone", _such_as(parts.of(request).clock.now()))
    if until is not None:
        try:
            values["until"] = until.astimezone(UTC)
        except OverflowError:  # in the first or the last hours that there are, in a zone beside UTC
            now = parts.of(request).clock.now()
            raise bad_input(request, "until is not a time that there is in UTC", _such_as(now)) from None
    return msgspec.structs.replace(body, **values)
