"""Requests, replies and refusals of the simulated Exchange, without sockets.

The fixed headers and the two kinds of body (JSON from the Exchange's own code, plain text from its
HTTP library) are those of recorded replies of version 2.154.0.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

EXCHANGE_VERSION = "2.154.0"
JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain; charset=UTF-8"

Doc = dict[str, Any]
"""A JSON object as the Exchange shows or accepts it."""

FIXED_HEADERS = {
    "Cache-Control": "max-age=0, must-revalidate, no-cache, no-store",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains; preload",
    "X-Content-Type-Options": "nosniff",
    "X-XSS-Protection": "1; mode=block",
}


class Refusal(Exception):
    """The request is answered with an error body."""

    def __init__(self, status: int, code: str, msg: str) -> None:
        """Take the HTTP status and the two fields of the Exchange's error body."""
        super().__init__(f"{status} {code}: {msg}")
        self.status = status
        self.code = code
        self.msg = msg


class PlainRefusal(Exception):
    """The HTTP library answers in plain text, before the request reaches the Exchange's code."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        """Take the HTTP status, the text, and headers in addition to the fixed ones."""
        super().__init__(f"{status} {text}")
        self.status = status
        self.text = text
        self.headers = dict(headers or {})


@lru_cache(maxsize=65536)
def basic(identity: str, secret: str) -> str:
    """Return the value of a Basic `Authorization` header."""
    return "Basic " + b64encode(f"{identity}:{secret}".encode()).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request.

    `target` is that of the request line, undecoded and with its query:
    `/v1/orgs/o1/nodes?name=a%25`.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        """Return the undecoded path, without the query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """Return the decoded query; the last value of a repeated name counts."""
        text = self.target.partition("?")[2]
        return dict(parse_qsl(text, keep_blank_values=True)) if text else {}

    @property
    def segments(self) -> tuple[str, ...]:
        """Return the decoded path segments; an encoded slash stays inside its segment."""
        return tuple(unquote(part) for part in self.path.split("/")[1:])

    def header(self, name: str) -> str:
        """Return a header by its name in any case, or an empty string."""
        value = self.headers.get(name)
        if value is not None:
            return value
        wanted = name.lower()
        return next((text for key, text in self.headers.items() if key.lower() == wanted), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One HTTP reply.

    The transport, or an in-process caller, waits `delay_seconds` (simulated) before the reply is
    sent. If a fault has truncated the reply, `body` is shorter than its Content-Length.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    delay_seconds: float = 0.0

    def json(self) -> Any:
        """Return the parsed body.

        Raises:
            ValueError: the body is not JSON.
        """
        return json.loads(self.body)

    @property
    def truncated(self) -> bool:
        """Return whether a fault has truncated the body."""
        return len(self.body) < int(self.headers.get("Content-Length", "0"))


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a route: a status and a JSON body, or none."""

    status: int
    body: Doc | list[Any] | None = None
    text: str | None = None


def ok(msg: str) -> Answer:
    """Answer a successful write: 201, also for updates."""
    return Answer(HTTPStatus.CREATED, {"code": "ok", "msg": msg})


def found(body: Doc | list[Any]) -> Answer:
    """Answer a read."""
    return Answer(HTTPStatus.OK, body)


def gone() -> Answer:
    """Answer a deletion: 204 without a body."""
    return Answer(HTTPStatus.NO_CONTENT)


def filled(body: Doc, *, when: object, status: int = HTTPStatus.OK) -> Answer:
    """Answer a read of a collection: the Exchange sends an empty collection with 404."""
    return Answer(status if when else HTTPStatus.NOT_FOUND, body)


def bad_input(msg: str) -> Refusal:
    """Refuse an invalid request."""
    return Refusal(HTTPStatus.BAD_REQUEST, "invalid-input", msg)


def denied(msg: str) -> Refusal:
    """Refuse because the caller lacks a permission."""
    return Refusal(HTTPStatus.FORBIDDEN, "access-denied", msg)


def not_found(msg: str = "not found") -> Refusal:
    """Refuse because something does not exist."""
    return Refusal(HTTPStatus.NOT_FOUND, "not-found", msg)


def taken(msg: str) -> Refusal:
    """Refuse because something exists already."""
    return Refusal(HTTPStatus.CONFLICT, "already-exists", msg)


def broken(msg: str) -> Refusal:
    """Refuse with the 500 of a failed database statement."""
    return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", msg)


def uncaught(msg: str) -> Refusal:
    """Refuse with the 502 of an uncaught exception."""
    return Refusal(HTTPStatus.BAD_GATEWAY, "database-connection-error", msg)


_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


@lru_cache(maxsize=8)
def _http_date(second: datetime) -> str:
    return format_datetime(second, usegmt=True)


def dumps(body: Doc | list[Any]) -> bytes:
    """Encode JSON as the Exchange does: no spaces, UTF-8."""
    return _ENCODER.encode(body).encode()


def reply(
    status: int, body: bytes, now: datetime, *, content_type: str = JSON_TYPE, more: Mapping[str, str] | None = None
) -> Reply:
    """Add the headers to a body; a 204 has neither type nor length."""
    headers = {**FIXED_HEADERS, **(more or {}), "Date": _http_date(now.replace(microsecond=0))}
    if status != HTTPStatus.NO_CONTENT:
        headers |= {"Content-Type": content_type, "Content-Length": str(len(body))}
    return Reply(status=status, headers=headers, body=body)
