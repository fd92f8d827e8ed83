"""However a connection ends after an answer, its client gets the whole answer and then the end, also if it goes on sending."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from agbot.coordinator.permission import Answer
from agbot.listening import lingering
from agbot.rules.facts import Ask
from agbot.settings.model import AgbotSettings, GatewaySettings
from tests.integration.gateway.scripted import (
    LOOPBACK,
    Gateway,
    StandIn,
    dialled,
    gateway,
    read_reply,
    request,
    settings_of,
)
from tests.support.late_sender import connected, read_all, read_late
from tests.support.patience import PATIENCE_SECONDS, in_time, until

N1, N2 = "/org/o1/hagroup/g1/nodemanagement/n1/p1", "/org/o1/hagroup/g1/nodemanagement/n2/p1"
OVER_EITHER = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
AT_BOTH_MOMENTS = pytest.mark.parametrize("at_once", [False, True], ids=["later", "in the same step"])
"""Whether something happens in the step of the event loop in which a request is answered, or later."""
MANY = 200_000
"""Bytes of an answer: the kernel of the server takes all of them, and that of the client few."""
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MANY + b"x" * MANY
SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
EARLY = b'HTTP/1.1 401 Unauthorized\r\nContent-Length: 13\r\n\r\n"not you, no"'
CLOSE = "Connection: close\r\n"

GRANTED, REFUSED = request("POST", N1, "o1/n1:n1tok"), request("POST", N2, "o1/n2:n2tok")

ENDS = {
    "asked to close": (201, request("POST", N1, "o1/n1:n1tok", headers=CLOSE)),
    "HTTP/1.0": (201, GRANTED.replace(b"HTTP/1.1", b"HTTP/1.0")),
    "more in the same piece": (201, request("POST", N1, "o1/n1:n1tok", headers=CLOSE) + b"nonsense\r\n\r\n"),
    "passed through": (200, request("GET", "/x", headers=CLOSE)),
    "answered early": (401, b"PUT /early HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 100_000),
    "no HTTP": (400, b"nonsense\r\n\r\n"),
    "a head too large": (431, b"POST /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n"),
    "a body too large": (413, b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 100_000),
    "a body too late": (400, b"PUT /late HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx"),
    "a head too late": (201, GRANTED + b"POST /x"),
    "a body without an end": (201, GRANTED.replace(b"Length: 0", b"Length: 9000000")),
    "a body in chunks": (400, f"POST {N1} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".encode()),
    "a header not passed on": (400, b"GET /x HTTP/1.1\r\nHost: h\r\nX: \xff\r\n\r\n"),
}
"""The status of each last answer, and the request."""


@asynccontextmanager
async def before_an_agbot(settings: GatewaySettings) -> AsyncIterator[Gateway]:
    """A gateway before a real agbot that answers by the path, and early where it says so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/late" not in head:
            writer.write(EARLY if b"/early" in head else LONG if b"/long" in head else SHORT)
            await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, gateway(settings, agbot=AgbotSettings(secure_api=url)) as running:
        yield running


def status_and_body(received: bytes) -> tuple[int, int, int]:
    """Return the status of an answer, the length of its body, and which length it was to have."""
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), len(body), int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])


@OVER_EITHER
@pytest.mark.parametrize("kind", ENDS)
async def test_a_last_answer_arrives_whole_although_more_is_sent(kind: str, tls: bool) -> None:
    status, raw = ENDS[kind]

    def ask(port: int) -> bytes:
        with connected(port, LOOPBACK if tls else None) as client:
            client.sendall(raw)
            return read_late(client)

    seconds = 0.5 if kind.endswith("too late") else 10.0
    async with before_an_agbot(settings_of(tls=tls, request_seconds=seconds)) as running:
        found, length, declared = status_and_body(await asyncio.to_thread(ask, running.port))
        await until("the connection has ended", lambda: running.listener.open_connections == 0)
    assert (found, length) == (status, declared)


@OVER_EITHER
async def test_so_does_one_that_is_longer_than_what_the_client_has_room_for(tls: bool) -> None:
    async with before_an_agbot(settings_of(tls=tls)) as running, AsyncExitStack() as stack:
        connecting = connected(running.port, LOOPBACK if tls else None)
        client = await asyncio.to_thread(stack.enter_context, connecting)
        client.sendall(request("GET", "/long", headers=CLOSE))
        await until("it is answered", lambda: running.seen)
        for _ in range(10):
            await asyncio.sleep(0)  # so that whoever closes at once has closed
        for _ in range(2):
            client.sendall(request("GET", "/more"))
        found, length, declared = status_and_body(await asyncio.to_thread(read_all, client))
    assert (found, length, declared) == (200, MANY, MANY)


@OVER_EITHER
async def test_so_does_the_one_for_which_there_is_no_room(tls: bool) -> None:
    def ask(port: int) -> bytes:
        with connected(port, LOOPBACK if tls else None) as client:
            client.sendall(request("GET", "/x"))
            return read_late(client)

    silent = StandIn(lambda _head, _body: None)
    await silent.start()
    async with (
        gateway(settings_of(tls=tls, max_open=1), agbot=AgbotSettings(secure_api=silent.url)) as running,
        dialled(running.port, tls=tls) as (_, writer),
    ):
        writer.write(request("GET", "/y"))
        await running.answering(1)
        found, length, declared = status_and_body(await asyncio.to_thread(ask, running.port))
    await silent.stop()
    assert (found, length) == (503, declared)


@OVER_EITHER
async def test_so_does_the_one_that_is_given_while_the_listener_stops(tls: bool) -> None:
    waiting = asyncio.Event()

    async def wait(_: Ask) -> Answer | None:
        await waiting.wait()
        return None

    def ask(port: int) -> bytes:
        with connected(port, LOOPBACK if tls else None) as client:
            client.sendall(GRANTED)
            return read_late(client)

    async with gateway(settings_of(tls=tls)) as running:
        running.permission.says = wait
        asking = asyncio.create_task(asyncio.to_thread(ask, running.port))
        await running.answering(1)
        stopping = asyncio.create_task(running.listener.stop(PATIENCE_SECONDS))
        await asyncio.sleep(0)
        waiting.set()
        found, length, declared = status_and_body(await asking)
        await stopping
    assert (found, length) == (201, declared)


@asynccontextmanager
async def remembering(*, tls: bool) -> AsyncIterator[Gateway]:
    """A gateway that answers the other node at once, because it remembers it and its own has the lease."""
    async with gateway(settings_of(tls=tls)) as running:
        for raw in (GRANTED, REFUSED):
            async with dialled(running.port, tls=tls) as (reader, writer):
                writer.write(raw)
                await read_reply(reader)
        running.seen.clear()
        await until("the connections have ended", lambda: running.listener.open_connections == 0)
        yield running


async def answered(running: Gateway, *, at_once: bool) -> None:
    """Wait until a request is answered, and no step longer if something is to happen at once."""
    while at_once and not running.seen:  # noqa: ASYNC110 - a step at a time
        await asyncio.sleep(0)
    if not at_once:
        await until("it is answered", lambda: running.seen)


@OVER_EITHER
@AT_BOTH_MOMENTS
@pytest.mark.parametrize(("status", "raw"), [(201, GRANTED), (409, REFUSED)], ids=["by aiohttp", "at once"])
async def test_a_client_that_has_its_answer_gets_the_end_when_the_listener_stops(
    status: int, raw: bytes, at_once: bool, tls: bool
) -> None:
    def ask(port: int) -> bytes:
        with connected(port, LOOPBACK if tls else None) as client:
            client.sendall(raw)
            return read_late(client)

    async with remembering(tls=tls) as running:
        asking = asyncio.create_task(asyncio.to_thread(ask, running.port))
        await answered(running, at_once=at_once)
        await running.listener.stop(0.5)
        found, length, declared = status_and_body(await asking)
    assert (found, length) == (status, declared)


@OVER_EITHER
@AT_BOTH_MOMENTS
@pytest.mark.parametrize(("status", "raw"), [(201, GRANTED), (409, REFUSED)], ids=["by aiohttp", "at once"])
async def test_a_client_that_gives_way_with_a_request_unread_gets_the_answer_before_it(
    status: int, raw: bytes, at_once: bool, tls: bool
) -> None:
    async with remembering(tls=tls) as running, AsyncExitStack() as stack:
        connecting = connected(running.port, LOOPBACK if tls else None)
        client = await asyncio.to_thread(stack.enter_context, connecting)
        client.sendall(raw)
        await answered(running, at_once=at_once)
        client.sendall(raw)
        connections = running.listener._connections  # noqa: SLF001 - the limit is reached at no certain moment
        assert connections is not None
        connections.give_up(1)
        found, length, declared = status_and_body(await asyncio.to_thread(read_all, client))
    assert (found, length) == (status, declared)


@OVER_EITHER
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n9\r\nhal",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal",
    ],
    ids=["in chunks", "of a length"],
)
async def test_half_an_answer_is_no_whole_one_even_where_the_end_of_the_connection_ends_it(
    answer: bytes, tls: bool
) -> None:
    """As for HTTP/1.0, which a proxy may speak."""

    def ask(port: int) -> bytes:
        with connected(port, LOOPBACK if tls else None) as client:
            client.sendall(b"GET /x HTTP/1.0\r\nHost: h\r\n\r\n")
            return read_all(client)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, gateway(settings_of(tls=tls), agbot=AgbotSettings(secure_api=url)) as running:
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
            await asyncio.to_thread(ask, running.port)


async def test_who_sends_without_end_after_the_last_answer_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "LINGER_BYTES", 100_000)

    def send(port: int) -> int:
        sent = 0
        with connected(port) as client:
            client.sendall(b"nonsense\r\n\r\n")
            try:
                while True:
                    sent += client.send(b"x" * 65_536)
            except ConnectionError:
                return sent

    async with gateway() as running:
        with in_time(1.0, slack_seconds=4.0):
            sent = await asyncio.to_thread(send, running.port)
    assert sent < 16_000_000, "what is sent beyond the limit stays in the buffers of the two kernels"
