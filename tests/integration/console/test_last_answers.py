"""However a connection ends after an answer, the operator gets the whole answer and then the end, also if he goes on sending."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.console.conftest import Desk
from tests.support.late_sender import connected, read_late

JSON = b"Authorization: Bearer let-me-in-0123456789\r\nContent-Type: application/json\r\n"

ENDS = {
    "asked to close": (200, b"GET /v1/groups HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    "HTTP/1.0": (200, b"GET /v1/groups HTTP/1.0\r\nHost: localhost\r\n\r\n"),
    "no HTTP": (400, b"nonsense\r\n\r\n"),
    "a head too large": (431, b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "a body in chunks": (400, b"POST /v1/holds HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "a body that is not read": (
        421,
        b"POST /v1/holds HTTP/1.1\r\nHost: else\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 100_000,
    ),
    "a body too large": (
        413,
        b"POST /v1/holds HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: 9000000\r\n\r\n" % JSON + b"x" * 100_000,
    ),
}
"""The status of each last answer, and the request."""


@pytest.mark.parametrize("kind", ENDS)
async def test_a_last_answer_arrives_whole_although_more_is_sent(desk: Desk, kind: str) -> None:
    status, raw = ENDS[kind]

    def ask() -> bytes:
        with connected(int(desk.url.rpartition(":")[2])) as client:
            client.sendall(raw)
            return read_late(client)

    head, _, body = (await asyncio.to_thread(ask)).partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert (int(head.split()[1]), len(body)) == (status, length)
