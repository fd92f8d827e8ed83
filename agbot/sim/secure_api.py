"""A stand-in for the real agbot's secure API: some of its routes, with recorded replies.

In the demo, the gateway passes other routes through to it. Agents whose `HZN_AGBOT_URL` does not
name the coordinator ask it for permission: that route grants from the agbot's own table, with all
its defects (`agent_lock`).
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agbot.sim.agent_lock import AgentLock, Claim
from agbot.sim.clock import Clock
from agbot.sim.plain_http import AGBOT_HEADERS, NOT_FOUND, Received, Reply, listening

_NO_SECRETS = "There is no secrets provider configured, secrets are unavailable."
_NO_USER = "Unauthorized. No exchange {kind} id is supplied."
_NO_ORG = "Failed to authenticate the {kind} with the Exchange. No exchange user organization id is supplied."
_BAD_USER = "Failed to authenticate the {kind} with the Exchange. Wrong organization id, {kind} id or password."
_PERMISSION = re.compile(r"/org/(?P<org>[^/]+)/hagroup/(?P<group>[^/]+)/nodemanagement/(?P<node>[^/]+)/(?P<nmp>[^/]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    pattern: re.Pattern[str]
    methods: tuple[str, ...]
    status: int
    body: str
    without_input: str = ""
    """The reply to a request without a body, if it needs one."""


_NO_INPUT = '"No input found."\n'


def _route(pattern: str, methods: str, status: int, body: str, *, without_input: str = "") -> _Route:
    compiled, split = re.compile(pattern), tuple(methods.split())
    return _Route(pattern=compiled, methods=split, status=status, body=body, without_input=without_input)


_COMPATIBLE = '{"compatible":true,"reason":{"o1/svc1_1.0.0_amd64":"Compatible"}}'
_NODES = '["o1/a2","o1/a1"]'
_BAD_TYPE = json.dumps('Invalid node policy type xx. Allowed types are "dp" or "nmp".') + "\n"
_SECRETS = json.dumps(_NO_SECRETS) + "\n"
_ROUTES = (
    _route(r"/deploycheck/(userinput|secretbinding)compatible", "GET", 200, _COMPATIBLE, without_input=_NO_INPUT),
    _route(
        r"/deploycheck/(policy|deploy)compatible",
        "GET",
        400,
        '"No node policy found for this node o1/n1."\n',
        without_input=_NO_INPUT,
    ),
    # these two do not end with their error
    _route(r"/compatibility/constraints/node/(dp|nmp)", "GET", 200, _NODES, without_input=_NO_INPUT + "[]"),
    _route(r"/compatibility/constraints/node/xx", "GET", 400, _BAD_TYPE + _NODES),
    _route(r"/compatibility/patterns/node", "GET", 200, "[]", without_input=_NO_INPUT),
    _route(r"/org/[^/]+/allsecrets", "LIST", 503, _SECRETS),
    _route(r"/org/[^/]+/secrets(/user/[^/]+)?(/node/[^/]+)?", "LIST", 503, _SECRETS),
    _route(r"/org/[^/]+/secrets(/user/[^/]+)?(/node/[^/]+)?/.+", "LIST GET PUT POST DELETE", 503, _SECRETS),
)


class SecureApi:
    """The stand-in; `serving` returns a listening one.

    `knows` decides which `org/user` and password are valid. Without `lock` it has no permission
    route, like a proxy that only passes other routes through.
    """

    def __init__(
        self,
        clock: Clock,
        knows: Callable[[str, str], bool] = lambda _user, _password: True,
        *,
        lock: AgentLock | None = None,
    ) -> None:
        """Take the clock of the `Date` header, the check of credentials, and the agbot's lock."""
        self.clock = clock
        self.lock = lock
        self._knows = knows
        self.requests: list[str] = []
        """The requests so far, as `METHOD path`."""

    def headers(self, received: Received) -> tuple[tuple[str, str], ...]:
        """Return the headers of every reply."""
        return AGBOT_HEADERS

    async def answer(self, received: Received) -> Reply:
        """Answer one request."""
        self.requests.append(f"{received.method} {received.path}")
        if received.cleaned != received.path:
            return Reply(status=301, more=(("Location", received.cleaned),))
        asked = _PERMISSION.fullmatch(received.decoded)
        if asked is not None and self.lock is not None:
            return await self._permission(received, self.lock, Claim(**asked.groupdict()))
        return self._other(received)

    def _other(self, received: Received) -> Reply:
        found = [route for route in _ROUTES if route.pattern.fullmatch(received.path)]
        if not found:
            return NOT_FOUND
        if received.method == "OPTIONS":
            return Reply(status=200, more=(("Allow", ", ".join((*found[0].methods, "OPTIONS"))),))
        route = next((one for one in found if received.method in one.methods), None)
        if route is None:
            return Reply(status=405)
        refusal = self._refusal(received)
        if refusal:
            return _unauthorized(refusal)
        if route.without_input and not received.body:
            return Reply(status=400, body=route.without_input)
        return Reply(status=route.status, body=route.body)

    async def _permission(self, received: Received, lock: AgentLock, claim: Claim) -> Reply:
        if received.method == "OPTIONS":
            return Reply(status=200, more=(("Allow", "POST, OPTIONS"),))
        if received.method != "POST":
            return Reply(status=405)
        given = _given(received)
        if given is None:
            return _unauthorized(_NO_USER.format(kind="nodes"))
        identity, secret = given
        if "/" not in identity:
            return _unauthorized(_NO_ORG.format(kind="nodes"))
        status, body = await lock.decide(claim, identity, secret)
        return Reply(status=status, body=json.dumps(body, separators=(",", ":")) + "\n")

    def _refusal(self, received: Received) -> str:
        given = _given(received)
        if given is None:
            return _NO_USER.format(kind="users")
        return "" if self._knows(*given) else _BAD_USER.format(kind="users")


def _unauthorized(text: str) -> Reply:
    return Reply(status=401, body=json.dumps(text) + "\n")


def _given(received: Received) -> tuple[str, str] | None:
    """Return the caller and the secret, or None if the agbot does not understand the header."""
    scheme, _, coded = received.headers.get("authorization", "").partition(" ")
    try:
        user, colon, password = b64decode(coded, validate=True).decode().partition(":")
    except (NotBase64, UnicodeDecodeError):
        return None
    return (user, password) if scheme.lower() == "basic" and colon else None


@asynccontextmanager
async def serving(api: SecureApi, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Listen for the duration of a block; yields the URL.

    Raises:
        OSError: the address is not available.
    """
    async with listening(api, host, port) as listener:
        yield listener.url
