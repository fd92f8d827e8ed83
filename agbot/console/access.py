"""Access control of the operators' listener, and its error replies.

Reading needs no token; a request that changes something needs the operator token. A browser cannot
be misused for either: such a request needs a header that a foreign page may not send, and a
listener on the loopback answers only to names of this machine (after DNS rebinding, a foreign page
still sends its own name).
"""

from __future__ import annotations

import hmac
import ipaddress
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from agbot import log
from agbot.console import parts
from agbot.console.api import NO_SUCH_PATH, WRONG_METHOD
from agbot.console.page.rendering import error_page
from agbot.console.replies import ApiError
from agbot.events.listeners import ConsoleDenied, ConsoleFailed
from agbot.settings.hosts import host_and_port, is_loopback
from agbot.store.contract import StoreError

_BEARER: Final = "bearer "
_HOW_TO_SHOW_IT: Final = (
    "send it as Authorization: Bearer …; the agbot command reads it from --token-file or AGBOT_OPERATOR_TOKEN_FILE"
)


def require_operator(request: web.Request) -> None:
    """Require the operator token in the header.

    Raises:
        ApiError: 403 if no token is configured, 401 if the request has none or a wrong one.
    """
    shown = request.headers.get("Authorization", "")
    # any other scheme is as wrong as another token: of Basic, nothing may be taken for one
    given = shown[len(_BEARER) :].strip() if shown.lower().startswith(_BEARER) else ""
    require_token(request, given, was_shown=bool(shown))


def require_token(request: web.Request, given: str, *, was_shown: bool, next_step: str = _HOW_TO_SHOW_IT) -> None:
    """Require that this is the operator token.

    Raises:
        ApiError: 403 if no token is configured, 401 if it is not.
    """
    secret = parts.of(request).operator_token()
    # before the comparison: an empty secret would be equal to the empty token of everyone
    if secret is None:
        problem = "changes are disabled: no operator token is configured"
        step = (
            "put a token into a file, name it as [console] token_file or LoadCredential=operator-token:…, and restart"
        )
        raise ApiError.of(request, 403, problem, step)
    # Bytes, compared in constant time: neither a common prefix nor an odd character leaks anything.
    if hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret.reveal().encode()):
        return
    log.write(ConsoleDenied(request=f"{request.method} {request.path}", peer=request.remote, shown=was_shown))
    problem = "the operator token is wrong" if was_shown else "this needs the operator token"
    raise ApiError.of(request, 401, problem, next_step, headers={"WWW-Authenticate": 'Bearer realm="agbot"'})


def require_own_page(request: web.Request) -> None:
    """Require that a form was sent by a page of this listener, as the browser states.

    Raises:
        ApiError: 403 if another page has sent it, or nothing shows which one did.
    """
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    # The scheme is not compared: behind a proxy that ends TLS it differs.
    is_own = origin.partition("://")[2] == request.host if origin is not None else site == "same-origin"
    if not is_own or site not in {None, "same-origin"}:
        problem = f"the form was not sent by this page but by {origin or 'an unknown one'}"
        step = "open the page itself and try again; a proxy in front of it has to pass on the header Host; programs use /v1"
        raise ApiError.of(request, 403, problem, step)


@web.middleware
async def plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a JSON reply without a traceback."""
    try:
        return await handler(request)
    except ApiError as error:
        return error.response()
    except web.HTTPException as error:
        return await _written(request, _of_http(request, error))
    except StoreError as error:
        return ApiError.of_store(request, error).response()
    except ConnectionError:
        # the client has gone in the middle of its request or of its answer, which is no bug
        if request.transport is None or request.transport.is_closing():
            raise
        return _failed(request)
    except Exception:  # noqa: BLE001 - whatever it is, the log has the traceback
        return _failed(request)


async def _written(request: web.Request, error: ApiError) -> web.Response:
    """Write a mistyped address as a view for a browser, and everything else as JSON."""
    is_for_people = error.status == HTTPStatus.NOT_FOUND and request.method == "GET"
    if is_for_people and not request.path.startswith("/v1") and "text/html" in request.headers.get("Accept", ""):
        return await error_page(request, error)
    return error.response()


def _failed(request: web.Request) -> web.Response:
    log.write_with_traceback(ConsoleFailed(request=f"{request.method} {request.path}"))
    next_step = "the daemon's log has the traceback under console.failed; please report it"
    return ApiError.of(request, 500, "unexpected error", next_step).response()


def own_names_only(listen: str) -> Middleware:
    """Refuse requests for a foreign host name while the listener is on the loopback."""
    is_local = is_loopback(host_and_port(listen)[0])

    @web.middleware
    async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
        name, _, port = request.host.rpartition(":")
        # what is after the last colon of [::1] is no port
        host = name if port.isdigit() else request.host
        if is_local and not _is_own(host.strip("[]")):
            problem = f"this listener is on the loopback and does not answer to the name {host!r}"
            raise ApiError.of(request, 421, problem, "ask 127.0.0.1 or localhost")
        return await handler(request)

    return check_host


def _is_own(host: str) -> bool:
    """A name must be localhost. An address cannot be rebound, so any is accepted."""
    # a browser always sends a name; probes by HTTP/1.0 may send none
    if host.lower().rstrip(".") in {"localhost", ""}:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _of_http(request: web.Request, error: web.HTTPException) -> ApiError:
    problems = {
        404: NO_SUCH_PATH,
        WRONG_METHOD: "this path does not support that method",
        413: "the body is too large",
    }
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    problem = problems.get(error.status, error.reason.lower())
    return ApiError.of(request, error.status, problem, "GET /v1 lists every path with its methods", headers)
