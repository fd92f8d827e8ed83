"""The client for the coordinator's operators' listener, over plain HTTP.

It uses the standard library alone, so that a command starts fast, and never a proxy: the listener
is on this machine or close to it.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from agbot import __version__
from agbot.cli import operator_token
from agbot.cli.failure import Exit, Failure
from agbot.cli.folding import say
from agbot.cli.unanswered import no_answer
from agbot.clock import NOW_HEADER, SystemClock
from agbot.settings.hosts import goes_in_clear

if TYPE_CHECKING:  # most commands ask for little of it, or for nothing
    from agbot.console.api import Endpoint

DEFAULT_URL: Final = "http://127.0.0.1:8084"
DEFAULT_TOKEN_FILE: Final = Path("/etc/agbot/operator-token")
SECONDS: Final = 10.0
_MOST_SECONDS: Final = 60.0
"""Timeout of a whole answer."""
MOST_BYTES: Final = 128 * 1024 * 1024
"""Maximum size of an answer: four times that of all groups of the largest organisation."""
_PIECE_BYTES: Final = 1024 * 1024
_EXITS: Final = {
    400: Exit.BAD_INPUT,
    401: Exit.REFUSED,
    403: Exit.REFUSED,
    404: Exit.NOT_FOUND,
    409: Exit.REFUSED,
    413: Exit.BAD_INPUT,
}
_NO_HEADERS: Final[Mapping[str, str | bytes]] = {}
_ABOUT: Final = ("/v1/overview", "/healthz")
"""Where the version is: of the leader, and in a version that has not the first."""
_SAME_VERSION: Final = (
    "upgrade the older one of the two: `agbot --version`; a coordinator has to be restarted after that"
)

Answer = TypeVar("Answer")


@dataclass(slots=True, kw_only=True)
class Client:
    """The coordinator at one address."""

    url: str
    seconds: float = SECONDS
    _server_time: str = ""
    """The coordinator's time, as in the header of its last answer."""

    def now(self) -> datetime:
        """Return the coordinator's time at its last answer, to compute ages.

        Without one, this machine's time.
        """
        # an earlier version, or something else at that address, sends none
        try:
            return datetime.fromisoformat(self._server_time).astimezone(UTC)
        except ValueError:
            return SystemClock().now()

    def present(self) -> datetime:
        """Ask for the leader's time, from which this machine's clock may be hours away.

        Raises:
            Failure: with its exit code.
        """
        from agbot.console.api import PATHS

        self.get(PATHS)  # the leader answers it: a coordinator that stands by has a clock of its own
        return self.now()

    def get(self, endpoint: Endpoint[Any], *names: str, **query: object) -> bytes:
        """Return an answer as it came, with the names of the path and what is given of the query.

        Raises:
            Failure: with its exit code.
        """
        given = {key: value for key, value in query.items() if value is not None}
        path = endpoint.at(*names) + (f"?{urlencode(given, doseq=True)}" if given else "")
        return self._good(*self._exchange("GET", path), self._tried("GET", path))

    def read(self, endpoint: Endpoint[Answer], *names: str, **query: object) -> Answer:
        """Return an answer.

        Raises:
            Failure: with its exit code.
        """
        return self.decoded(self.get(endpoint, *names, **query), endpoint)

    def decoded(self, content: bytes, endpoint: Endpoint[Answer]) -> Answer:
        """Decode an answer.

        Raises:
            Failure: it is not what this version expects.
        """
        try:
            return msgspec.json.decode(content, type=endpoint.answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            other = self._other_version()
            raise Failure(
                Exit.UNREACHABLE,
                tried=f"reading the answer of {self.url}",
                problem=other or f"the answer is not what this command expects: {error}",
                next_step=_SAME_VERSION if other else "is that the coordinator? --json shows the answer as it is",
            ) from error

    def post(self, endpoint: Endpoint[Any], *names: str, body: msgspec.Struct, token_file: Path | None) -> bytes:
        """Send a request that changes something, and return the answer as it came.

        Raises:
            Failure: with its exit code.
        """
        file = token_file or DEFAULT_TOKEN_FILE
        token = operator_token.read(file)
        if goes_in_clear(self.url):
            say(f"agbot: warning: the operator token goes to {self.url} unencrypted", err=True)
        # as bytes: http.client writes text in Latin-1, and the listener reads UTF-8
        login = f"Bearer {token.reveal()}".encode()
        headers: Mapping[str, str | bytes] = {"Authorization": login, "Content-Type": "application/json"}
        path = endpoint.at(*names)
        tried = self._tried("POST", path)
        status, content = self._exchange("POST", path, msgspec.json.encode(body), headers)
        if status == HTTPStatus.UNAUTHORIZED:
            raise Failure(
                Exit.REFUSED,
                tried=f"{tried} with the token in {file}",
                problem="the operator token is wrong",
                next_step="name the file with the token of this coordinator ([console] token_file there): --token-file or "
                "AGBOT_OPERATOR_TOKEN_FILE",
            )
        return self._good(status, content, tried)

    def _tried(self, method: str, path: str) -> str:
        return f"{method} {self.url.rstrip('/')}{path}"

    def _good(self, status: int, content: bytes, tried: str) -> bytes:
        if status != HTTPStatus.OK:
            raise self._refusal(status, content, tried)
        try:
            # with --json nothing else looks at it, and any web server answers something with 200
            msgspec.json.decode(content.decode(), type=msgspec.Raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _not_ours(status, tried) from error
        return content

    def _exchange(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str | bytes] = _NO_HEADERS
    ) -> tuple[int, bytes]:
        """Send a request; return the status and the content of the answer.

        Raises:
            Failure: there is no whole answer.
        """
        connection, prefix = _connection(self.url, self.seconds)
        is_sent = False
        try:
            connection.connect()
            is_sent = True  # as far as is known: a part of it may have arrived
            connection.request(method, prefix + path, body=body, headers={"Accept": "application/json", **headers})
            with connection.getresponse() as reply:
                content = _read(reply, time.monotonic() + _MOST_SECONDS)
            self._server_time = reply.getheader(NOW_HEADER, "")
        except (OSError, http.client.HTTPException) as error:
            may_be_done = is_sent and method != "GET"
            raise no_answer(
                self.url, self._tried(method, path), error, self.seconds, may_be_done=may_be_done
            ) from error
        finally:
            # none is kept: one that the coordinator closes meanwhile would make a request uncertain
            connection.close()
        return reply.status, content

    def _other_version(self) -> str:
        """State that the coordinator has another version than this command; empty if it has not.

        Also empty if it states none. A coordinator that stands by answers for the leader.
        """
        theirs = next((version for path in _ABOUT if (version := self._version(path))), "")
        # the same version: what is wrong has another reason, which must not be hidden by this one
        if theirs in {"", __version__}:
            return ""
        return f"the coordinator at {self.url} is {_compared(theirs)} this command (version {theirs}; this is {__version__})"

    def _version(self, path: str) -> str:
        try:
            status, content = self._exchange("GET", path)
            found = json.loads(content)["version"] if status == HTTPStatus.OK else ""
        except (Failure, ValueError, KeyError, TypeError):
            return ""
        return found if isinstance(found, str) else ""

    def _refusal(self, status: int, content: bytes, tried: str) -> Failure:
        from agbot.console.api import NO_SUCH_PATH, WRONG_METHOD

        try:
            error = json.loads(content)["error"]
            problem, next_step = str(error["problem"]), str(error["next"])
        except (ValueError, KeyError, TypeError):
            return _not_ours(status, tried)
        # an older coordinator has no such path; 404 alone is also the answer to an unknown name
        is_unknown = status == WRONG_METHOD or problem == NO_SUCH_PATH
        other = self._other_version() if is_unknown or status == HTTPStatus.BAD_REQUEST else ""
        if other and is_unknown:
            return Failure(Exit.UNREACHABLE, tried=tried, problem=other, next_step=_SAME_VERSION)
        code = _EXITS.get(status, Exit.UNREACHABLE)
        return Failure(code, tried=tried, problem=f"{problem}; {other}" if other else problem, next_step=next_step)


def _read(reply: http.client.HTTPResponse, deadline: float) -> bytes:
    """Read an answer.

    Raises:
        OSError: it is too large or too slow.
    """
    content = bytearray()
    while piece := reply.read1(_PIECE_BYTES):
        content += piece
        if len(content) > MOST_BYTES:
            raise OSError(f"the answer has more than {MOST_BYTES} bytes")
        if time.monotonic() > deadline:
            raise OSError(f"the answer was not complete after {_MOST_SECONDS:g} s")
    if reply.length:  # read1 returns the same for the end of the connection and of the answer
        raise http.client.IncompleteRead(bytes(content), reply.length)
    return bytes(content)


def _connection(url: str, seconds: float) -> tuple[http.client.HTTPConnection, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("idna")  # or the connection fails with this error, which is no OSError
    except ValueError as error:
        raise _bad_url(url, str(error)) from error
    # a password in it would be in the list of processes and in our own errors
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
        raise _bad_url(url, "it is not http://host:port")
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname, port, timeout=seconds, context=_trust())
        return connection, parts.path.rstrip("/")
    return http.client.HTTPConnection(parts.hostname, port, timeout=seconds), parts.path.rstrip("/")


@cache
def _trust() -> ssl.SSLContext:
    """Load the authorities once: a replay of the journal makes hundreds of requests."""
    return ssl.create_default_context()


def _not_ours(status: int, tried: str) -> Failure:
    return Failure(
        Exit.UNREACHABLE,
        tried=tried,
        problem=f"the answer was {status}, and not in the form of the coordinator",
        next_step="is that the [console] listener? --url or AGBOT_URL names it",
    )


def _bad_url(url: str, why: str) -> Failure:
    return Failure(
        Exit.BAD_INPUT,
        tried=f"using {url!r} as address",
        problem=f"the address is invalid: {why}",
        next_step=f"use an address such as {DEFAULT_URL}",
    )


def _compared(version: str) -> str:
    """Return what a version is in comparison with this one, by its numbers."""
    theirs, ours = (tuple(map(int, re.findall(r"[0-9]{1,9}", each))) for each in (version, __version__))
    if theirs == ours:
        return "of another version than"
    return "older than" if theirs < ours else "newer than"
