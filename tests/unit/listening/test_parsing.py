"""How the data of a connection are cut into reads changes nothing of what is understood."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.http_parser import RawRequestMessage

from agbot.listening.connection import Bounds
from agbot.listening.connections import Connections
from agbot.listening.parsing import Parser

GET = b"GET /get HTTP/1.1\r\nHost: h\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
PUT = b"PUT /put HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
LAST_PUT = PUT.replace(b"Host: h", b"Host: h\r\nConnection: close")
CHUNKED = b"PUT /chunked HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
BAD = b"nonsense\r\n\r\n"


async def _handle(_request: web.BaseRequest) -> web.StreamResponse:
    raise NotImplementedError


def understood(pieces: list[bytes]) -> list[tuple[str, int]]:
    """Return the target of each request and the size of its body, and `refused` where one is malformed."""
    found, reader = [], parser()
    for each in pieces:
        found += reader.feed_data(each)[0]
    return [
        (message.path, body.total_bytes) if isinstance(message, RawRequestMessage) else ("refused", 0)
        for message, body in found
    ]


def parser() -> Parser:
    """A parser as a connection has it."""
    bounds = Bounds(head_seconds=1.0, max_field_bytes=1024, max_connections=1)
    connections = Connections(_handle, bounds, refuse=lambda _error: web.Response(status=400))
    found = connections.new_connection()._parser  # noqa: SLF001 - as it is set up
    assert isinstance(found, Parser)
    return found


async def test_a_body_that_stays_in_the_parser_after_its_last_byte_does_not_stop_the_event_loop() -> None:
    """Aiohttp 3.14 keeps none; an empty piece would be parsed again without end."""
    found = parser()
    found.feed_data(PUT[:-1])
    body = found._payload_parser  # noqa: SLF001 - what another version could leave
    assert body is not None
    body._length = 0  # noqa: SLF001 - see above

    assert [message.path for message, _ in found.feed_data(GET)[0] if isinstance(message, RawRequestMessage)] == [
        "/get"
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (GET + PUT + GET, [("/get", 0), ("/put", 4), ("/get", 0)]),
        (GET + BAD + GET, [("/get", 0), ("refused", 0)]),
        (PUT + GET + BAD, [("/put", 4), ("/get", 0), ("refused", 0)]),
        (b"\r\n\r\n" + GET + b"\r\n" + LAST + GET, [("/get", 0), ("/last", 0)]),
        (LAST + BAD, [("/last", 0)]),
        (LAST_PUT + GET + BAD, [("/put", 4)]),
        (CHUNKED + LAST + b"\r\n\x00", [("/chunked", 4), ("/last", 0)]),
        (GET * 12 + BAD, [("/get", 0)] * 12 + [("refused", 0)]),
    ],
    ids=range(8),
)
async def test_the_same_is_understood_wherever_the_reads_are_cut(data: bytes, expected: list[tuple[str, int]]) -> None:
    for cut in range(len(data)):
        assert understood([data[:cut], data[cut:]]) == expected, cut
    assert understood([data[at : at + 1] for at in range(len(data))]) == expected
