"""Health endpoints, for systemd, load balancers, orchestrators and people.

`/livez` states only that the event loop runs. It never depends on the Exchange or the store,
because a restart repairs neither. `/readyz` states whether the daemon may grant, or
stands by and forwards questions to the one that does; if not, why. `/readyz?verbose` lists each
check, and what else needs a person.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from aiohttp import web

from agbot.console import parts, replies, status
from agbot.console.answers import Summary
from agbot.coordinator.contract import Overview
from agbot.rules.leadership import Whereabouts

_UNAVAILABLE: Final = 503


async def livez(_request: web.Request) -> web.Response:
    """Answer: a loop that is stuck cannot."""
    return replies.text("alive")


async def readyz(request: web.Request) -> web.Response:
    """State whether the daemon may grant; with `?verbose`, list each check."""
    where = parts.of(request).coordinators.where()
    # it grants nothing by itself and is ready all the same: a load balancer may send questions here
    if not where.leads:
        return _standby(where)
    overview = parts.of(request).operations.overview()
    lines = [*_checks(overview), *_items(request, overview)] if "verbose" in request.query else []
    lines += (
        ["ready"]
        if overview.ready
        else [f"not ready: {sentence}" for sentence in overview.not_ready or ("no reason given",)]
    )
    return replies.text(*lines, status=200 if overview.ready else _UNAVAILABLE)


async def healthz(request: web.Request) -> web.Response:
    """Return the summary of the coordinator, as ready as `/readyz` and the metric state it."""
    where, overview = parts.of(request).coordinators.where(), parts.of(request).operations.overview()
    if not where.leads:
        why = _why_not_ready(where)
        overview = replace(overview, ready=not why, not_ready=(why,) if why else ())
    return replies.json(Summary(**status.summary(request, overview)))


def _standby(where: Whereabouts) -> web.Response:
    """State that this coordinator stands by, and whether it knows a leader to forward to."""
    why, leader = _why_not_ready(where), where.leader
    if why or leader is None:
        return replies.text(f"not ready: {why}", status=_UNAVAILABLE)
    return replies.text(f"ready: stands by; {leader.name} leads since {leader.since:%Y-%m-%d %H:%M:%SZ}")


def _why_not_ready(where: Whereabouts) -> str:
    """Return why a coordinator that stands by knows no leader to forward to; empty if it does."""
    doubt = f": {where.doubt}" if where.doubt else ""
    if where.leader is None:
        why = f": {where.missing}" if where.missing and not doubt else doubt
        return f"no coordinator is known to lead at present{why}"
    led = f"{where.leader.name} led when the store could last be read, and may not by now"
    return f"{led}{doubt}" if doubt else ""


def _checks(overview: Overview) -> Iterator[str]:
    failing = overview.store_failing or "cannot be read or written"
    yield _check("store", "works" if overview.store_ok else failing, passes=overview.store_ok)
    age = overview.view_age_seconds
    view = "the Exchange has not been read yet" if age is None else f"the picture of the Exchange is {age:.0f} s old"
    yield _check("view", view, passes=overview.view_ok)
    cycle = overview.cycle_at
    done = f"{cycle:%Y-%m-%dT%H:%M:%SZ}: {overview.sentence}" if cycle else "none yet"
    yield _check("cycle", done, passes=cycle is not None and not overview.not_ready)
    if overview.guard != "none":  # where no guard is wanted, its absence is no failure
        yield _check("guard", overview.guard_failing or overview.guard, passes=not overview.guard_failing)
    for org in overview.orgs:
        seen = org.failing or f"{org.groups} groups, {org.members} members"
        yield _check(f"organisation {org.org}", seen, passes=not org.failing)


def _items(request: web.Request, overview: Overview) -> Iterator[str]:
    """Yield what needs a person, but for what has a line of its own."""
    shown = {overview.guard_failing, *(org.failing for org in overview.orgs)}
    shown.update(() if overview.ready else overview.not_ready)
    for item in status.needs_attention(request, overview):
        if item.needs_a_person and item.text not in shown:
            yield _check(item.title, item.text, passes=False)


def _check(name: str, text: str, *, passes: bool) -> str:
    return f"[{'+' if passes else '-'}] {name}: {text}"
