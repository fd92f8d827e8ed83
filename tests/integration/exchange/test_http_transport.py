"""The transport against raw sockets: every way in which an answer can be broken, and what must never leave or stay."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import traceback
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict, Unpack

import pytest

from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import Unreachable, Unreadable
from agbot.exchange.transport import MAX_THING_BYTES, HttpTransport, Observe, Reply
from tests.support.examples import some

TLS = Path(__file__).parents[2] / "support" / "tls"
SECRET = "very-private"
US = Credentials(identity="IBM/us", secret=SECRET)
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Options(TypedDict, total=False):
    """How the transport under test is made."""

    scheme: str
    ca_file: Path
    max_list_bytes: int
    max_held_bytes: int
    observe: Observe


class Listener:
    """A raw server: what it was sent, and where it listens."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.port = 0
        self.connections = 0
        self.asked = asyncio.Event()


@asynccontextmanager
async def listening(answer: bytes | None, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Listener]:
    """Answer every request with these bytes and close.

    None never answers, empty bytes close at once.
    """
    listener = Listener()
    closing = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.connections += 1
        listener.heads.append(await reader.readuntil(b"\r\n\r\n"))
        listener.asked.set()
        if answer is None:
            await closing.wait()
        elif answer:
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        closing.set()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def reaching(port: int, **options: Unpack[Options]) -> AsyncIterator[HttpTransport]:
    scheme = options.pop("scheme", "http")
    transport = HttpTransport(f"{scheme}://127.0.0.1:{port}/v1", **options)  # type: ignore[misc]  # the scheme has been taken out
    try:
        yield transport
    finally:
        await transport.close()


async def get(transport: HttpTransport, *, timeout_seconds: float = 5.0) -> Reply:
    return await transport.request("GET", "/orgs/o1/nodes", credentials=US, body=None, timeout_seconds=timeout_seconds)


def http(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body) if length is None else length}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def failure(answer: bytes | None, *, timeout_seconds: float = 5.0, **options: Unpack[Options]) -> Unreachable:
    """Return the error that an answer leads to."""
    async with listening(answer) as listener, reaching(listener.port, **options) as transport:
        with pytest.raises(Unreachable) as caught:
            await get(transport, timeout_seconds=timeout_seconds)
    assert str(caught.value).startswith("GET /orgs/o1/nodes: ")
    assert caught.value.__cause__ is not None
    return caught.value


async def test_a_whole_answer_arrives_as_it_is_whatever_its_status() -> None:
    async with (
        listening(http(b"<html>", "Date: Mon, 23 Nov 2026 12:00:00 GMT", status="418 Teapot")) as server,
        reaching(server.port) as transport,
    ):
        reply = await get(transport)

    assert (reply.status, reply.body, reply.header("date")) == (418, b"<html>", "Mon, 23 Nov 2026 12:00:00 GMT")
    assert reply.header("missing") == ""


async def test_a_request_carries_the_path_as_encoded_the_credentials_and_the_body() -> None:
    async with listening(http(b"{}")) as listener, reaching(listener.port) as transport:
        path = "/orgs/o1/nodes/a%2Fb%40c%25/%2E%2E"
        await transport.request("POST", path, credentials=US, body=b"{}", timeout_seconds=5)

    head = listener.heads[0].decode()
    assert head.startswith(f"POST /v1{path} HTTP/1.1\r\n")
    assert f"Authorization: {US.basic()}\r\n" in head
    assert "Content-Type: application/json\r\n" in head


async def test_without_credentials_none_are_sent() -> None:
    async with listening(http(b"2.154.0")) as listener, reaching(listener.port) as transport:
        await transport.request("GET", "/admin/version", credentials=None, body=None, timeout_seconds=5)

    assert b"uthorization" not in listener.heads[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n",
        b"nonsense\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        http(b'{"nodes":', length=500),
        http(b"", "Transfer-Encoding: chunked", length=0),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
async def test_a_broken_answer_is_unreachable(answer: bytes) -> None:
    error = await failure(answer)

    assert error.what_next


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"",
        http(b"x", length=9),
        b"HTTP/1.1 200 OK\r\nX" + b"\x00" * 9 + b"\r\n\r\n",
        f"denied: {US.basic()} that is {SECRET}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\n{US.basic()} \r\n\r\n".encode(),
        f"HTTP/1.1 {''.join(f'&#{ord(letter)};' for letter in SECRET)}\r\n\r\n".encode(),
    ],
)
async def test_no_secret_is_in_the_error_of_a_broken_answer_nor_in_its_causes(answer: bytes) -> None:
    error = await failure(answer)

    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None:
        links.append(link)
        link = link.__cause__ or link.__context__
    shown = " ".join([*(f"{each} {each!r} {each.args!r}" for each in links), *traceback.format_exception(error)])
    assert SECRET not in shown
    assert US.basic().partition(" ")[2] not in shown


async def test_an_answer_that_never_comes_ends_with_the_time_given() -> None:
    error = await failure(None, timeout_seconds=0.05)

    assert "0.05 s" in str(error)


async def test_a_body_that_stops_half_way_ends_with_the_time_given() -> None:
    closing = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"nodes"')
        await closing.wait()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with reaching(server.sockets[0].getsockname()[1]) as transport:
        with pytest.raises(Unreachable):
            await get(transport, timeout_seconds=0.05)
    closing.set()
    server.close()
    await server.wait_closed()


async def test_no_one_listening_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused, and no one else can get it
        async with reaching(taken.getsockname()[1]) as transport:
            with pytest.raises(Unreachable):
                await get(transport)


async def test_a_host_that_does_not_exist_is_unreachable() -> None:
    transport = HttpTransport("http://exchange.invalid/v1")
    with pytest.raises(Unreachable):
        await get(transport)
    await transport.close()


async def test_a_redirect_is_not_followed_and_the_credentials_stay_here() -> None:
    async with listening(http(b"{}")) as elsewhere:
        target = f"Location: http://127.0.0.1:{elsewhere.port}/v1/orgs/o1/nodes"
        async with listening(http(b"", target, status="302 Found")) as listener, reaching(listener.port) as transport:
            reply = await get(transport)

    assert (reply.status, elsewhere.connections) == (302, 0)


async def test_cookies_are_not_kept() -> None:
    async with listening(http(b"{}", "Set-Cookie: route=1; Path=/")) as listener:
        # by name: no client keeps the cookies of a bare address
        transport = HttpTransport(f"http://localhost:{listener.port}/v1")
        await get(transport)
        await get(transport)
        await transport.close()

    assert b"ookie" not in listener.heads[1]


@pytest.mark.parametrize("is_emitted", [False, True])
async def test_a_reply_larger_than_the_bound_is_not_read_to_its_end(is_emitted: bool) -> None:
    body = b"x" * 5_000_000
    answer = http(body) if is_emitted else b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body
    async with listening(answer) as listener, reaching(listener.port, max_list_bytes=100_000) as transport:
        with pytest.raises(Unreadable, match="100000 bytes"):
            await get(transport)


@pytest.mark.parametrize("encoding", some(["gzip", "deflate", "br", "gzip, gzip", "nonsense"], every=2))
async def test_a_packed_reply_is_refused_and_not_unpacked(encoding: str) -> None:
    bomb = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
    async with listening(http(bomb, f"Content-Encoding: {encoding}")) as listener, reaching(listener.port) as transport:
        tracemalloc.start()
        try:
            with pytest.raises(Unreadable, match="compressed"):
                await get(transport)
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()
    assert b"Accept-Encoding: identity\r\n" in listener.heads[0]


async def test_one_node_may_take_less_room_than_a_list_of_all() -> None:
    async with listening(http(b"x" * (MAX_THING_BYTES + 1))) as listener, reaching(listener.port) as transport:
        assert len((await get(transport)).body) == MAX_THING_BYTES + 1
        with pytest.raises(Unreadable, match=f"{MAX_THING_BYTES} bytes"):
            await transport.request("GET", "/orgs/o1/nodes/n1", credentials=US, body=None, timeout_seconds=5.0)


async def test_all_answers_under_way_are_bounded_together_and_the_room_is_given_back() -> None:
    async with (
        listening(http(b"x" * 700_000)) as listener,
        reaching(listener.port, max_held_bytes=1_000_000) as transport,
    ):
        for _ in range(3):
            outcomes = await asyncio.gather(*(get(transport) for _ in range(4)), return_exceptions=True)
            assert any(isinstance(one, Unreadable) and "all open answers" in str(one) for one in outcomes)
        assert len((await get(transport)).body) == 700_000


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 100_000 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
    ],
    ids=["a long header", "many headers", "informational replies alone"],
)
async def test_a_head_without_measure_is_unreachable(answer: bytes) -> None:
    await failure(answer)


async def test_every_request_is_observed_with_its_outcome() -> None:
    seen: list[str] = []

    async with (
        listening(http(b"", status="404 Not Found")) as listener,
        reaching(listener.port, observe=seen.append) as transport,
    ):
        await get(transport)
    async with listening(b"") as listener, reaching(listener.port, observe=seen.append) as transport:
        with pytest.raises(Unreachable):
            await get(transport)
    async with listening(None) as listener, reaching(listener.port, observe=seen.append) as transport:
        with pytest.raises(Unreachable):
            await get(transport, timeout_seconds=0.05)
        listener.asked.clear()
        asking = asyncio.create_task(get(transport))
        await listener.asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    assert seen == ["404", "unreachable", "timeout", "cancelled"]


async def test_a_closed_transport_can_be_used_again() -> None:
    async with listening(http(b"{}")) as listener, reaching(listener.port) as transport:
        await get(transport)
        await transport.close()
        await transport.close()

        assert (await get(transport)).status == 200


@pytest.mark.parametrize(
    "url", ["", "exchange:8080", "ftp://host/v1", "http://u:p@host/v1", "http://host/v1?x=1", "http:///v1"]
)
def test_a_url_that_is_no_plain_base_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="must look like") as caught:
        HttpTransport(url)

    assert "u:p" not in str(caught.value)


@pytest.fixture
def certificate() -> tuple[Path, ssl.SSLContext]:
    """Return the made-up certificate for 127.0.0.1, which signs itself, and a server's context with it."""
    file = TLS / "certificate.pem"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, TLS / "key.pem")
    return file, context


async def test_tls_is_trusted_with_the_ca_file(certificate: tuple[Path, ssl.SSLContext]) -> None:
    file, context = certificate
    options: Options = {"scheme": "https", "ca_file": file}
    async with listening(http(b"{}"), tls=context) as listener, reaching(listener.port, **options) as transport:
        assert (await get(transport)).status == 200


async def test_tls_of_a_stranger_is_unreachable(certificate: tuple[Path, ssl.SSLContext]) -> None:
    _, context = certificate
    async with listening(http(b"{}"), tls=context) as listener, reaching(listener.port, scheme="https") as transport:
        with pytest.raises(Unreachable, match="certificate"):
            await get(transport)
    assert listener.heads == []


async def test_a_ca_file_that_cannot_be_used_is_named_and_may_be_put_right_later(
    certificate: tuple[Path, ssl.SSLContext], tmp_path: Path
) -> None:
    file, context = certificate
    later = tmp_path / "later.pem"
    options: Options = {"scheme": "https", "ca_file": later}
    async with listening(http(b"{}"), tls=context) as listener, reaching(listener.port, **options) as transport:
        with pytest.raises(Unreachable, match=r"later\.pem"):
            await get(transport)
        later.write_text(file.read_text())

        assert (await get(transport)).status == 200
