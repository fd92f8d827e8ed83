"""Replies of the console: the coordinator's own values as JSON, and errors.

Ids are `org/name`, times ISO 8601 in UTC with a `Z`, a missing value is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Self

import msgspec
from aiohttp import web

from agbot.foreign_text import escaped
from agbot.store.contract import NotLeadingError, StoreError

HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Of every reply: none of them is true a moment later, and a cache would show it as if it were."""


def _plain(value: object) -> object:
    """Convert what msgspec does not encode: other mappings, and subclasses of datetime."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime):  # those of a test's clock, for one
        return datetime.fromtimestamp(value.timestamp(), UTC)
    raise TypeError(f"no JSON form for {type(value).__name__}")


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_plain)


def encoded(value: object) -> bytes:
    """Return a value as JSON."""
    return _ENCODER.encode(value)


def json(value: object, status: int = 200) -> web.Response:
    """Reply with a value."""
    return web.Response(body=encoded(value), status=status, content_type="application/json", headers=HEADERS)


def text(*lines: str, status: int = 200) -> web.Response:
    """Reply in plain text, for people and probes."""
    # `curl` shows it on a terminal, and a probe looks for a line: a name must not write one
    content = "".join(f"{escaped(line)}\n" for line in lines)
    return web.Response(text=content, status=status, headers=HEADERS)


class ApiError(Exception):
    """An error reply: what was tried, the problem, and the next step."""

    def __init__(
        self, status: int, *, tried: str, problem: str, next_step: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(problem)
        self.status = status
        self.tried = tried
        self.problem = problem
        self.next_step = next_step
        self.headers = dict(headers or {})

    @classmethod
    def of(
        cls,
        request: web.Request,
        status: int,
        problem: str,
        next_step: str,
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Return an error of this request."""
        tried = f"{request.method} {request.path}"
        return cls(status, tried=tried, problem=problem, next_step=next_step, headers=headers)

    @classmethod
    def of_store(cls, request: web.Request, error: StoreError) -> Self:
        """Return the error of a request for which the lease store is needed."""
        problem = f"the lease store failed: {error}"
        next_step = "wait for store.recovered in the log; /readyz?verbose shows the state of the store"
        if request.method == "POST" and not isinstance(error, NotLeadingError):  # that one has not happened
            problem = f"{problem}. The order may have been carried out"
            next_step = f"{next_step}. Then see `agbot orders` and `agbot history` before you repeat it"
        return cls.of(request, 503, problem, next_step)

    def response(self) -> web.Response:
        """Return the reply."""
        body = {"error": {"tried": self.tried, "problem": self.problem, "next": self.next_step}}
        reply = json(body, self.status)
        reply.headers.update(self.headers)
        return reply
