"""The writing half of the API: what a person may do. Each needs the operator token and a reason, and goes into the journal with a name.

The name (`by`) is what the person says it is; only the token is proof, and everybody who writes has the same one.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from agbot.console import access, parts, replies
from agbot.console.replies import ApiError
from agbot.console.showing import bad_input, group_of
from agbot.coordinator.contract import Done, NotDone
from agbot.rules import ids
from agbot.rules.facts import Allowance, Approval, Pause
from agbot.rules.ids import REST_SCOPE, NodeId, PolicyId
from agbot.rules.lease import Kind

BODY_BYTES: Final = 16_384
_BODY_SECONDS: Final = 5.0
_LONGEST_TEXT: Final = 500


class Release(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/leases/{org}/{group}/release`."""

    reason: str
    token: int | None = None
    by: str = "operator"


class Hold(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/holds`."""

    scope: str
    reason: str
    until: datetime | None = None
    by: str = "operator"


class Resume(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/resume`."""

    scope: str
    reason: str
    subject: str | None = None
    rest: bool = False
    """End the rests there, instead of a pause."""
    by: str = "operator"


class Allow(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/allowances`."""

    node: str
    reason: str
    until: datetime
    subject: str | None = None
    by: str = "operator"


class Approve(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/approvals`."""

    scope: str
    subject: str
    reason: str
    kind: Kind = Kind.AGENT
    by: str = "operator"


_Body = TypeVar("_Body", Release, Hold, Resume, Allow, Approve)


async def release(request: web.Request) -> web.Response:
    """Free a group's lease by force."""
    access.require_operator(request)
    wanted = await _body(request, Release)
    done = await parts.of(request).operations.release(
        group_of(request), token=wanted.token, reason=wanted.reason.strip(), who=wanted.by.strip()
    )
    return _reply(request, done)


async def hold(request: web.Request) -> web.Response:
    """Stop new grants for everything, an organisation or a group."""
    access.require_operator(request)
    wanted = await _body(request, Hold)
    now = parts.of(request).clock.now()
    if wanted.until is not None:
        _require_coming(request, wanted.until, now)
    pause = Pause(scope=wanted.scope, since=now, by=wanted.by.strip(), why=wanted.reason.strip(), until=wanted.until)
    return _reply(request, await parts.of(request).operations.hold(pause), wanted.scope)


async def resume(request: web.Request) -> web.Response:
    """End the pause of a scope, or lift the brakes on a subject in a group, an organisation or everywhere."""
    access.require_operator(request)
    wanted = await _body(request, Resume)
    done = await parts.of(request).operations.resume(
        f"{REST_SCOPE}{wanted.scope}" if wanted.rest else wanted.scope,
        subject=PolicyId(wanted.subject) if wanted.subject is not None else None,
        reason=wanted.reason.strip(),
        who=wanted.by.strip(),
    )
    return _reply(request, done)


async def allow(request: web.Request) -> web.Response:
    """Let one upgrade of a node past what would keep it, once."""
    access.require_operator(request)
    wanted = await _body(request, Allow)
    now = parts.of(request).clock.now()
    _require_coming(request, wanted.until, now)
    allowance = Allowance(
        node=NodeId(_qualified(request, "node", wanted.node)),
        subject=PolicyId(_qualified(request, "subject", wanted.subject) if wanted.subject else ""),
        since=now,
        until=wanted.until,
        by=wanted.by.strip(),
        why=wanted.reason.strip(),
    )
    return _reply(request, await parts.of(request).operations.allow(allowance), wanted.node)


async def approve(request: web.Request) -> web.Response:
    """Let a release begin where a person's word is asked for."""
    access.require_operator(request)
    wanted = await _body(request, Approve)
    approval = Approval(
        scope=wanted.scope,
        kind=wanted.kind,
        subject=PolicyId(_qualified(request, "subject", wanted.subject)),
        since=parts.of(request).clock.now(),
        by=wanted.by.strip(),
        why=wanted.reason.strip(),
    )
    return _reply(request, await parts.of(request).operations.approve(approval), wanted.scope)


def _require_coming(request: web.Request, until: datetime, now: datetime) -> None:
    if until.tzinfo is None or until <= now:
        fault = "has no time zone" if until.tzinfo is None else "is in the past"
        raise bad_input(request, f"until {fault}", "write a coming time as 2026-01-31T18:00:00Z")


def _qualified(request: web.Request, name: str, text: str) -> str:
    org, _, bare = text.partition("/")
    if not org or not bare:
        raise bad_input(request, f"{name} {text!r} is not org/name", f"give {name} with its organisation")
    return text


async def _body(request: web.Request, kind: type[_Body]) -> _Body:
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            content = await request.read()
    except TimeoutError:
        raise ApiError(
            408,
            tried=f"{request.method} {request.path}",
            problem="the body did not arrive in time",
            next_step="send it again",
        ) from None
    try:
        found = msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        fields = ", ".join(kind.__struct_fields__)
        raise bad_input(
            request, f"the body is not what this takes: {error}", f"send a JSON object with {fields}"
        ) from error
    _check_texts(request, found)
    return found


def _check_texts(request: web.Request, body: Release | Hold | Resume | Allow | Approve) -> None:
    for name in ("reason", "by", "scope", "subject", "node"):
        text = getattr(body, name, None)
        if text is None:
            continue
        if not text.strip():
            raise bad_input(
                request,
                f"{name} is empty",
                "say why, for whoever reads the journal" if name == "reason" else f"give a {name}",
            )
        if len(text) > _LONGEST_TEXT or not text.isprintable():
            raise bad_input(request, f"{name} is not one line of at most {_LONGEST_TEXT} characters", f"shorten {name}")
    if isinstance(body, Release) and body.token is not None and body.token < 1:
        raise bad_input(request, "a lease's token is 1 or more", "take it from /v1/leases, or leave it out")


def _reply(request: web.Request, done: Done | NotDone, about: str = "*") -> web.Response:
    """Answer what was done; what is not found `about` an organisation that is not looked after is not found because of that."""
    if isinstance(done, Done):
        return replies.json(done)
    org = ids.org_of(ids.node_of_scope(about) or about)
    why = parts.of(request).operations.why_excluded(org) if done.not_found and about != "*" else ""
    status = 404 if done.not_found else 409
    next_step = "GET /v1/groups, or agbot status --all, shows how things stand"
    raise ApiError(
        status,
        tried=f"{request.method} {request.path}",
        problem=f"{done.text}: {why}" if why else done.text,
        next_step=next_step,
    )
