"""The real agbot, or whoever answers in its place, begins and does not end: places are given back, and no one waits for it forever."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from structlog.testing import capture_logs

from agbot.gateway import passthrough
from agbot.gateway.patient_socket import PatientSocket
from agbot.listening.reads import READ_BYTES
from agbot.settings.model import AgbotSettings, GatewaySettings
from tests.integration.gateway.scripted import dialled, gateway, read_reply, request
from tests.support.patience import allowed_seconds

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
INTERIM = b"HTTP/1.1 102 Processing\r\n\r\n"


@asynccontextmanager
async def trickling(first: bytes, again: bytes) -> AsyncIterator[str]:
    """A server that sends this, and then that again and again."""
    open_ones: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(again)
                await writer.drain()
                await asyncio.sleep(0.01)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for each in open_ones:
            each.transport.abort()


async def test_interim_answers_without_an_end_are_504_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passthrough, "CONNECT_SECONDS", 0.2)
    settings = GatewaySettings(request_seconds=allowed_seconds(0.2))
    async with (
        trickling(INTERIM, INTERIM) as url,
        gateway(settings, agbot=AgbotSettings(secure_api=url), upstream_seconds=0.4) as running,
    ):
        assert (await running.ask("/x", None, "GET")).status == 504
        await running.answering(0)


@pytest.mark.parametrize("body", ["of a length", "until the end"])
async def test_an_answer_that_does_not_end_is_broken_off_and_stated(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passthrough, "ANSWER_SECONDS", 0.3)
    head = HEAD if body == "of a length" else b"HTTP/1.1 200 OK\r\n\r\n"
    with capture_logs() as logged:
        async with (
            trickling(head, b"x") as url,
            gateway(agbot=AgbotSettings(secure_api=url)) as running,
            dialled(running.port) as (reader, writer),
        ):
            writer.write(request("GET", "/x", None))
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await read_reply(reader)
            await running.answering(0)
    assert [one["error"] for one in logged if one["event"] == "upstream.failed"] == [
        "an answer did not end within 0.3 s"
    ]


def test_one_read_of_the_agbot_takes_little_in_clear_and_over_tls() -> None:
    """What has been read is parsed in one go, for which everybody else waits."""
    ours, theirs = socket.socketpair()
    with PatientSocket(fileno=ours.detach()) as reading, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
        theirs.sendall(b"x" * 4 * READ_BYTES)
        buffer = bytearray(262_144)
        assert len(reading.recv(262_144)) == READ_BYTES
        assert reading.recv_into(memoryview(buffer)) == READ_BYTES
