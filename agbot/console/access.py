"""Access control of the operators' listener, and its error replies.

Reading needs no token; a request that changes something needs the operator token. A browser cannot
be misused for either: such a request needs a header that a foreign page may not send, and a
listener on the loopback answers only to names of this machine (after DNS rebinding, a foreign page
still sends its own name).
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from agbot import log
from agbot.console import parts
from agbot.console.replies import ApiError
from agbot.console.unknown_path import NO_SUCH_PATH, WRONG_METHOD
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
    given = shown[len(_BEARER) :].strip() if shown.lower().startswith(_BEARER) else ""
    require_token(request, given, was_shown=bool(shown))


def require_token(request: web.Request, given: str, *, was_shown: bool, next_step: str = _HOW_TO_SHOW_IT) -> None:
    """Require that this is the operator token.

    Raises:
        ApiError: 403 if no token is configured, 401 if it is not.
    """
    tried = f"{request.method} {request.path}"
    secret = parts.of(request).operator_token()
    if secret is None:
        raise ApiError(
            403,
            tried=tried,
            problem="changes are disabled: no operator token is configured",
            next_step="put a token into a file, name it as [console] token_file or LoadCredential=operator-token:…, and restart",
        )
    # Bytes, compared in constant time: neither a common prefix nor an odd character leaks anything.
    if hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret.reveal().encode()):
        return
    log.write(ConsoleDenied(request=tried, peer=request.remote, shown=was_shown))
    problem = "the operator token is wrong" if was_shown else "this needs the operator token"
    raise ApiError(
        401,
        tried=tried,
        problem=problem,
        next_step=next_step,
        headers={"WWW-Authenticate": 'Bearer realm="agbot"'},
    )


def require_own_page(request: web.Request) -> None:
    """Require that a form was sent by a page of this listener, as the browser states.

    Raises:
        ApiError: 403 if another page has sent it, or nothing shows which one did.
    """
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    # The scheme is not compared: behind a proxy that ends TLS it differs.
    is_own = origin.partition("://")[2] == request.host if origin is not None else site == "same-origin"
    if not is_own or site not in {None, "same-origin"}:
        raise ApiError(
            403,
            tried=f"{request.method} {request.path}",
            problem=f"the form was not sent by this page but by {origin or 'an unknown one'}",
            next_step="open the page itself and try again; a proxy before it has to pass the header Host on; programs use /v1",
        )


@web.middleware
async def plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a JSON reply without a traceback."""
    tried = f"{request.method} {request.path}"
    try:
        return await handler(request)
    except ApiError as error:
        return error.response()
    except web.HTTPException as error:
        return _of_http(error, tried).response()
    except StoreError as error:
        next_step = "wait for store.recovered in the log; /readyz?verbose shows the state of the store"
        return ApiError(503, tried=tried, problem=f"the lease store failed: {error}", next_step=next_step).response()
    except Exception:  # noqa: BLE001 - whatever it is, the log has the traceback
        log.write_with_traceback(ConsoleFailed(request=tried))
        next_step = "the daemon's log has the traceback under console.failed; please report it"
        return ApiError(500, tried=tried, problem="unexpected error", next_step=next_step).response()


def own_names_only(listen: str) -> Middleware:
    """Refuse requests for a foreign host name while the listener is on the loopback."""
    is_local = is_loopback(host_and_port(listen)[0])

    @web.middleware
    async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
        name, _, port = request.host.rpartition(":")
        host = name if port.isdigit() else request.host
        if is_local and not _is_own(host.strip("[]")):
            raise ApiError(
                421,
                tried=f"{request.method} {request.path}",
                problem=f"this listener is on the loopback and does not answer to the name {host!r}",
                next_step="ask 127.0.0.1 or localhost",
            )
        return await handler(request)

    return check_host


def _is_own(host: str) -> bool:
    """A name must be localhost. An address cannot be rebound, so any is accepted."""
    if host.lower().rstrip(".") in {"localhost", ""}:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _of_http(error: web.HTTPException, tried: str) -> ApiError:
    problems = {
        404: NO_SUCH_PATH,
        WRONG_METHOD: "this path does not support that method",
        413: "the body is too large",
    }
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    problem = problems.get(error.status, error.reason.lower())
    return ApiError(
        error.status,
        tried=tried,
        problem=problem,
        next_step="GET /v1 lists every path with its methods",
        headers=headers,
    )
