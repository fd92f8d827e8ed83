"""Why there was no connection, in an operator's words."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import psycopg
import pytest

from agbot.foreign_text import unanswered, unreached
from agbot.store.postgres.address import Address
from tests.acceptance.programs import free_port


async def failed(url: str) -> str:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError) as found:
            await session.get(url)
    return unreached(found.value)


async def test_nothing_of_a_library_is_in_the_cause() -> None:
    port = free_port()
    assert await failed(f"https://127.0.0.1:{port}/") == f"no connection to 127.0.0.1:{port}: connection refused"
    assert await failed(f"http://localhost:{port}/") == f"no connection to localhost:{port}: connection refused"
    assert await failed("http://nowhere.invalid:9/") == (
        "no connection to nowhere.invalid:9: the name of the host is not known"
    )
    assert not unreached(ValueError("no HTTP"))


async def test_a_program_without_tls_is_asked_for_by_its_scheme() -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert "does it speak plain HTTP (http://)?" in await failed(f"https://127.0.0.1:{port}/")


async def test_an_answer_that_is_not_http_is_not_quoted(tmp_path: Path) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(1000))
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(echo, tmp_path / "echo")
    connector = aiohttp.UnixConnector(str(tmp_path / "echo"))
    async with server, aiohttp.ClientSession(connector=connector, headers={"Authorization": "secret"}) as session:
        with pytest.raises(aiohttp.ClientError) as found:
            await session.get("http://localhost/")
    assert unanswered(found.value) == "the answer is not HTTP"
    assert unanswered(ValueError("it has two bodies")) == "it has two bodies"
    assert unanswered(TimeoutError()) == "TimeoutError"


def test_what_libpq_asks_is_left_out(tmp_path: Path) -> None:
    for place in ("127.0.0.1:1/agbot", f"/agbot?host={tmp_path}"):
        address = Address(url=f"postgresql://me@{place}")
        with pytest.raises(psycopg.OperationalError) as found:
            psycopg.connect(address.url, connect_timeout=2)
        text = str(address.unavailable("open", found.value))
        assert "Is the server" not in text
        assert ": connection failed:" not in text
        assert text.endswith("look whether the server runs and can be reached from here")
