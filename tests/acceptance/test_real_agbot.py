"""The real agbot behind the gateway: whatever becomes of it touches the routes that are its own, and no question."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from tests.acceptance.hub import Hub
from tests.acceptance.programs import free_port
from tests.acceptance.site import Site, ask, granted, group_of_three
from tests.support.patience import until

SECRETS_ROUTE = "/org/o1/secrets/user/admin"


async def test_without_it_its_routes_say_so_and_questions_are_answered(hub: Hub, site: Site) -> None:
    port = free_port()
    site.tables["agbot"] = {"secure_api": f"http://127.0.0.1:{port}"}
    site.write()
    await group_of_three(hub)
    daemon = await site.start_ready()

    for _ in range(3):
        status, text = await send(site, "GET", "/health")
        assert status == HTTPStatus.BAD_GATEWAY
        assert "agbot" in text
    await granted(site, "anna")
    assert (await ask(site, "ben"))[0] == 409
    assert await site.shows("/readyz", HTTPStatus.OK), "it may grant as before"

    async with stand_in(port=port) as heads:
        assert await send(site, "LIST", SECRETS_ROUTE) == (HTTPStatus.OK, "well")
        assert await send(site, "POST", SECRETS_ROUTE, b'{"key":"k"}') == (HTTPStatus.OK, "well")
        await granted(site, "anna")
        requests = [head.split(b"\r\n")[0].decode() for head in heads]
        assert requests == [f"LIST {SECRETS_ROUTE} HTTP/1.1", f"POST {SECRETS_ROUTE} HTTP/1.1"], "no questions"
    await until("the recovery in the log", lambda: daemon.events("upstream.recovered"))
    assert len(daemon.events("upstream.failed")) == 1


async def test_while_it_hangs_questions_are_answered(hub: Hub, site: Site) -> None:
    port = free_port()
    site.tables["agbot"] = {"secure_api": f"http://127.0.0.1:{port}"}
    site.write()
    await group_of_three(hub)
    await site.start_ready()
    async with stand_in(port=port, hangs=True) as heads:
        hanging = [asyncio.create_task(send(site, "GET", "/health")) for _ in range(20)]
        await until("requests that hang", lambda: len(heads) == len(hanging))
        await granted(site, "anna")
        assert not any(task.done() for task in hanging)
    answers = await asyncio.gather(*hanging)
    assert {status for status, _ in answers} == {HTTPStatus.BAD_GATEWAY}, "it has died, and they are told"


@asynccontextmanager
async def stand_in(*, port: int, hangs: bool = False) -> AsyncIterator[list[bytes]]:
    """Be the real agbot for a while; give the heads of the requests that arrive."""
    heads: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        if not hangs:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwell")
            await writer.drain()
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", port):
        try:
            yield heads
        finally:
            for writer in writers:
                writer.close()


async def send(site: Site, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
    """Send what is to be passed on."""
    async with site.session.request(method, f"{site.gateway}{path}", data=body) as reply:
        return reply.status, await reply.text()
