"""What the acceptor does with connections that it has accepted and not started."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
from aiohttp import web

from agbot.listening.acceptor import Acceptor
from agbot.listening.connection import Bounds, Connection
from agbot.listening.connections import Connections
from agbot.listening.descriptors import Descriptors
from tests.support.patience import PATIENCE_SECONDS, until

BOUNDS = Bounds(head_seconds=10.0, max_field_bytes=1024, max_connections=10)


async def _handle(_request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(status=204)


@pytest.mark.parametrize("host", ["::", ""], ids=["::", "every address"])
async def test_who_listens_everywhere_takes_clients_of_both_families(host: str) -> None:
    """An IPv4 client of a socket for both is counted by its IPv4 address, and not with all others."""
    connections = Connections(_handle, BOUNDS, refuse=lambda _error: web.Response(status=400))
    acceptor = Acceptor(connections, Descriptors(), backlog=10)
    await acceptor.start(host, 0)
    ports = {each.family: each.getsockname()[1] for each in acceptor._sockets}  # noqa: SLF001 - two of port 0 differ
    clients = [
        socket.create_connection((address, ports.get(family, acceptor.port)))
        for address, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6))
    ]
    await until("both are connected", lambda: connections.number == 2)

    assert set(connections._by_client) == {"127.0.0.1", "::/64"}  # noqa: SLF001 - nothing public shows the clients
    for each in clients:
        each.close()
    acceptor.close()
    await connections.shutdown(1.0)


async def test_a_connection_that_is_handed_over_while_the_listener_ends_is_closed() -> None:
    connections = Connections(
        _handle, BOUNDS, refuse=lambda _error: web.Response(status=400), at_once=lambda _data: None
    )
    acceptor = Acceptor(connections, Descriptors(), backlog=10)
    await acceptor.start("127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", acceptor.port)) as client:
        client.sendall(b"GET")
        while not acceptor._tasks:  # noqa: ASYNC110, SLF001 - nothing public shows a connection between the two
            await asyncio.sleep(0)
        acceptor.close()
        connections.pre_shutdown()
        await asyncio.sleep(0.01)
        client.settimeout(PATIENCE_SECONDS)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
    await connections.shutdown(1.0)


async def test_a_connection_for_which_no_transport_can_be_created_is_closed() -> None:
    def no_protocol(*_: object) -> Connection:
        raise OSError("no transport")

    connections = Connections(_handle, BOUNDS, refuse=lambda _error: web.Response(status=400))
    connections.new_connection = no_protocol  # type: ignore[method-assign]  # a failure that the kernel seldom causes
    acceptor = Acceptor(connections, Descriptors(), backlog=10)
    await acceptor.start("127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", acceptor.port)) as client:
        client.setblocking(False)  # noqa: FBT003 - the standard library's own form
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
    acceptor.close()
    await connections.shutdown(1.0)
