"""Writes a `Reply` as the real agbot does: with its headers, and in one piece.

Most answers of this listener are refusals, each on its own connection. So the constant part of the
head is built once, and head and body are sent in one write.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from agbot.gateway import answers
from agbot.gateway.answers import Reply

_FIXED = "".join(f"{name}: {value}\r\n" for name, value in answers.HEADERS.items())
_FIXED_TLS = f"{_FIXED}Strict-Transport-Security: {answers.STRICT_TRANSPORT_SECURITY}\r\n"
_HTTP_1_0 = (1, 0)
_STATUS = {each.value: f"{each.value} {each.phrase}" for each in HTTPStatus}
"""The end of the status line by status: a lookup of an enumeration's member costs a call."""


class _Date:
    """The Date header, built once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def text(self) -> bytes:
        """Return the value of the header."""
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, formatdate(second, usegmt=True).encode("ascii")
        return self._text


_date = _Date()


class Written(web.StreamResponse):
    """A reply as aiohttp's response. `write_eof` writes all of it."""

    def __init__(self, reply: Reply, *, is_tls: bool = False) -> None:
        super().__init__(status=reply.status)
        self._reply = reply
        self._is_tls = is_tls
        self._request: web.BaseRequest | None = None
        self._is_written = False
        if reply.closes:
            self.force_close()

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection stays open after this answer."""
        if self._reply.closes or self._request is None:
            return False
        return self._request.keep_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Store the request that is answered."""
        self._request = request
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Write the whole answer.

        Raises:
            ConnectionError: the client has closed the connection.
        """
        request = self._request
        if request is None or self._is_written:
            return
        self._is_written = True
        await request.writer.write(self._head(request) + (b"" if request.method == "HEAD" else self._reply.body))

    def _head(self, request: web.BaseRequest) -> bytes:
        major, minor = request.version
        is_old = (major, minor) <= _HTTP_1_0
        connection = ""
        if self.keep_alive == is_old:  # only if it is not the version's default
            connection = "Connection: keep-alive\r\n" if is_old else "Connection: close\r\n"
        return head(self._reply, is_tls=self._is_tls, version=f"HTTP/{major}.{minor}", connection=connection)


def head(reply: Reply, *, is_tls: bool, version: str = "HTTP/1.1", connection: str = "") -> bytes:
    """Return the head of an answer.

    Args:
        reply: the answer.
        is_tls: whether it is sent over TLS.
        version: in the form of a status line.
        connection: the whole line of this header; empty for the version's default.
    """
    rest = connection if reply.token is None else f"{answers.TOKEN_HEADER}: {reply.token}\r\n{connection}"
    begin = _begin(version, reply.status, is_tls)
    return b"%bDate: %b\r\nContent-Length: %d\r\n%b\r\n" % (begin, _date.text(), len(reply.body), rest.encode("ascii"))


@lru_cache(maxsize=64)
def _begin(version: str, status: int, is_tls: bool) -> bytes:  # noqa: FBT001 - the arguments of a cache
    """Return what is the same in all answers with this status."""
    return f"{version} {_STATUS[status]}\r\n{_FIXED_TLS if is_tls else _FIXED}".encode("ascii")
