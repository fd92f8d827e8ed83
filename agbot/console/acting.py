"""Operators' requests that change something.

Each needs the operator token and a reason, and is journalled with a name.

The name (`by`) is the one that the operator gives. It is not verified: all operators share one
token.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from agbot.console import access, parts, replies
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
from agbot.console.present import bad_input, group_of
from agbot.console.replies import ApiError
from agbot.coordinator.contract import Done, NotDone
from agbot.rules import ids
from agbot.rules.ids import REST_SCOPE, GroupId, NodeId, PolicyId
from agbot.rules.records import Allowance, Approval, Hold

BODY_BYTES: Final = 16_384
_BODY_SECONDS: Final = 5.0
_LONGEST_TEXT: Final = 500
_ORDERS: Final = "`agbot orders` lists what has been allowed and approved"


_Body = TypeVar("_Body", bound=msgspec.Struct)


async def release(request: web.Request) -> web.Response:
    """Free a group's lease by force."""
    access.require_operator(request)
    wanted = await _body(request, ReleaseBody)
    return _reply(request, await order_release(request, wanted, group_of(request)))


async def order_release(request: web.Request, wanted: ReleaseBody, group: GroupId) -> Done | NotDone:
    """Carry out a release."""
    return await parts.of(request).operations.release(
        group, token=wanted.token, reason=wanted.reason.strip(), who=wanted.by.strip()
    )


async def hold(request: web.Request) -> web.Response:
    """Stop new grants for the fleet, an organisation, a group or a node."""
    access.require_operator(request)
    wanted = await _body(request, HoldBody)
    return _reply(request, await order_hold(request, wanted), wanted.scope)


async def order_hold(request: web.Request, wanted: HoldBody) -> Done | NotDone:
    """Carry out a hold."""
    now = parts.of(request).clock.now()
    if wanted.until is not None:
        _require_future(request, wanted.until, now)
    hold = Hold(scope=wanted.scope, since=now, by=wanted.by.strip(), why=wanted.reason.strip(), until=wanted.until)
    return await parts.of(request).operations.hold(hold)


async def resume(request: web.Request) -> web.Response:
    """End the hold of a scope, or lift the brakes on a subject in it, or end its rests."""
    access.require_operator(request)
    wanted = await _body(request, ResumeBody)
    return _reply(request, await order_resume(request, wanted))


async def order_resume(request: web.Request, wanted: ResumeBody) -> Done | NotDone:
    """Carry out a resumption."""
    return await parts.of(request).operations.resume(
        f"{REST_SCOPE}{wanted.scope}" if wanted.rest else wanted.scope,
        subject=PolicyId(wanted.subject) if wanted.subject is not None else None,
        reason=wanted.reason.strip(),
        who=wanted.by.strip(),
    )


async def allow(request: web.Request) -> web.Response:
    """Let one upgrade of a node past most rules, once."""
    access.require_operator(request)
    wanted = await _body(request, AllowBody)
    return _reply(request, await order_allowance(request, wanted), wanted.node)


async def order_allowance(request: web.Request, wanted: AllowBody) -> Done | NotDone:
    """Give an allowance."""
    now = parts.of(request).clock.now()
    _require_future(request, wanted.until, now)
    allowance = Allowance(
        node=NodeId(_qualified(request, "node", wanted.node)),
        subject=PolicyId(_qualified(request, "subject", wanted.subject) if wanted.subject else ""),
        since=now,
        until=wanted.until,
        by=wanted.by.strip(),
        why=wanted.reason.strip(),
    )
    return await parts.of(request).operations.allow(allowance)


async def approve(request: web.Request) -> web.Response:
    """Let an upgrade begin where `[rules] approval` asks for that."""
    access.require_operator(request)
    wanted = await _body(request, ApproveBody)
    return _reply(
        request, await order_approval(request, wanted), wanted.scope, next_step="`agbot rollout` lists the rollouts"
    )


async def order_approval(request: web.Request, wanted: ApproveBody) -> Done | NotDone:
    """Give an approval."""
    approval = Approval(
        scope=wanted.scope,
        kind=wanted.kind,
        subject=PolicyId(_qualified(request, "subject", wanted.subject)),
        since=parts.of(request).clock.now(),
        by=wanted.by.strip(),
        why=wanted.reason.strip(),
    )
    return await parts.of(request).operations.approve(approval)


async def withdraw_allowance(request: web.Request) -> web.Response:
    """Take the allowance of a node back."""
    access.require_operator(request)
    wanted = await _body(request, WithdrawAllowanceBody)
    return _reply(request, await order_withdrawn_allowance(request, wanted), wanted.node, next_step=_ORDERS)


async def order_withdrawn_allowance(request: web.Request, wanted: WithdrawAllowanceBody) -> Done | NotDone:
    """Withdraw an allowance."""
    node = NodeId(_qualified(request, "node", wanted.node))
    return await parts.of(request).operations.withdraw_allowance(
        node, reason=wanted.reason.strip(), who=wanted.by.strip()
    )


async def withdraw_approval(request: web.Request) -> web.Response:
    """Take an approval back."""
    access.require_operator(request)
    wanted = await _body(request, WithdrawApprovalBody)
    return _reply(request, await order_withdrawn_approval(request, wanted), wanted.scope, next_step=_ORDERS)


async def order_withdrawn_approval(request: web.Request, wanted: WithdrawApprovalBody) -> Done | NotDone:
    """Withdraw an approval."""
    subject = PolicyId(_qualified(request, "subject", wanted.subject))
    return await parts.of(request).operations.withdraw_approval(
        wanted.scope, wanted.kind, subject, reason=wanted.reason.strip(), who=wanted.by.strip()
    )


async def lead(request: web.Request) -> web.Response:
    """Let another coordinator lead."""
    access.require_operator(request)
    wanted = await _body(request, LeadBody)
    return _reply(request, await order_lead(request, wanted), next_step="`agbot status` shows all coordinators")


async def order_lead(request: web.Request, wanted: LeadBody) -> Done | NotDone:
    """Hand the leadership over."""
    return await parts.of(request).coordinators.hand_over(
        to=(wanted.to or "").strip(), reason=wanted.reason.strip(), who=wanted.by.strip()
    )


async def test_receivers(request: web.Request) -> web.Response:
    """Journal a test event, which every receiver gets as it gets any other."""
    access.require_operator(request)
    wanted = await _body(request, TestBody)
    deliveries = parts.of(request).deliveries
    number = await deliveries.test(wanted.by.strip()) if deliveries else 0
    if not number:
        raise ApiError(
            409,
            tried="a test event for all receivers",
            problem="there is no receiver, or the journal cannot be written",
            next_step="set [mqtt], [webhook] or [notify], or see `agbot status`",
        )
    return replies.json({"event": number})


def _require_future(request: web.Request, until: datetime, now: datetime) -> None:
    if until.tzinfo is None or until <= now:
        fault = "has no time zone" if until.tzinfo is None else "is in the past"
        raise bad_input(request, f"until {fault}", "give a time in the future, such as 2026-01-31T18:00:00Z")


def _qualified(request: web.Request, name: str, text: str) -> str:
    org, _, bare = text.partition("/")
    if not org or not bare:
        raise bad_input(request, f"{name} {text!r} is not org/name", "give it as org/name")
    return text


async def content_of(request: web.Request) -> bytes:
    """Return the body of a request.

    Raises:
        ApiError: it did not arrive in time.
    """
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise ApiError(
            408,
            tried=f"{request.method} {request.path}",
            problem="the body did not arrive in time",
            next_step="send it again",
        ) from None


async def _body(request: web.Request, kind: type[_Body]) -> _Body:
    content = await content_of(request)
    try:
        found = msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        fields = ", ".join(kind.__struct_fields__)
        raise bad_input(request, f"the body is invalid: {error}", f"send a JSON object with {fields}") from error
    check_texts(request, found)
    return found


def check_texts(request: web.Request, body: msgspec.Struct) -> None:
    """Check every text of a body.

    Raises:
        ApiError: one is empty, too long, or not one line.
    """
    for name in ("reason", "by", "scope", "subject", "node", "to"):
        text = getattr(body, name, None)
        if text is None:
            continue
        if not text.strip():
            raise bad_input(
                request,
                f"{name} is empty",
                "give the reason; it is journalled" if name == "reason" else f"give a {name}",
            )
        if len(text) > _LONGEST_TEXT or not text.isprintable():
            raise bad_input(request, f"{name} is not one line of at most {_LONGEST_TEXT} characters", f"shorten {name}")
    if isinstance(body, ReleaseBody) and body.token is not None and body.token < 1:
        raise bad_input(request, "a token is 1 or more", "take it from /v1/leases, or leave it out")


def _reply(
    request: web.Request,
    done: Done | NotDone,
    about: str = "*",
    next_step: str = "`agbot status --all` shows the present state",
) -> web.Response:
    """Reply with the result.

    For a scope of an organisation that is not coordinated, 404 states that.
    """
    if isinstance(done, Done):
        return replies.json(done)
    org = ids.org_of(ids.node_of_scope(about) or about)
    why = parts.of(request).operations.why_excluded(org) if done.not_found and about != "*" else ""
    status = 404 if done.not_found else 409
    raise ApiError(
        status,
        tried=f"{request.method} {request.path}",
        problem=f"{done.text}: {why}" if why else done.text,
        next_step=next_step,
    )
