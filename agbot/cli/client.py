"""How commands talk to the running coordinator: its operators' listener, by plain HTTP.

Through the standard library alone, so that a command starts fast; never through a proxy: the listener is on this machine or beside it.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from agbot.cli.failure import Exit, Failure
from agbot.clock import NOW_HEADER, SystemClock
from agbot.settings import secret
from agbot.settings.secret import Secret
from agbot.settings.sense import goes_in_clear

DEFAULT_URL: Final = "http://127.0.0.1:8084"
DEFAULT_TOKEN_FILE: Final = Path("/etc/agbot/operator-token")
SECONDS: Final = 10.0
MOST_SECONDS: Final = 60.0
"""Longest time of an answer that goes on coming."""
MOST_BYTES: Final = 128 * 1024 * 1024
"""Largest answer: all groups of the largest organisation are a quarter of it."""
_PIECE_BYTES: Final = 1024 * 1024
_EXITS: Final = {
    400: Exit.BAD_INPUT,
    401: Exit.REFUSED,
    403: Exit.REFUSED,
    404: Exit.NOT_FOUND,
    409: Exit.REFUSED,
    413: Exit.BAD_INPUT,
}
_GOOD: Final = 200

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Client:
    """The coordinator at one address."""

    url: str
    seconds: float = SECONDS
    _told: str = ""
    """The coordinator's time at its last answer, as it told it."""

    def now(self) -> datetime:
        """Return the coordinator's time at its last answer, for ages; this machine's where it told none."""
        try:
            return datetime.fromisoformat(self._told).astimezone(UTC)
        except ValueError:
            return SystemClock().now()

    def get(self, *path: str, query: str = "") -> bytes:
        """Read. Each part of the path is one element, escaped here.

        Raises:
            Failure: with the exit code that fits.
        """
        return self._send("GET", _join(path) + query, None, {})

    def post(self, *path: str, body: dict[str, Any], token: Secret) -> bytes:
        """Act, with the operator token.

        Raises:
            Failure: with the exit code that fits.
        """
        if goes_in_clear(self.url):
            print(f"agbot: warning: the operator token goes to {self.url} unencrypted", file=sys.stderr)  # noqa: T201 - a warning to a person
        headers = {"Authorization": f"Bearer {token.reveal()}", "Content-Type": "application/json"}
        content = {key: value for key, value in body.items() if value is not None}
        return self._send("POST", _join(path), json.dumps(content).encode(), headers)

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        tried = f"{method} {self.url.rstrip('/')}{path}"
        connection, prefix = _connection(self.url, self.seconds)
        try:
            connection.request(method, prefix + path, body=body, headers={"Accept": "application/json", **headers})
            with connection.getresponse() as reply:
                content = _read(reply, time.monotonic() + MOST_SECONDS)
            self._told = reply.getheader(NOW_HEADER, "")
        except (OSError, http.client.HTTPException) as error:
            raise Failure(
                Exit.UNREACHABLE,
                tried=tried,
                problem=f"the coordinator at {self.url} cannot be reached: {_said(error, self.seconds)}",
                next_step="is it running (systemctl status agbot), and is this its [console] listen? Another address: --url or AGBOT_URL",
            ) from error
        finally:
            connection.close()
        if reply.status != _GOOD:
            raise _refusal(reply.status, content, tried)
        return content


def _read(reply: http.client.HTTPResponse, deadline: float) -> bytes:
    """Read an answer.

    Raises:
        OSError: it has no end that one could wait for.
    """
    content = bytearray()
    while piece := reply.read1(_PIECE_BYTES):
        content += piece
        if len(content) > MOST_BYTES:
            raise OSError(f"the answer has more than {MOST_BYTES} bytes")
        if time.monotonic() > deadline:
            raise OSError(f"the answer has not ended after {MOST_SECONDS:g} s")
    if reply.length:  # read1 tells the end of the connection from that of the answer no more than this
        raise http.client.IncompleteRead(bytes(content), reply.length)
    return bytes(content)


def decode(content: bytes, kind: type[T], url: str) -> T:
    """Read an answer.

    Raises:
        Failure: it is not what this version expects.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Failure(
            Exit.UNREACHABLE,
            tried=f"reading the answer of {url}",
            problem=f"the answer is not what this command expects: {error}",
            next_step="is that the coordinator, and of the same version (agbot --version, /healthz)? --json shows the answer as it is",
        ) from error


def operator_token(file: Path | None) -> Secret:
    """Read the token that writing needs.

    Raises:
        Failure: there is none that this user may read.
    """
    path = file or DEFAULT_TOKEN_FILE
    try:
        found = secret.read(path)
    except secret.SecretError as error:
        denied = isinstance(error.__cause__, PermissionError)
        raise Failure(
            Exit.BAD_INPUT,
            tried=f"reading the operator token from {path}",
            problem=str(error),
            next_step="run it as a user who may read that file (sudo)"
            if denied
            else "name the file: --token-file or AGBOT_OPERATOR_TOKEN_FILE",
        ) from error
    if found.warning:
        print(f"agbot: warning: {found.warning}", file=sys.stderr)  # noqa: T201 - a warning to a person
    return found.secret


def _join(path: tuple[str, ...]) -> str:
    return "".join(f"/{quote(part, safe='')}" for part in path)


def _connection(url: str, seconds: float) -> tuple[http.client.HTTPConnection, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _bad_url(url, str(error)) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
        raise _bad_url(url, "it is not http://host:port")
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(parts.hostname, port, timeout=seconds, context=context), parts.path.rstrip(
            "/"
        )
    return http.client.HTTPConnection(parts.hostname, port, timeout=seconds), parts.path.rstrip("/")


def _bad_url(url: str, why: str) -> Failure:
    return Failure(
        Exit.BAD_INPUT,
        tried=f"using {url!r} as address",
        problem=f"the address is no good: {why}",
        next_step=f"give one such as {DEFAULT_URL}",
    )


def _refusal(status: int, content: bytes, tried: str) -> Failure:
    code = _EXITS.get(status, Exit.UNREACHABLE)
    try:
        error = json.loads(content)["error"]
        return Failure(code, tried=tried, problem=error["problem"], next_step=error["next"])
    except (ValueError, KeyError, TypeError):
        problem = f"what listens there answered {status}, and not as the coordinator does"
        return Failure(
            Exit.UNREACHABLE,
            tried=tried,
            problem=problem,
            next_step="is that the [console] listener? --url or AGBOT_URL names it",
        )


def _said(error: Exception, seconds: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {seconds:g} s"
    if isinstance(error, socket.gaierror):
        return "the name is not known"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
