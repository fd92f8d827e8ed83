"""No one takes the room of everybody else: not by slow bodies, not by credentials that are made up, not by connections."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from agbot.settings.model import AgbotSettings, GatewaySettings
from tests.integration.gateway.scripted import (
    LOOPBACK,
    Gateway,
    Got,
    StandIn,
    gateway,
    read_reply,
    request,
    settings_of,
)
from tests.support.patience import in_time

N1, N2 = "/org/o1/hagroup/g1/nodemanagement/n1/p1", "/org/o1/hagroup/g1/nodemanagement/n2/p1"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SLOW = b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nx"
ATTACKER, OTHER = "127.0.0.2", "127.0.0.3"


async def dial(
    running: Gateway, address: str, raw: bytes, *, tls: bool = False
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect from an address, and send."""
    context = ssl.create_default_context(cafile=str(LOOPBACK)) if tls else None
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port, local_addr=(address, 0), ssl=context)
    writer.write(raw)
    return reader, writer


async def got(running: Gateway, address: str, raw: bytes, *, tls: bool = False) -> Got:
    reader, writer = await dial(running, address, raw, tls=tls)
    try:
        return await read_reply(reader)
    finally:
        writer.close()


@asynccontextmanager
async def many(running: Gateway, number: int, raw: bytes, *, tls: bool = False) -> AsyncIterator[None]:
    """As many connections that have sent this and wait."""
    async with AsyncExitStack() as stack:
        for _ in range(number):
            _, writer = await dial(running, ATTACKER, raw, tls=tls)
            stack.callback(writer.close)
        await asyncio.sleep(0.1)
        yield


@asynccontextmanager
async def passing(*, tls: bool = False) -> AsyncIterator[Gateway]:
    stand_in = StandIn(lambda _head, _body: OK)
    await stand_in.start()
    async with gateway(settings_of(tls=tls, max_open=40), agbot=AgbotSettings(secure_api=stand_in.url)) as running:
        yield running
    await stand_in.stop()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_slow_bodies_of_one_client_leave_room_for_others(tls: bool) -> None:
    async with passing(tls=tls) as running, many(running, 60, SLOW, tls=tls):
        assert (await got(running, OTHER, request("GET", "/x", None), tls=tls)).status == 200
        assert (await got(running, ATTACKER, request("GET", "/x", None), tls=tls)).status == 503


async def test_behind_one_address_they_leave_room_for_whoever_names_himself() -> None:
    async with passing() as running, many(running, 60, SLOW):
        assert (await got(running, ATTACKER, request("GET", "/x", "o1/admin:adminpw"))).status == 200


async def test_neither_do_they_touch_questions() -> None:
    async with passing() as running, many(running, 60, SLOW):
        assert (await got(running, ATTACKER, request("POST", N1, "o1/n1:n1tok"))).status == 201


async def test_made_up_credentials_leave_room_for_other_addresses() -> None:
    async with gateway(GatewaySettings(max_open=20)) as running:
        running.exchange.seconds = 2.0
        async with AsyncExitStack() as stack:
            for one in range(40):
                await stack.enter_async_context(many_of(running, f"o1/n1:made-up-{one}"))
            running.exchange.seconds = 0.0
            assert (await got(running, OTHER, request("POST", N2, "o1/n2:n2tok"))).status in {201, 409}
            assert b"busy" in (await got(running, ATTACKER, request("POST", N1, "o1/n1:one-more"))).body


async def test_a_known_node_is_answered_where_strangers_have_taken_all_room() -> None:
    async with gateway(GatewaySettings(max_open=20)) as running:
        assert (await got(running, ATTACKER, request("POST", N1, "o1/n1:n1tok"))).status == 201
        running.exchange.seconds = 2.0
        async with AsyncExitStack() as stack:
            for one in range(40):
                await stack.enter_async_context(many_of(running, f"o1/n1:made-up-{one}"))
            running.exchange.seconds = 0.0
            again = await got(running, ATTACKER, request("POST", N1, "o1/n1:n1tok"))
            assert (again.status, b"busy" in again.body) == (201, False)


async def test_reads_for_strangers_leave_slots_for_nodes_that_are_known() -> None:
    async with gateway() as running:
        assert (await got(running, OTHER, request("POST", N1, "o1/n1:n1tok"))).status == 201
        running.exchange.seconds = 2.0
        async with AsyncExitStack() as stack:
            for one in range(60):
                await stack.enter_async_context(many_of(running, f"o1/n1:made-up-{one}"))
            running.exchange.seconds = 0.0
            with in_time(0.0):
                assert (await got(running, OTHER, request("POST", N1, "o1/n1:n1tok"))).status == 201


async def test_whoever_has_the_most_connections_gives_them_up_first() -> None:
    async with gateway(GatewaySettings(max_open=10)) as running:
        quiet, writer = await dial(running, OTHER, b"")
        async with many(running, 40, b""):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await quiet.read()  # the older one, but alone
        writer.close()


async def test_handshakes_that_never_end_leave_room_for_others() -> None:
    settings = GatewaySettings(max_open=10, certificate_file=LOOPBACK, key_file=LOOPBACK)
    context = ssl.create_default_context(cafile=str(LOOPBACK))
    async with gateway(settings) as running, many(running, 60, b""):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", running.port, ssl=context, local_addr=(OTHER, 0), server_hostname="127.0.0.1"
        )
        writer.write(request("POST", N1, "o1/n1:n1tok"))
        assert (await read_reply(reader)).status == 201
        hung_up, refused = await dial(running, ATTACKER, b"")
        assert await hung_up.read() == b""
        refused.close()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def many_of(running: Gateway, identity: str) -> AsyncIterator[None]:
    """One connection that has asked in this name and waits."""
    _, writer = await dial(running, ATTACKER, request("POST", N1, identity))
    await asyncio.sleep(0.005)
    try:
        yield
    finally:
        writer.close()
