"""Forwards operators' requests to the leader while this coordinator stands by.

Health, metrics and the list of coordinators are about this one, and are always answered here.
Events too: they are read from the journal, which all coordinators share, and a stream goes on when
another leads. The operator token is forwarded as it came; the leader checks it. Whether a form was
sent by a page of this listener is checked here, since the leader cannot. If the leader cannot be
asked, `/v1/status` and the page are answered here and state that.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from agbot.console import api
from agbot.console.access import require_own_page
from agbot.console.page.rendering import is_own_file
from agbot.console.parts import Coordinators
from agbot.console.replies import ApiError
from agbot.console.requests import content_of
from agbot.console.status import NOT_ORDERED, WHY_LOCAL
from agbot.listening.hop import MARK, Hop, HopError
from agbot.rules.leadership import Whereabouts
from agbot.rules.reasons import Code

_LOCAL: Final = frozenset({"/livez", "/readyz", "/healthz", "/metrics", "/v1/coordinators", "/v1/events"})
_SECONDS: Final = 8.0
"""Less than the commands' timeout of 10 s."""
_MOST_BYTES: Final = 128 * 1024 * 1024
_SENT: Final = ("Authorization", "Content-Type", "Accept")
_LONE_STATUS: Final = 409
"""Nothing was changed."""
_UNKNOWN_STATUS: Final = 503
"""It is not known whether something was changed, as when the store fails."""
_CODE: Final = f"{Code.NO_LEADER}: "
"""Begins such an error for programs; people read the sentence after it."""
_NOT_RETURNED: Final = frozenset(
    {"connection", "content-encoding", "content-length", "date", "server", "transfer-encoding"}
)
"""Headers that are about the leader's connection, or that this listener writes itself."""


def to_the_leader(coordinators: Coordinators, hop: Hop) -> Middleware:
    """Let requests for the leader go there, if this coordinator stands by."""

    @web.middleware
    async def forward(request: web.Request, handler: Handler) -> web.StreamResponse:
        where = coordinators.where()
        # A file by its whole address: the page of a leader of another version needs its own.
        if where.leads or request.path in _LOCAL or is_own_file(request.path_qs):
            return await handler(request)
        is_page = request.path != "/v1" and not request.path.startswith("/v1/")
        if is_page and request.method != "GET":
            require_own_page(request)
        try:
            return await _forwarded(request, where, hop)
        except ApiError as error:
            is_read = request.method in {"GET", "HEAD"}
            # It may lead by now: the failure has taken seconds, in which the leader was gone. Only
            # what is read is answered then. An order may have been carried out already.
            if is_read and coordinators.where().leads:
                return await handler(request)
            if not is_page and not (is_read and request.path == api.STATUS.path):
                raise
            error.problem = error.problem.removeprefix(_CODE)
            request[WHY_LOCAL] = error.problem
            if not is_read:
                request[NOT_ORDERED] = error
            return await handler(request)

    return forward


async def _forwarded(request: web.Request, where: Whereabouts, hop: Hop) -> web.Response:
    leader = where.leader
    # one that was forwarded here comes from a coordinator that believes this one to lead: the two
    # would send it to each other
    if leader is None or MARK in request.headers:
        why = f": {where.missing}" if where.missing else ""
        problem = f"no coordinator is known to lead at present{why}"
        raise _no_leader(request, problem, "wait some seconds; agbot status shows all")
    if not leader.console_url:
        problem = f"coordinator {where.own_name} stands by, and {leader.name} leads; it has no [leadership] console_url"
        raise _no_leader(request, problem, f"ask {leader.name}, or set that key there")
    # not the rest: the name of this listener, or the length of a body that is sent differently
    sent = {name: request.headers[name] for name in _SENT if name in request.headers}
    sent["Sec-Fetch-Site"] = "same-origin"  # a form was checked here
    try:
        received = await hop.send(
            request.method,
            leader.console_url,
            request.raw_path,
            sent,
            await content_of(request),
            seconds=_SECONDS,
            most_bytes=_MOST_BYTES,
        )
    except HopError as error:
        problem = f"coordinator {leader.name} does not answer at {leader.console_url} ({error}); {_what_comes(where)}"
        if error.may_have_arrived and request.method == "POST":
            problem = f"{problem}. The request was sent, and may have been carried out"
            step = "see `agbot orders` and `agbot history`, or the journal, before you repeat it"
            raise ApiError.of(request, _UNKNOWN_STATUS, f"{_CODE}{problem}", step) from error
        raise _no_leader(request, problem, "repair the way there, or wait until another coordinator leads") from error
    reply = web.Response(status=received.status, body=received.body)
    reply.headers.update({name: text for name, text in received.headers.items() if name.lower() not in _NOT_RETURNED})
    return reply


def _what_comes(where: Whereabouts) -> str:
    """State who leads next, which only the row of the leader in the store decides."""
    if where.doubt:
        return f"it is not known whether it still leads: {where.doubt}"
    return f"{where.own_name} takes over within {where.taken_over_seconds} s, unless it still renews its leadership"


def _no_leader(request: web.Request, problem: str, next_step: str) -> ApiError:
    return ApiError.of(request, _LONE_STATUS, f"{_CODE}{problem}", next_step)
