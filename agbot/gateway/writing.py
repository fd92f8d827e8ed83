"""Writing a `Reply` to the wire as the real agbot writes it: its headers, in one piece, without a word about the server's software.

Refusals are most of what this listener says, each on a connection of its own, so the constant part of the head is made once and head and
body leave in one write: that saves a tenth of the whole cost of an answer.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from agbot.gateway import answers
from agbot.gateway.answers import Reply

_FIXED = "".join(f"{name}: {value}\r\n" for name, value in answers.HEADERS.items())
_FIXED_TLS = f"{_FIXED}Strict-Transport-Security: {answers.STRICT_TRANSPORT_SECURITY}\r\n"
_HTTP_1_0 = (1, 0)
_STATUS = {each.value: f"{each.value} {each.phrase}" for each in HTTPStatus}
"""The status line's end by status: the lookup of an enumeration's member is a call of its own."""


class _Date:
    """The Date header, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def __str__(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, formatdate(second, usegmt=True)
        return self._text


_date = _Date()


class Written(web.StreamResponse):
    """A reply as aiohttp's response. Nothing is written before `write_eof`."""

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
        """Tell whether the connection stays open after this."""
        if self._reply.closes or self._request is None:
            return False
        return self._request.keep_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Take note of the request that is answered."""
        self._request = request
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Write everything.

        Raises:
            ConnectionError: the client has gone.
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
        if self.keep_alive == is_old:  # say only what is not the version's default
            connection = "Connection: keep-alive\r\n" if is_old else "Connection: close\r\n"
        token = "" if self._reply.token is None else f"{answers.TOKEN_HEADER}: {self._reply.token}\r\n"
        return (
            f"HTTP/{major}.{minor} {_STATUS[self._reply.status]}\r\n"
            f"{_FIXED_TLS if self._is_tls else _FIXED}"
            f"Date: {_date}\r\nContent-Length: {len(self._reply.body)}\r\n{token}{connection}\r\n"
        ).encode("ascii")
