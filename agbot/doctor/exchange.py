"""Checks the Exchange: reachability, version, clock, our identity, and what it may read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from agbot.clock import Clock
from agbot.doctor import clocks
from agbot.doctor.finding import Finding, ok, warning, wrong
from agbot.exchange import resources, version
from agbot.exchange.client import ExchangeClient
from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import ExchangeError, Forbidden, Refused
from agbot.exchange.transport import HttpTransport
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.words import count
from agbot.settings.model import Settings

_MULTITENANT: Final = "IBM"
_CHECK: Final = "exchange"
_IDENTITY: Final = "identity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """The Exchange, with our identity."""

    settings: Settings
    transport: HttpTransport
    client: ExchangeClient
    credentials: Credentials
    clock: Clock


async def reach(hub: Hub) -> tuple[Finding, ...]:
    """Check that the Exchange answers, its version, and its clock.

    An Exchange that does not answer is one finding, and it begins with `wrong`.
    """
    path, sent_at = resources.VERSION, hub.clock.now()
    tried = f"GET {hub.settings.exchange.url.rstrip('/')}{path}"
    seconds = hub.settings.exchange.request_seconds
    try:
        reply = await hub.transport.request("GET", path, credentials=None, body=None, timeout_seconds=seconds)
    except (ExchangeError, OSError) as error:
        came, step = (
            (error.what_came_back, error.what_next) if isinstance(error, ExchangeError) else (str(error), "check it")
        )
        return (wrong(_CHECK, came, tried=tried, next_step=step),)
    received_at, text = hub.clock.now(), reply.body.decode(errors="replace").strip()
    if reply.status != 200:  # noqa: PLR2004 - HTTP's OK
        step = "check that [exchange] url is an Exchange's address and ends in /v1"
        return (wrong(_CHECK, f"the answer is {reply.status}", tried=tried, next_step=step),)
    return (_version(text, tried), _clock(reply.header("Date"), sent_at, received_at, tried))


def _version(text: str, tried: str) -> Finding:
    numbers = version.numbers(text)
    if numbers is None:
        return warning(_CHECK, f"it answers with {text[:40]!r}, which is not a version", tried=tried)
    if numbers < version.OLDEST:
        step = f"upgrade it to {version.OLDEST_TEXT} or later"
        return wrong(_CHECK, f"version {text} is too old", tried=tried, next_step=step)
    return ok(_CHECK, f"answers, version {text}")


def _clock(date: str, sent_at: datetime, received_at: datetime, tried: str) -> Finding:
    """Compare the `Date` header with our clock."""
    try:
        # it is cut off to whole seconds, so half of one is missing on average
        shown = parsedate_to_datetime(date) + timedelta(seconds=0.5)
        return clocks.against_ours("the Exchange's clock", shown, sent_at, received_at)
    except (ValueError, TypeError):
        text = "the Exchange sends no usable Date header, so its clock is not known"
        return warning(clocks.CHECK, text, tried=tried)


async def identity(hub: Hub) -> tuple[Finding, ...]:
    """Check that our identity logs in, is an agbot, and belongs to no other program."""
    name, tried = hub.credentials.identity, f"GET /orgs/…/agbots/… as {hub.credentials.identity}"
    if not hub.credentials.secret:
        step = "run it as a user who may read the token (sudo), or name the file: [exchange] token_file"
        return (warning(_IDENTITY, f"{name} cannot be tried: its token is not known here", next_step=step),)
    try:
        exists = await hub.client.agbot_exists(name, hub.credentials)
    except Refused:
        step = f"write the right token to [exchange] token_file, or set it as an administrator: {_put(hub)}"
        return (wrong(_IDENTITY, f"the Exchange refuses {name} with this token", tried=tried, next_step=step),)
    except ExchangeError as error:
        return (wrong(_IDENTITY, error.what_came_back, tried=tried, next_step=error.what_next),)
    if not exists:
        step = f"create an agbot identity as an administrator: {_put(hub)}"
        return (wrong(_IDENTITY, f"{name} logs in, but is not an agbot", tried=tried, next_step=step),)
    found = [ok(_IDENTITY, f"{name} logs in, and is an agbot")]
    if hub.credentials.org != _MULTITENANT:
        step = f"for several organisations use an identity in the organisation {_MULTITENANT}"
        found.append(warning(_IDENTITY, f"it sees only its own organisation, {hub.credentials.org}", next_step=step))
    return tuple(found)


def _put(hub: Hub) -> str:
    """Return the command that creates our identity, or gives it another token."""
    org, _, name = hub.credentials.identity.partition("/")
    body = f'{{"token":"TOKEN","name":"{name}","publicKey":""}}'
    url = f"{hub.settings.exchange.url.rstrip('/')}/orgs/{org}/agbots/{name}"
    return f"curl -u ORG/USER:PASSWORD -X PUT {url} -H 'Content-Type: application/json' -d '{body}'"


async def permissions(hub: Hub, orgs: Iterable[str]) -> tuple[Finding, ...]:
    """Check what the identity may read: the feed, and groups and nodes of each organisation."""
    found = [await _feed(hub)]
    named = sorted(set(orgs))
    if not named:
        text = "no organisation is known yet: the daemon learns them from the change feed and from nodes that ask"
        return (*found, ok("organisations", text))
    return (*found, *[await _organisation(hub, org) for org in named])


async def _feed(hub: Hub) -> Finding:
    try:
        newest = await hub.client.max_change_id()
    except ExchangeError as error:
        return wrong("permissions", f"the change feed: {error.what_came_back}", next_step=error.what_next)
    return ok("permissions", f"may read the change feed (newest id {newest})")


async def _organisation(hub: Hub, org: str) -> Finding:
    check, tried = f"organisation {org}", f"GET /orgs/{org}/hagroups, and a member"
    try:
        if not await hub.client.get(resources.ORG, org):
            step = "correct [exchange] organisations"
            return wrong(check, "it does not exist", tried=tried, next_step=step)
        groups = await hub.client.get(resources.GROUPS, org)
        members = {node for group in groups.values() if isinstance(group, tuple) for node in group}
        for node in sorted(members)[:1]:  # rights are of a whole organisation, so one shows them
            await hub.client.node(NodeId(node))
    except Forbidden as error:
        step = f"use an identity in the organisation {_MULTITENANT}, or name only its own in [exchange] organisations"
        return wrong(check, error.what_came_back, tried=tried, next_step=step)
    except ExchangeError as error:
        return wrong(check, error.what_came_back, tried=tried, next_step=error.what_next)
    return ok(check, f"{count(len(groups), 'HA group')}, {count(len(members), 'member')}")


async def groups_of(hub: Hub, orgs: Iterable[str]) -> set[GroupId] | None:
    """Return all HA groups of these organisations; None if one of them cannot be read."""
    try:
        return {group for org in orgs for group in await hub.client.get(resources.GROUPS, org)}
    except ExchangeError:
        return None


async def organisations(hub: Hub) -> set[str]:
    """Return the organisations that are named in the settings, or that the real agbot serves."""
    named = {org for org in hub.settings.exchange.organisations if org != "*"}
    agbot = hub.settings.agbot.identity
    if not agbot:
        return named
    try:
        return named | set(await hub.client.served_orgs(agbot))
    except ExchangeError:
        return named
