"""An upstream that answers before it has read the whole request: its own answer reaches the client, whatever it does to the connection."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from agbot.gateway import passthrough
from agbot.settings.model import AgbotSettings, GatewaySettings
from tests.integration.gateway.scripted import LOOPBACK, Got, dialled, gateway, read_reply, request, settings_of
from tests.support.examples import some
from tests.support.patience import allowed_seconds, in_time

TRIES = 8
"""Before, two to four of five were lost."""
BODY = b"x" * 4_000_000
REFUSED = b'HTTP/1.1 401 Unauthorized\r\nContent-Length: 13\r\nX-Own: 1\r\n\r\n"not you, no"'
UNTIL_CLOSED = b'HTTP/1.1 413 Too Large\r\nConnection: close\r\n\r\n"not you, no"'
CHUNKED_BODY = b"".join(b"%x\r\n%s\r\n" % (40_000, b"x" * 40_000) for _ in range(100)) + b"0\r\n\r\n"

Leave = Callable[[asyncio.StreamWriter], None]


def close(writer: asyncio.StreamWriter) -> None:
    writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with RST: whatever is not sent yet is lost, so it waits for the buffer."""
    found = writer.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def close_half(writer: asyncio.StreamWriter) -> None:
    if writer.can_write_eof():
        writer.write_eof()


def stay(_: asyncio.StreamWriter) -> None:
    """Neither read nor close."""


@asynccontextmanager
async def upstream(answer: bytes, leave: Leave, *, read_bytes: int = 0, tls: bool = False) -> AsyncIterator[str]:
    """A server that answers after the head and so much of the body, and then leaves."""
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(LOOPBACK)
    open_ones: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(read_bytes)
        writer.write(answer)
        await writer.drain()
        leave(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, limit=65_536)
    scheme = "https" if tls else "http"
    try:
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in open_ones:
            writer.transport.abort()


async def passed(url: str, raw: bytes, *, upstream_seconds: float = 60.0, tls: bool = False) -> list[Got]:
    """Send a request several times, each on a connection of its own, all at once sent and then the answer read."""
    settings = AgbotSettings(secure_api=url, secure_api_ca_file=LOOPBACK)
    got = []
    async with gateway(settings_of(tls=tls), agbot=settings, upstream_seconds=upstream_seconds) as running:
        for _ in range(TRIES):
            async with dialled(running.port, tls=tls) as (reader, writer):
                writer.write(raw)
                got.append(await read_reply(reader))
    return got


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("leave", some([close, reset, close_half, stay], every=2))
@pytest.mark.parametrize("read_bytes", [0, 50_000])
async def test_an_answer_before_the_end_of_the_body_is_kept(tls: bool, leave: Leave, read_bytes: int) -> None:
    async with upstream(REFUSED, leave, read_bytes=read_bytes, tls=tls) as url:
        got = await passed(url, request("PUT", "/x", None, BODY))
    assert {(one.status, one.body, one.header("X-Own")) for one in got} == {(401, b'"not you, no"', "1")}


@pytest.mark.parametrize("leave", [close, reset, stay])
async def test_so_is_one_to_a_client_that_speaks_tls(leave: Leave) -> None:
    async with upstream(REFUSED, leave) as url:
        got = await passed(url, request("PUT", "/x", None, BODY), tls=True)
    assert {(one.status, one.body) for one in got} == {(401, b'"not you, no"')}


@pytest.mark.parametrize("leave", [close, close_half])
async def test_so_is_one_that_ends_with_the_connection(leave: Leave) -> None:
    async with upstream(UNTIL_CLOSED, leave) as url:
        got = await passed(url, request("PUT", "/x", None, BODY))
    assert {(one.status, one.body) for one in got} == {(413, b'"not you, no"')}


@pytest.mark.parametrize("leave", [close, reset, stay])
async def test_so_is_one_to_a_body_in_chunks(leave: Leave) -> None:
    head = b"PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with upstream(REFUSED, leave) as url:
        got = await passed(url, head + CHUNKED_BODY)
    assert {(one.status, one.body) for one in got} == {(401, b'"not you, no"')}


async def test_an_upstream_that_says_continue_first_is_received_to_the_end() -> None:
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + REFUSED
    async with upstream(answer, close) as url:
        got = await passed(url, request("PUT", "/x", None, BODY))
    assert {(one.status, one.body) for one in got} == {(401, b'"not you, no"')}


async def test_whoever_expects_continue_gets_the_early_answer_behind_it() -> None:
    head, _, body = request("PUT", "/x", None, BODY, headers="Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    async with (
        upstream(REFUSED, close) as url,
        gateway(agbot=AgbotSettings(secure_api=url)) as running,
        dialled(running.port) as (reader, writer),
    ):
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await read_reply(reader)).status == 401


@pytest.mark.parametrize("leave", [close, reset])
async def test_no_answer_at_all_is_502(leave: Leave) -> None:
    async with upstream(b"", leave) as url:
        got = await passed(url, request("PUT", "/x", None, BODY))
    assert {one.status for one in got} == {502}


async def test_half_an_answer_is_not_taken_for_a_whole_one() -> None:
    async with upstream(REFUSED[:-5], reset) as url:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await passed(url, request("PUT", "/x", None, BODY))


async def test_an_upstream_that_neither_reads_nor_answers_is_504_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passthrough, "CONNECT_SECONDS", 0.2)
    settings = GatewaySettings(request_seconds=allowed_seconds(0.5))
    async with (
        upstream(b"", stay) as url,
        gateway(settings, agbot=AgbotSettings(secure_api=url), upstream_seconds=0.2) as running,
        dialled(running.port) as (reader, writer),
    ):
        writer.write(request("PUT", "/x", None, BODY))
        assert (await read_reply(reader)).status == 504


async def test_a_client_that_does_not_take_its_answer_gives_up_its_place() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 50_000_000
    async with (
        upstream(answer, stay) as url,
        gateway(GatewaySettings(request_seconds=0.3), agbot=AgbotSettings(secure_api=url)) as running,
        dialled(running.port) as (_, writer),
    ):
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # the stub does not know that it is one of reading too
        writer.write(request("GET", "/x", None))
        await running.answering(1)
        with in_time(0.3, slack_seconds=4.0):
            await running.answering(0)


async def test_a_client_that_is_still_sending_gets_the_answer_and_then_the_end() -> None:
    head, _, body = request("PUT", "/x", None, BODY).partition(b"\r\n\r\n")
    async with (
        upstream(REFUSED, close) as url,
        gateway(agbot=AgbotSettings(secure_api=url)) as running,
        dialled(running.port) as (reader, writer),
    ):
        writer.write(head + b"\r\n\r\n" + body[:100_000])
        got = await read_reply(reader)
        assert (got.status, got.header("Connection")) == (401, "close")
        writer.write(body[100_000:])
        await writer.drain()
        assert await reader.read() == b""
