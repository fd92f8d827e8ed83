"""How the console writes its answers: JSON of the coordinator's own values; errors say what was tried, what came of it, what to do next.

Ids stand as `org/name`, times as ISO 8601 in UTC with a `Z`, a missing value as null.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
from aiohttp import web

_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def _plain(value: object) -> object:
    """Write what msgspec does not know: other mappings, and datetimes of a subclass."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime):
        return datetime.fromtimestamp(value.timestamp(), UTC)
    raise NotImplementedError(f"no JSON form for {type(value).__name__}")


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_plain)


def json(value: object, status: int = 200) -> web.Response:
    """Answer with a value."""
    return web.Response(body=_ENCODER.encode(value), status=status, content_type="application/json", headers=_HEADERS)


def text(content: str, status: int = 200) -> web.Response:
    """Answer in plain text, for people and probes."""
    return web.Response(text=f"{content}\n", status=status, headers=_HEADERS)


class ApiError(Exception):
    """An answer that is not what was asked for."""

    def __init__(
        self, status: int, *, tried: str, problem: str, next_step: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(problem)
        self.status = status
        self.tried = tried
        self.problem = problem
        self.next_step = next_step
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """Write it."""
        body = {"error": {"tried": self.tried, "problem": self.problem, "next": self.next_step}}
        reply = json(body, self.status)
        reply.headers.update(self.headers)
        return reply
