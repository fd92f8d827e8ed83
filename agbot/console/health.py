"""How the daemon is: for systemd, load balancers, orchestrators and people.

`/livez` says only that the event loop moves; it never depends on the Exchange or the store, because a restart cures neither. `/readyz` says
whether the daemon may grant, and why not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from aiohttp import web

from agbot import __version__
from agbot.console import parts, replies
from agbot.coordinator.contract import Overview

_UNAVAILABLE: Final = 503


async def livez(_request: web.Request) -> web.Response:
    """Say that the loop moves: a loop that does not would not answer."""
    return replies.text("alive")


async def readyz(request: web.Request) -> web.Response:
    """Say whether the daemon may grant; with `?verbose`, each thing that was looked at."""
    overview = parts.of(request).operations.overview()
    lines = list(_checks(overview)) if "verbose" in request.query else []
    lines += (
        ["ready"]
        if overview.ready
        else [f"not ready: {sentence}" for sentence in overview.not_ready or ("no reason given",)]
    )
    return replies.text("\n".join(lines), 200 if overview.ready else _UNAVAILABLE)


async def healthz(request: web.Request) -> web.Response:
    """Show the coordinator at one glance."""
    return replies.json({"version": __version__, **asdict(parts.of(request).operations.overview())})


def _checks(overview: Overview) -> Iterator[str]:
    yield _check("store", "works" if overview.store_ok else "cannot be read or written", passes=overview.store_ok)
    age = overview.view_age_seconds
    view = "the Exchange has not been read yet" if age is None else f"the picture of the Exchange is {age:.0f} s old"
    yield _check("view", view, passes=overview.view_ok)
    cycle = overview.cycle_at
    yield _check(
        "cycle", f"{cycle:%Y-%m-%dT%H:%M:%SZ}: {overview.sentence}" if cycle else "none yet", passes=cycle is not None
    )
    for org in overview.orgs:
        seen = org.failing or f"{org.groups} groups, {org.members} members"
        yield _check(f"organisation {org.org}", seen, passes=not org.failing)


def _check(name: str, text: str, *, passes: bool) -> str:
    return f"[{'+' if passes else '-'}] {name}: {text}"
