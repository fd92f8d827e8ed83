"""Renders templates, and serves the files that they refer to. Nothing comes from other hosts.

The Content-Security-Policy allows no inline script and no inline style, so that a name from outside
that ended up in a page could not do anything there; templates escape every value as well.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Final

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from agbot import __version__
from agbot.console import availability, parts, replies
from agbot.console.page import consequences, facts, marks, standing, words
from agbot.console.page.notes import Link
from agbot.console.replies import ApiError
from agbot.console.status import NOT_ORDERED, WHY_LOCAL
from agbot.console.streaming import newest_id
from agbot.coordinator.contract import Overview
from agbot.coordinator.listings import Noun
from agbot.rules import ids
from agbot.rules.ids import NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.store.contract import StoreError

_HERE: Final = Path(__file__).parent
_STATIC: Final = _HERE / "static"
_NOT_FOUND: Final = 404
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    **replies.HEADERS,
    "Content-Security-Policy": _POLICY,
    # Under no-referrer, browsers send a form with `Origin: null`, and it would be refused.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_SHADOW: Final = "Shadow mode: nothing is granted here. The agbot decides, and no order has an effect yet."
_YEAR: Final = "public, max-age=31536000, immutable"
_AFTER: Final = web.RequestKey("after", int)
"""The newest entry of the journal before anything of the view was collected."""
_PageHandler = Callable[[web.Request], Awaitable[web.Response]]


@cache
def _files() -> dict[str, bytes]:
    found = (path for path in _STATIC.rglob("*") if path.suffix in {".js", ".css", ".svg"})
    return {path.relative_to(_STATIC).as_posix(): path.read_bytes() for path in found}


@cache
def _file_url(name: str) -> str:
    """Return the address of a file, which changes with its content: it is cached for good."""
    return f"/static/{name}?v={hashlib.sha256(_files()[name]).hexdigest()[:12]}"


def is_own_file(path_qs: str) -> bool:
    """Whether this is the address of a file with this program's content."""
    return any(path_qs == _file_url(name) for name in _files())


async def static(request: web.Request) -> web.Response:
    """Serve one of the page's own files."""
    content = _files().get(request.match_info["name"])
    if content is None:
        raise web.HTTPNotFound
    kind = mimetypes.guess_type(request.match_info["name"])[0] or "application/octet-stream"
    kind = "text/javascript" if kind == "application/javascript" else kind
    # Under the address of another version's file, as of a leader that cannot be asked just now, a
    # browser would keep this one for a year, and show that version's pages with it.
    kept = {"Cache-Control": _YEAR} if is_own_file(request.path_qs) else {}
    return web.Response(body=content, content_type=kind, charset="utf-8", headers={**replies.HEADERS, **kept})


@cache
def _environment() -> Environment:
    """Return the templates. A name that is missing in the context is an error."""
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=marks.shown,
    )
    made.filters |= {
        "capitalize_first": words.sentence,
        "prose": marks.prose,
        "look": marks.look,
        "happened": marks.happened,
        "in_words": facts.in_words,
        "raw": facts.raw,
        "as_given": lambda value: Markup(escape(value)),  # noqa: S704 - it is escaped
        "seconds": lambda seconds: timedelta(seconds=seconds),
    }
    made.globals |= {
        "file": _file_url,
        "words": words,
        "labels": standing.LABELS,
        "reasons": facts.CODES,
        "health": availability.health,
        "WHY_IDLE": availability.WHY_IDLE,
        "unread": availability.unread,
        "helps_to_allow": consequences.helps_to_allow,
        "version": __version__,
    }
    return made


async def page(
    request: web.Request,
    template: str,
    shown: Mapping[str, object],
    *,
    title: str,
    here: str = "",
    status: int = 200,
    is_live: bool = True,
    is_read_again: bool = False,
) -> web.Response:
    """Render a view.

    Args:
        request: The request, whose address is read again while the view is live.
        template: The file.
        shown: What the template shows.
        title: The heading.
        here: The part of the navigation that it belongs to.
        status: The HTTP status.
        is_live: Whether it is read again after each event.
        is_read_again: Whether it is read again every few seconds, because it may be another view by
            then: the one that was asked for.
    """
    overview = parts.of(request).operations.overview()
    context = {
        "title": title,
        "here": here,
        "now": parts.of(request).clock.now(),
        "address": request.path_qs,
        "after": request.get(_AFTER),
        "is_live": is_live,
        "is_read_again": is_read_again,
        "overview": overview,
        "notices": _notices(overview, here),
        "leader": parts.of(request).coordinators.where().leader,
        "own_name": parts.of(request).coordinators.where().own_name,
    }
    text = _environment().get_template(template).render({**context, **shown})
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=_HEADERS)


def _notices(overview: Overview, here: str) -> list[str]:
    """Return what every view states at its top: that it grants nothing, or is from memory."""
    found = [_SHADOW] if overview.mode == "shadow" else []
    # the view of the fleet begins with these
    doubts = "; ".join(overview.not_ready) if not overview.ready and here != "fleet" else ""
    found += [f"Nothing is granted now: {doubts}."] if doubts else []
    if overview.store_failing:  # usually one of the doubts: its reason stands there once
        why = "" if overview.store_failing in doubts else f": {overview.store_failing}"
        found.append(f"This is from memory{why}.")
    return found


async def _remember_newest(request: web.Request) -> None:
    """Remember which events the view can show already; its stream goes on from there.

    If it were read after the view was collected, it could name an event that the view does not show
    yet: the stream would leave that event out, and the browser would not read the view again.
    """
    with suppress(StoreError):  # the stream then begins when the store can be read, and so does the view
        request[_AFTER] = await newest_id(parts.of(request).operations)


def _near(request: web.Request) -> Link | None:
    """Return where the name in the address may have been meant to lead."""
    given = request.match_info
    noun = next((each for each in (Noun.GROUP, Noun.NODE, Noun.POLICY) if each in given), None)
    if noun is None or given.get("kind", Kind.AGENT) not in set(Kind):
        return None
    found = parts.of(request).operations.nearest(noun, f"{given['org']}/{given[noun]}")
    if not found:
        return None
    if noun is Noun.POLICY:
        return Link(text=found, url=words.rollout_url(Kind(given["kind"]), PolicyId(found)))
    return Link(text=found, url=words.scope_url(found if noun is Noun.GROUP else ids.node_scope(NodeId(found))))


def for_people(handler: _PageHandler, *, is_live: bool = True) -> _PageHandler:
    """Show errors as a view, and who leads while this coordinator stands by and cannot ask it."""

    async def answer(request: web.Request) -> web.Response:
        if (not_ordered := request.get(NOT_ORDERED)) is not None:
            return await error_page(request, not_ordered)
        if not parts.of(request).coordinators.where().leads:
            known = parts.of(request).coordinators.coordinators()
            shown: dict[str, object] = {"why": request.get(WHY_LOCAL, ""), "coordinators": known}
            return await page(
                request,
                "standby.html",
                shown,
                title="This coordinator stands by",
                status=503,
                is_live=False,
                is_read_again=request.method == "GET",
            )
        try:
            if is_live:
                await _remember_newest(request)
            return await handler(request)
        except ApiError as error:
            found = error
        except StoreError as error:
            found = ApiError.of_store(request, error)
        return await error_page(request, found)

    return answer


async def error_page(request: web.Request, error: ApiError) -> web.Response:
    """Show an error. What is missing now may be there later, so the view is read again."""
    is_missing = error.status == _NOT_FOUND
    if is_missing:
        error.next_step = "check the name, or look for it: the field above finds groups, the lists are linked below"
    return await page(
        request,
        "error.html",
        {"error": error, "near": _near(request) if is_missing else None},
        title="That did not work",
        status=error.status,
        is_live=False,
        is_read_again=request.method == "GET",
    )
