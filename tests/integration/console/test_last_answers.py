"""However a connection ends after an answer, the operator gets the whole answer and then the end, also if he goes on sending."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.console.conftest import Desk
from tests.support.late_sender import connected, read_all, read_late
from tests.support.patience import until

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
KEPT_OPEN = b"GET /v1/groups HTTP/1.1\r\nHost: localhost\r\n\r\n"


def port_of(desk: Desk) -> int:
    return int(desk.url.rpartition(":")[2])


def status_if_whole(received: bytes) -> int:
    head, _, body = received.partition(b"\r\n\r\n")
    assert len(body) == int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(head.split()[1])


@pytest.mark.parametrize("kind", ENDS)
async def test_a_last_answer_arrives_whole_although_more_is_sent(desk: Desk, kind: str) -> None:
    status, raw = ENDS[kind]

    def ask() -> bytes:
        with connected(port_of(desk)) as client:
            client.sendall(raw)
            return read_late(client)

    assert status_if_whole(await asyncio.to_thread(ask)) == status


async def test_a_client_that_has_its_answer_gets_the_end_when_the_listener_stops(desk: Desk) -> None:
    def ask() -> bytes:
        with connected(port_of(desk)) as client:
            client.sendall(KEPT_OPEN)
            return read_late(client)

    assert desk.console is not None
    connections = desk.console._runner.connections  # noqa: SLF001 - nothing public shows that it is answered
    asking = asyncio.create_task(asyncio.to_thread(ask))
    await until("it is answered", lambda: connections.requests_count)
    await desk.console.stop()
    assert status_if_whole(await asking) == 200


async def test_a_client_that_gives_way_with_a_request_unread_gets_the_answer_before_it(desk: Desk) -> None:
    assert desk.console is not None
    connections = desk.console._runner.connections  # noqa: SLF001 - the limit is reached at no certain moment
    with connected(port_of(desk)) as client:
        client.sendall(KEPT_OPEN)
        await until("it is answered", lambda: connections.requests_count)
        await until("it is idle", lambda: all(each.is_idle for each in connections._all()))  # noqa: SLF001 - see above
        client.sendall(KEPT_OPEN)
        connections.give_up(1)
        assert status_if_whole(await asyncio.to_thread(read_all, client)) == 200
