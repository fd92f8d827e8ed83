"""Connections that answer at once: their time, their clients that take nothing, and what is handed over.

In virtual time.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from agbot.listening.connection import LINGER_SECONDS, Bounds, Connection
from agbot.listening.connections import Connections
from agbot.listening.quick import QuickConnection
from tests.support.virtual_time import in_virtual_time

SECONDS = 10.0


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self, address: str = "192.0.2.1") -> None:
        super().__init__({"peername": (address, 40000)})
        self.written = b""
        self.unsent_bytes = 0
        self.half_ended_at: float | None = None
        self.ended_at: float | None = None
        self.protocol: asyncio.Protocol
        self.max_size = 0

    def write(self, data: Any) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.half_ended_at = asyncio.get_running_loop().time()

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.ended_at is not None

    def close(self) -> None:
        if self.ended_at is None:
            loop = asyncio.get_running_loop()
            self.ended_at = loop.time()
            loop.call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def is_reading(self) -> bool:
        return True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def _handle(_request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(status=204)


def connections(*, max_connections: int = 100) -> Connections:
    """Connections on which `?` is answered with `!` at once."""
    bounds = Bounds(head_seconds=SECONDS, max_field_bytes=1024, max_connections=max_connections)
    return Connections(
        _handle,
        bounds,
        refuse=lambda _error: web.Response(status=400),
        at_once=lambda data: b"!" if data == b"?" else None,
    )


def dial(made_by: Connections, address: str = "192.0.2.1") -> Wire:
    wire = Wire(address)
    wire.protocol = made_by()
    wire.protocol.connection_made(wire)
    return wire


@in_virtual_time
async def test_a_read_that_can_be_answered_is_answered_in_the_same_step() -> None:
    wire = dial(connections())
    wire.protocol.data_received(b"?")
    wire.protocol.data_received(b"?")
    assert wire.written == b"!!"


@in_virtual_time
async def test_a_silent_client_is_hung_up_on_in_time() -> None:
    wire = dial(connections())
    await asyncio.sleep(60)
    assert wire.ended_at == SECONDS


@in_virtual_time
async def test_the_time_begins_again_with_each_answer() -> None:
    wire = dial(connections())
    await asyncio.sleep(8)
    wire.protocol.data_received(b"?")
    await asyncio.sleep(60)
    assert wire.ended_at == 8 + SECONDS


@in_virtual_time
async def test_handing_over_does_not_prolong_the_time_for_a_head() -> None:
    wire = dial(connections())
    await asyncio.sleep(8)
    wire.protocol.data_received(b"POST /x HTTP/1.1\r\n")
    await asyncio.sleep(1)
    wire.protocol.data_received(b"Host: h\r\n")
    await asyncio.sleep(60)
    assert (wire.half_ended_at, wire.ended_at) == (SECONDS, SECONDS + LINGER_SECONDS)


@in_virtual_time
async def test_what_is_handed_over_is_answered_from_its_first_byte() -> None:
    wire = dial(connections())
    wire.protocol.data_received(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
    await asyncio.sleep(1)
    assert wire.written.startswith(b"HTTP/1.1 204 ")


@in_virtual_time
async def test_a_client_that_does_not_take_its_answers_is_hung_up_on() -> None:
    wire = dial(connections())
    await asyncio.sleep(3)
    wire.protocol.data_received(b"?")
    wire.unsent_bytes = 1
    wire.protocol.pause_writing()
    await asyncio.sleep(60)
    assert wire.ended_at == 3 + SECONDS


@in_virtual_time
async def test_a_connection_is_counted_once_wherever_it_is() -> None:
    made_by = connections()
    wires = [dial(made_by) for _ in range(3)]
    wires[0].protocol.data_received(b"GET")
    assert made_by.number == 3
    for wire in wires:
        wire.close()
    await asyncio.sleep(1)
    assert made_by.number == 0


@in_virtual_time
@pytest.mark.parametrize("has_asked", [False, True])
async def test_the_oldest_of_whoever_has_the_most_gives_way(has_asked: bool) -> None:
    made_by = connections(max_connections=3)
    alone = dial(made_by, "192.0.2.9")
    first, second, third = (dial(made_by) for _ in range(3))
    if has_asked:
        first.protocol.data_received(b"?")
    await asyncio.sleep(1)
    assert [wire.ended_at is None for wire in (alone, first, second, third)] == [True, False, True, True]


@in_virtual_time
async def test_nothing_is_answered_after_the_listener_has_begun_to_end() -> None:
    made_by = connections()
    wire = dial(made_by)
    assert isinstance(wire.protocol, QuickConnection)
    made_by.pre_shutdown()
    wire.protocol.data_received(b"?")
    assert (wire.written, wire.half_ended_at, made_by.number) == (b"", 0.0, 1)
    await made_by.shutdown(3.0)
    await asyncio.sleep(0)
    assert (wire.ended_at, made_by.number) == (3.0, 0)


@in_virtual_time
async def test_the_end_of_the_listener_waits_for_no_one_when_all_have_gone() -> None:
    made_by = connections()
    wire = dial(made_by)
    made_by.pre_shutdown()
    asyncio.get_running_loop().call_later(1.0, wire.close)
    await made_by.shutdown(3.0)
    assert asyncio.get_running_loop().time() == 1.0


@in_virtual_time
async def test_a_connection_is_not_idle_between_a_request_and_its_answer() -> None:
    wire = dial(connections())
    wire.protocol.data_received(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
    assert isinstance(wire.protocol, Connection)
    while not wire.written:
        assert not wire.protocol.is_idle
        await asyncio.sleep(0)
    await asyncio.sleep(1)
    assert wire.protocol.is_idle


@in_virtual_time
async def test_a_connection_is_idle_while_the_rest_of_an_answered_request_is_awaited() -> None:
    wire = dial(connections())
    wire.protocol.data_received(b"GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n")
    assert isinstance(wire.protocol, Connection)
    before = wire.protocol
    await asyncio.sleep(0.5)
    assert (wire.written[:12], before.is_idle) == (b"HTTP/1.1 204", True)
    before.data_received(b"the body!GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
    while wire.written.count(b"204") == 1:
        assert not before.is_idle
        await asyncio.sleep(0)


class Clear:
    """A connection in clear text, and what became of it."""

    def __init__(self, made_by: Connections, *sent_with_it: bytes) -> None:
        self.client, self.server = socket.socketpair()
        self.client.settimeout(0)
        self.server.settimeout(0)
        self.handed_over: list[Connection] = []
        for data in sent_with_it:
            self.client.send(data)
        made_by.begin_at_once(self.server, ("192.0.2.1", 40000), self._hand_over)

    def _hand_over(self, accepted: socket.socket, connection: Connection) -> None:
        assert accepted is self.server
        self.handed_over.append(connection)

    @property
    def is_open(self) -> bool:
        return self.server.fileno() >= 0

    async def send(self, data: bytes) -> None:
        """Send, and let the server read it before time goes on."""
        self.client.send(data)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def ends_after(self, seconds: float) -> bool:
        """Return whether the connection ends just then."""
        await asyncio.sleep(seconds - 0.01)
        was_open = self.is_open
        await asyncio.sleep(0.02)
        return was_open and not self.is_open


@asynccontextmanager
async def clear(made_by: Connections, *sent_with_it: bytes) -> AsyncIterator[Clear]:
    one = Clear(made_by, *sent_with_it)
    try:
        yield one
    finally:
        await made_by.shutdown(0)
        one.client.close()
        one.server.close()


@in_virtual_time
async def test_in_clear_text_what_came_with_the_connection_is_answered_before_anything_else_runs() -> None:
    async with clear(connections(), b"?") as one:
        assert one.client.recv(10) == b"!"
        await one.send(b"?")
        await asyncio.sleep(1)
        assert one.client.recv(10) == b"!"


@in_virtual_time
async def test_in_clear_text_a_silent_client_is_hung_up_on_in_time() -> None:
    async with clear(connections()) as one:
        assert await one.ends_after(SECONDS)


@in_virtual_time
async def test_in_clear_text_the_time_begins_again_with_each_answer() -> None:
    made_by = connections()
    async with clear(made_by) as one:
        await asyncio.sleep(8)
        await one.send(b"?")
        assert await one.ends_after(SECONDS)
        assert made_by.number == 0


@in_virtual_time
async def test_in_clear_text_a_client_that_goes_is_let_go() -> None:
    made_by = connections()
    async with clear(made_by, b"?") as one:
        one.client.close()
        await asyncio.sleep(1)
        assert (one.is_open, made_by.number) == (False, 0)


@in_virtual_time
async def test_in_clear_text_what_cannot_be_answered_is_handed_over_with_the_time_that_is_left() -> None:
    made_by = connections()
    async with clear(made_by) as one:
        await asyncio.sleep(3)
        await one.send(b"GET")
        await asyncio.sleep(3)
        (connection,) = one.handed_over
        assert connection._handed_over == (b"GET", b"", SECONDS)  # noqa: SLF001 - nothing public shows it
        assert (one.is_open, made_by.number) == (True, 0)
        await one.send(b" /x")
        await asyncio.sleep(60)
        assert len(one.handed_over) == 1, "and the socket is read no more"


@in_virtual_time
async def test_in_clear_text_the_rest_of_an_answer_that_is_not_taken_is_handed_over() -> None:
    long = b"!" * 10_000_000
    bounds = Bounds(head_seconds=SECONDS, max_field_bytes=1024, max_connections=1)
    made_by = Connections(_handle, bounds, refuse=lambda _error: web.Response(status=400), at_once=lambda _data: long)
    async with clear(made_by, b"?") as one:
        (connection,) = one.handed_over
        assert connection._handed_over is not None  # noqa: SLF001 - nothing public shows it
        data, unsent, _deadline = connection._handed_over  # noqa: SLF001 - see above
        assert data == b""
        assert 0 < len(unsent) < len(long)


@in_virtual_time
async def test_in_clear_text_the_oldest_gives_way_too() -> None:
    made_by = connections(max_connections=2)
    async with clear(made_by, b"?") as first, clear(made_by, b"?") as second, clear(made_by) as third:
        await asyncio.sleep(1)
        assert [one.is_open for one in (first, second, third)] == [False, True, True]
