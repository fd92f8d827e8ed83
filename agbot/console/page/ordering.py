"""Operators' actions on the page: a form, what will happen, and the action itself.

The action is the API's (`agbot.console.acting`), with the operator token in a field of the form.
The token is not kept: there is no session, so no other page can use one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from agbot.console import access, acting, parts
from agbot.console.answers import CoordinatorView
from agbot.console.bodies import TestBody
from agbot.console.page.actions import ACTIONS, SPANS, Action
from agbot.console.page.consequences import Facts, command_line
from agbot.console.page.rendering import page
from agbot.console.replies import ApiError
from agbot.console.requests import bad_input, content_of, not_found
from agbot.coordinator.contract import NotDone
from agbot.coordinator.listings import GroupQuery, GroupState, Noun
from agbot.coordinator.operations import Operations
from agbot.rules import ids
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import OF_POLICIES, Kind
from agbot.rules.reasons import Code

_FORM: Final = "application/x-www-form-urlencoded"
_TYPE_IT: Final = "nothing was changed: type the operator token into the field below; it is in the file that [console] token_file names"


async def ask(request: web.Request) -> web.Response:
    """Show the form, or, once it is filled in, what will happen."""
    action, given = _action(request), _trimmed(request.query)
    if given.get("step") != "confirm":
        return await _form(request, action, given)
    try:
        _require_known(request, action, given)
        return await _confirmation(request, action, _resolved(request, action, given))
    except ApiError as error:
        return await _form(request, action, given, error)


async def carry_out(request: web.Request) -> web.Response:
    """Carry the action out, with the token of the form."""
    action = _action(request)
    access.require_own_page(request)
    if request.content_type != _FORM:
        raise bad_input(request, f"{request.content_type} is not a form", "send the form of the page; programs use /v1")
    # Not as aiohttp reads forms: what is no UTF-8, or says to be something else, is an error there.
    # Such a form is none of the page's, and whatever is read of it is checked as any other.
    fields = dict(parse_qsl((await content_of(request)).decode("utf-8", "replace")))
    # taken out: what is left is written into the page again if something is wrong
    token, given = fields.pop("operator_token", "").strip(), _trimmed(fields)
    try:
        # inside, so that a wrong token costs a field, and not the reason and all that was filled in
        access.require_token(request, token, was_shown=bool(token), next_step=_TYPE_IT)
        body = _body(request, action, given)
        done = await acting.ORDERS[action.endpoint].carry_out(request, body, *_group(action, given))
    except ApiError as error:
        return await _confirmation(request, action, given, error)
    if isinstance(done, NotDone):
        next_step, status = "nothing was changed; go back and look at the present state", 404 if done.not_found else 409
        return await _confirmation(request, action, given, ApiError.of(request, status, done.text, next_step))
    return await page(
        request,
        "done.html",
        {"action": action, "done": done, "given": given},
        title=f"{action.title}: done",
        is_live=False,
    )


async def _form(
    request: web.Request, action: Action, given: Mapping[str, str], error: ApiError | None = None
) -> web.Response:
    return await page(
        request,
        "form.html",
        {"action": action, "given": given, "spans": SPANS, "error": error, "coordinators": _coordinators(request)},
        title=action.title,
        status=error.status if error else 200,
        is_live=False,
    )


async def _confirmation(
    request: web.Request, action: Action, given: Mapping[str, str], error: ApiError | None = None
) -> web.Response:
    body = _body(request, action, given)
    described = action.describe(body, *_group(action, given), _facts(request, action, given))
    return await page(
        request,
        "confirm.html",
        {
            "action": action,
            # no span: counted again once the token is typed, it would not end as is shown here
            "given": {name: value for name, value in given.items() if name not in {"step", "span"}},
            "described": described,
            "command": command_line(described.command, body.reason),
            "error": error,
            "can_write": parts.of(request).operator_token() is not None,
        },
        title=action.title,
        status=error.status if error else 200,
        is_live=False,
    )


def _action(request: web.Request) -> Action:
    found = ACTIONS.get(request.match_info["action"])
    if found is None:
        raise not_found(request, f"there is no action {request.match_info['action']!r}; there are {', '.join(ACTIONS)}")
    return found


def _trimmed(given: Mapping[str, str]) -> dict[str, str]:
    return {name: value.strip() for name, value in given.items() if value.strip()}


def _require_known(request: web.Request, action: Action, given: Mapping[str, str]) -> None:
    """Refuse a name that the coordinator would refuse too, before the token is typed.

    Raises:
        ApiError: it is not known.
    """
    field, noun = action.known or ("", Noun.SCOPE)
    unknown = parts.of(request).operations.unknown(noun, given[field]) if field in given else ""
    if unknown:
        raise bad_input(request, unknown, f"correct the {field}")


def _resolved(request: web.Request, action: Action, given: Mapping[str, str]) -> dict[str, str]:
    """Replace a span by the moment at which it ends, counted from this confirmation on.

    A release is of the grant that this confirmation shows, and of no later one.
    """
    span = given.get("span", "")
    # left out, it would make a hold without an end of one that was to end
    if span and span not in SPANS:
        raise bad_input(request, f"{span!r} is not one of the spans", f"choose one of {', '.join(SPANS.values())}")
    rest = {**_grant(request, action, given), **{name: value for name, value in given.items() if name != "span"}}
    if span not in SPANS or "until" in rest:
        return rest
    ends = parts.of(request).clock.now().replace(microsecond=0) + timedelta(seconds=int(span))
    return {**rest, "until": ends.isoformat()}


def _grant(request: web.Request, action: Action, given: Mapping[str, str]) -> dict[str, str]:
    """Return the token of the lease that is to be released; nothing if there has been none."""
    is_release, operations = action.name == "release", parts.of(request).operations
    group = operations.group(GroupId(given.get("group", ""))) if is_release else None
    return {"token": str(group.lease.token)} if group is not None and group.lease.token else {}


def _body(request: web.Request, action: Action, given: Mapping[str, str]) -> Any:  # noqa: ANN401 - each action has its own
    """Build the same body as a request to the API has.

    Raises:
        ApiError: a field is missing or wrong.
    """
    if action.name == "release" and not all(given.get("group", "").partition("/")):
        raise bad_input(request, "the group is not org/name", "give it as org/name")
    # by the type of the API's body: what the page may order is what a program may
    body = action.endpoint.body or TestBody
    names = body.__struct_fields__
    values: dict[str, Any] = {name: value for name, value in given.items() if name in names}
    if "rest" in values:
        values["rest"] = values["rest"] in {"on", "true", "1"}
    try:
        found = msgspec.convert(values, body, strict=False)
    except msgspec.ValidationError as error:
        raise bad_input(request, _in_words(error), "fill in what is missing") from error
    return acting.checked(request, found)


def _group(action: Action, given: Mapping[str, str]) -> tuple[GroupId, ...]:
    """Return the group of a release, which the API has in its path and not in the body."""
    return (GroupId(given["group"]),) if action.name == "release" else ()


def _in_words(error: msgspec.ValidationError) -> str:
    """Write msgspec's message for people: `the reason is missing`."""
    text = str(error)
    missing = text.partition("missing required field `")[2].partition("`")[0]
    return f"the {missing} is missing" if missing else text


def _coordinators(request: web.Request) -> Sequence[CoordinatorView]:
    return parts.of(request).coordinators.coordinators()


def _facts(request: web.Request, action: Action, given: Mapping[str, str]) -> Facts:
    operations = parts.of(request).operations
    scope = given.get("scope") or given.get("group") or ""
    node = NodeId(given["node"]) if "node" in given else ids.node_of_scope(scope)
    group = operations.group(GroupId(scope)) if "/" in scope and node is None else None
    # the windows go through all groups, and no action is described by them
    orders, explained = operations.orders(with_windows=False), operations.explain(node) if node is not None else None
    facts = Facts(
        now=parts.of(request).clock.now(),
        orders=orders,
        group=group,
        explained=explained,
        coordinators=_coordinators(request),
    )
    # counted here, and not by the API: only a person has to know what else is in the scope
    if group is not None:
        facts = replace(facts, groups=1, running=int(group.lease.holder is not None), waiting=int(bool(group.waiting)))
    elif explained is not None:
        lease = explained.lease
        facts = replace(facts, running=int(lease is not None and lease.holder == node))
    elif node is None:
        facts = _counted(facts, operations, None if scope in {"", "*"} else scope)
    if action.name == "approve" and given.get("kind", Kind.AGENT) in OF_POLICIES:
        rollout = Kind(given.get("kind", Kind.AGENT)), PolicyId(given.get("subject", ""))
        facts = replace(facts, waiting=_awaiting_approval(operations, scope, *rollout))
    return facts


def _counted(facts: Facts, operations: Operations, org: str | None) -> Facts:
    """Count the groups of an organisation, or of the fleet."""

    def count(state: GroupState | None) -> int:
        return operations.find_groups(GroupQuery(org=org, state=state, limit=0)).total

    running = count(GroupState.HELD) + count(GroupState.SUSPECT)
    return replace(facts, groups=count(None), running=running, waiting=count(GroupState.WAITING))


def _awaiting_approval(operations: Operations, scope: str, kind: Kind, policy: PolicyId) -> int:
    """Count the groups in the scope in which a member waits for this approval."""
    covered = (each for each in operations.progress(kind, policy) if scope in {"*", ids.org_of(each.group), each.group})
    return sum(any(waiter.code == Code.NOT_APPROVED for waiter in each.waiting) for each in covered)
