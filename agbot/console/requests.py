"""What a request names: ids, numbers and times, and the errors for what is wrong with it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler

from agbot.console import parts
from agbot.console.api import Endpoint
from agbot.console.replies import ApiError
from agbot.coordinator.listings import Noun
from agbot.rules import ids
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId
from agbot.rules.nearest import did_you_mean

_BODY_SECONDS: Final = 5.0
Word = TypeVar("Word", bound=StrEnum)


def bad_input(request: web.Request, problem: str, next_step: str) -> ApiError:
    """Return the error for an invalid request."""
    return ApiError.of(request, 400, problem, next_step)


def not_found(
    request: web.Request,
    problem: str,
    next_step: str = "`agbot status --all` lists the groups that are known, `agbot doctor` names what cannot be read",
) -> ApiError:
    """Return the error for something that is not known."""
    return ApiError.of(request, 404, problem, next_step)


def unknown_group(request: web.Request, group: GroupId) -> ApiError:
    """Return the error for a group that is not known."""
    operations = parts.of(request).operations
    return not_found(request, operations.why_excluded(ids.org_of(group)) or operations.unknown(Noun.GROUP, group))


def unknown_node(request: web.Request, node: NodeId) -> ApiError:
    """Return the error for a node that is not known."""
    unknown = parts.of(request).operations.unknown(Noun.NODE, node) or f"no node {node} is known"
    return not_found(request, f"{unknown}: it is in no HA group of a coordinated organisation, and has not asked")


def unknown_org(request: web.Request, org: str) -> str:
    """Return why an organisation is not known; empty if it is, or if none has been found yet."""
    operations = parts.of(request).operations
    known = {each.org for each in operations.overview().orgs}
    # before the first organisation is found, at the start, none can be called unknown
    if not known or org in known:
        return ""
    return operations.why_excluded(OrgId(org)) or operations.unknown(Noun.SCOPE, org)


def known_org(request: web.Request, org: str | None) -> str | None:
    """Return the organisation to filter by.

    For one that is not coordinated, or not known, an empty list would be misleading.

    Raises:
        ApiError: it is not coordinated, or not known.
    """
    if org is None:
        return None
    why = parts.of(request).operations.why_excluded(OrgId(org)) or unknown_org(request, org)
    if why:
        raise not_found(request, why)
    return org


def unknown_policy(request: web.Request, policy: PolicyId) -> str:
    """Return why a policy is not known; empty if it is."""
    operations = parts.of(request).operations
    return operations.why_excluded(ids.org_of(policy)) or operations.unknown(Noun.POLICY, policy)


def group_of(request: web.Request) -> GroupId:
    """Return the group of the path."""
    return ids.group_id(request.match_info["org"], request.match_info["group"])


def word(request: web.Request, name: str, among: type[Word], noun: str) -> Word | None:
    """Return a word of the query, which is one of these; None if it is not given."""
    text = request.query.get(name)
    if text is not None and text not in set(among):
        raise bad_input(request, f'"{text}" is not {noun}', f"use one of {', '.join(among)}")
    return None if text is None else among(text)


def only_known_keys(endpoint: Endpoint[Any], handler: Handler) -> Handler:
    """Refuse a query with keys that a path of the API does not have, or that may be given once.

    `?stat=busy` would be answered with every group, and read as if all of them were busy.
    """
    if not endpoint.path.startswith("/v1"):  # pages and probes: a proxy may add what it likes
        return handler

    async def answer(request: web.Request) -> web.StreamResponse:
        for name in request.query:
            if name not in endpoint.query:
                known = ", ".join(endpoint.query) or "none"
                problem = f"{endpoint.path} has no key {name!r}{did_you_mean(name, endpoint.query)}"
                raise bad_input(request, problem, f"correct the query; the keys are: {known}")
            if name not in endpoint.repeatable and len(request.query.getall(name)) > 1:
                raise bad_input(request, f"{name} is given more than once", "send one request for each")
        return await handler(request)

    return answer


def number(request: web.Request, name: str, *, least: int) -> int | None:
    """Return a whole number of the query; None if it is not given."""
    text = request.query.get(name)
    return None if text is None else whole_number(request, name, text, least=least)


def whole_number(request: web.Request, name: str, text: str, *, least: int) -> int:
    """Return a whole number that is written in the request under this name."""
    # An id fits in an integer of the store.
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(2**62)) - 1 or int(text) < least:
        raise bad_input(request, f'{name}="{text}" is not a whole number of {least} or more', f"correct {name}")
    return int(text)


def moment(request: web.Request, name: str) -> datetime | None:
    """Return a time of the query; None if it is not given."""
    text = request.query.get(name)
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter beside the first and the last year, where UTC has no such time
        pass
    raise bad_input(request, f'{name}="{text}" is not a time with a zone', "use a form such as 2026-01-31T18:00:00Z")


async def content_of(request: web.Request) -> bytes:
    """Return the body of a request.

    Raises:
        ApiError: it did not arrive in time.
    """
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise ApiError.of(request, 408, "the body did not arrive in time", "send it again") from None
