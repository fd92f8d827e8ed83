"""Clients that neither take what they get nor go: in clear and over TLS, their connections end in time, and leave room for others."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from agbot.listening.connection import Connection
from agbot.listening.lingering import cut_off, tcp_of
from agbot.settings.model import AgbotSettings
from tests.integration.gateway.scripted import (
    LOOPBACK,
    Gateway,
    dialled,
    gateway,
    read_reply,
    request,
    send,
    settings_of,
)
from tests.support.patience import PATIENCE_SECONDS, in_time

N1 = "/org/o1/hagroup/g1/nodemanagement/n1/p1"
OVER_EITHER = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
SOON_SECONDS = 10.0
"""For what takes a second, and would take half a minute or forever."""


async def until(is_so: Callable[[], bool], slack_seconds: float = SOON_SECONDS) -> None:
    with in_time(0.0, slack_seconds=slack_seconds):
        while not is_so():  # noqa: ASYNC110 - a listener tells nobody what has changed
            await asyncio.sleep(0.01)


def deaf(port: int, *, tls: bool) -> socket.socket:
    """Connect, and read nothing of what comes: not even that the other side ends."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    made.settimeout(PATIENCE_SECONDS)
    made.connect(("127.0.0.1", port))
    return (
        ssl.create_default_context(cafile=str(LOOPBACK)).wrap_socket(made, server_hostname="127.0.0.1") if tls else made
    )


@asynccontextmanager
async def deaf_ones(running: Gateway, number: int, *, tls: bool) -> AsyncIterator[list[socket.socket]]:
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(number):
            found.append(await asyncio.to_thread(deaf, running.port, tls=tls))
            stack.callback(found[-1].close)
        yield found


def ask_forever(client: socket.socket) -> None:
    """Send requests until no one takes any more of them."""
    client.settimeout(0.3)
    try:
        while True:
            client.sendall(request("POST", N1, "o1/n1:n1tok") * 20)
    except OSError:
        return


@OVER_EITHER
async def test_whoever_asks_again_and_again_and_takes_no_answer_is_hung_up_on(tls: bool) -> None:
    async with gateway(settings_of(tls=tls, request_seconds=0.5)) as running, deaf_ones(running, 1, tls=tls) as (one,):
        await asyncio.to_thread(ask_forever, one)
        # first it answers the thousands of questions that the system has taken for it
        await until(lambda: running.listener.open_connections == 0, slack_seconds=PATIENCE_SECONDS)


@OVER_EITHER
async def test_whoever_has_got_his_answer_and_does_not_go_is_hung_up_on(tls: bool) -> None:
    async with gateway(settings_of(tls=tls, request_seconds=0.5)) as running, deaf_ones(running, 1, tls=tls) as (one,):
        await asyncio.to_thread(one.sendall, request("POST", N1, "o1/n1:n1tok", headers="Connection: close\r\n"))
        await until(lambda: len(running.seen) == 1)
        await until(lambda: running.listener.open_connections == 0)


@OVER_EITHER
async def test_connections_that_give_way_are_gone_at_once(tls: bool) -> None:
    """Over TLS the other side would be waited for, for half a minute, beyond every bound."""
    async with (
        gateway(settings_of(tls=tls, max_open=2, request_seconds=60)) as running,
        deaf_ones(running, 12, tls=tls),
        dialled(running.port, tls=tls) as (reader, writer),
    ):
        writer.write(request("POST", N1, "o1/n1:n1tok"))
        assert (await read_reply(reader)).status == 201
        assert running.listener.open_connections <= 4


async def test_those_that_only_have_to_end_give_way_before_whoever_has_just_come() -> None:
    """Over TLS: in clear no one is waited for who has got all."""
    async with (
        gateway(settings_of(tls=True, max_open=2, request_seconds=60)) as running,
        deaf_ones(running, 4, tls=True) as attackers,
    ):
        for each in attackers:
            await asyncio.to_thread(each.sendall, request("POST", N1, "o1/n1:n1tok", headers="Connection: close\r\n"))
        await until(lambda: len(running.seen) == len(attackers))
        for _ in range(8):
            async with dialled(running.port, tls=True) as (reader, writer):
                await asyncio.sleep(0.05)  # to be hung up on before it asks, if that were so
                writer.write(request("POST", N1, "o1/n1:n1tok"))
                assert (await read_reply(reader)).status == 201


@asynccontextmanager
async def breaking_off(broken_off: asyncio.Event) -> AsyncIterator[str]:
    """A server in the place of the real agbot, whose answers break off."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n" + b"x" * 30_000)
        await writer.drain()
        writer.close()
        broken_off.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("gives_way", [False, True], ids=["in time", "to give way"])
async def test_whoever_does_not_take_half_an_answer_is_hung_up_on(gives_way: bool) -> None:
    """Over TLS, such a connection has been closed twice: by us, and by aiohttp."""
    failures, broken_off = list[object](), asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    settings = settings_of(tls=True, request_seconds=60.0 if gives_way else 0.5)
    async with (
        breaking_off(broken_off) as url,
        gateway(settings, agbot=AgbotSettings(secure_api=url)) as running,
        deaf_ones(running, 1, tls=True) as (one,),
    ):
        await asyncio.to_thread(one.sendall, request("GET", "/x"))
        await broken_off.wait()
        connections = running.listener._connections  # noqa: SLF001 - the limit is reached at no certain moment
        assert connections is not None
        if gives_way:
            (connection,) = (one for one in connections._all() if isinstance(one, Connection))  # noqa: SLF001 - see above
            await until(lambda: connection.is_idle)
            connections.give_up(1)
        await until(lambda: running.listener.open_connections == 0)
    assert not failures


async def test_an_answer_is_cut_off_also_at_the_moment_in_which_its_connection_is_lost() -> None:
    """Over TLS, the protocol of the connection hears of that one step of the event loop later."""
    loop, failures, done = asyncio.get_running_loop(), list[object](), asyncio.Event()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    async with gateway(settings_of(tls=True)) as running, dialled(running.port, tls=True) as (reader, writer):
        writer.write(request("POST", N1, "o1/n1:n1tok"))
        assert (await read_reply(reader)).status == 201
        connections = running.listener._connections  # noqa: SLF001 - the client cannot choose that moment
        assert connections is not None
        (connection,) = connections._all()  # noqa: SLF001 - see above
        assert isinstance(connection, Connection)
        wire = connection.transport
        assert wire is not None
        tcp_of(wire).abort()
        loop.call_soon(cut_off, wire)
        loop.call_soon(done.set)
        await done.wait()
        await until(lambda: running.listener.open_connections == 0)
    assert not failures


async def test_a_handshake_byte_by_byte_ends_in_time() -> None:
    """What makes a TLS client begin is one record of some hundred bytes."""
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
    async with gateway(settings_of(tls=True, request_seconds=0.5)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        closing = asyncio.ensure_future(reader.read())
        with in_time(0.5, slack_seconds=SOON_SECONDS):
            for one in hello:
                writer.write(bytes([one]))
                if (await asyncio.wait([closing], timeout=0.05))[0]:
                    break
        assert closing.done()
        writer.close()


async def test_a_connection_in_clear_text_that_has_ended_is_freed_without_the_garbage_collector() -> None:
    def ended(port: int) -> list[object]:
        found = [each for each in gc.get_objects() if type(each).__name__ == "_SelectorSocketTransport"]
        transports = [each for each in found if each.is_closing()]
        return [each for each in transports if (each.get_extra_info("sockname") or (None, 0))[1] == port]

    async with gateway(settings_of(tls=False)) as running:
        gc.disable()
        try:
            for _ in range(3):
                await send(running.port, request("POST", N1, "o1/n1:n1tok"))
            await until(lambda: not ended(running.port))
        finally:
            gc.enable()
