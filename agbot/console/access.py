"""Who may do what on the operators' listener, and what becomes of everything that goes wrong.

Reading is free for whoever reaches the listener, writing needs the operator token. A browser cannot be made to do either: a writing request
needs a header that a foreign page may not send, and a listener on the loopback answers only to names of this machine (a foreign page whose
name suddenly leads to 127.0.0.1 still sends its own name).
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from agbot.console import parts
from agbot.console.replies import ApiError
from agbot.store.contract import StoreError

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_BEARER: Final = "bearer "
_HOW_TO_SHOW_IT: Final = (
    "send it as Authorization: Bearer …; the agbot command reads it from --token-file or AGBOT_OPERATOR_TOKEN_FILE"
)


def require_operator(request: web.Request) -> None:
    """Let only the bearer of the operator token pass.

    Raises:
        ApiError: 403 when no token is configured, 401 when the request shows none or another.
    """
    tried = f"{request.method} {request.path}"
    secret = parts.of(request).operator_token()
    if secret is None:
        raise ApiError(
            403,
            tried=tried,
            problem="writing is off: no operator token is configured",
            next_step="put a token into a file, name it as [console] token_file or LoadCredential=operator-token:…, and restart",
        )
    shown = request.headers.get("Authorization", "")
    given = shown[len(_BEARER) :].strip() if shown.lower().startswith(_BEARER) else ""
    # Of bytes, and in constant time: neither the length of the common beginning nor a strange character tells anything.
    if hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret.reveal().encode()):
        return
    log.warning("console.denied", request=tried, peer=request.remote, shown=bool(shown))
    problem = "the operator token is wrong" if shown else "this needs the operator token"
    raise ApiError(
        401,
        tried=tried,
        problem=problem,
        next_step=_HOW_TO_SHOW_IT,
        headers={"WWW-Authenticate": 'Bearer realm="agbot"'},
    )


@web.middleware
async def plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into JSON, and nothing into a traceback."""
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
    except Exception:
        log.exception("console.failed", request=tried)
        next_step = "the log of the daemon has it as console.failed; please report it"
        return ApiError(500, tried=tried, problem="an error that was not foreseen", next_step=next_step).response()


def own_names_only(listen: str) -> Middleware:
    """Refuse requests for a foreign host name while the listener is on the loopback."""
    is_local = is_loopback(listen.rpartition(":")[0].strip("[]"))

    @web.middleware
    async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdigit() else request.host
        if is_local and not _is_own(host.strip("[]")):
            raise ApiError(
                421,
                tried=f"{request.method} {request.path}",
                problem=f"this listener is on the loopback and does not answer to the name {host!r}",
                next_step="ask 127.0.0.1 or localhost",
            )
        return await handler(request)

    return check_host


def is_loopback(host: str) -> bool:
    """Tell whether this address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_own(host: str) -> bool:
    """A name must be localhost; an address cannot be rebound, so any will do."""
    if host.lower().rstrip(".") in {"localhost", ""}:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _of_http(error: web.HTTPException, tried: str) -> ApiError:
    problems = {404: "there is no such path", 405: "this path does not take that method", 413: "the body is too large"}
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    problem = problems.get(error.status, error.reason.lower())
    return ApiError(
        error.status, tried=tried, problem=problem, next_step="GET / lists every path with its methods", headers=headers
    )
