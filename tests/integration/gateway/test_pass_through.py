"""Everything that is not ours reaches the real agbot and comes back as it was."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl

import pytest
from structlog.testing import capture_logs

from agbot.settings.model import AgbotSettings, GatewaySettings
from tests.integration.gateway.scripted import LOOPBACK, Got, StandIn, dialled, gateway, read_reply, request, send

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def started(reply: bytes | None = OK) -> StandIn:
    stand_in = StandIn(lambda _head, _body: reply)
    await stand_in.start()
    return stand_in


async def passed(reply: bytes, raw: bytes | None = None, method: str = "GET") -> tuple[StandIn, Got]:
    stand_in = await started(reply)
    try:
        async with gateway(agbot=AgbotSettings(secure_api=stand_in.url)) as running:
            return stand_in, await send(running.port, raw or request(method, "/x", None), method=method)
    finally:
        await stand_in.stop()


@pytest.mark.parametrize(
    "target",
    [
        "/x?a=b&c=%20&a=b",
        "/a/../b",
        "//x//y",
        "/a%2Fb%2f",
        "/~-._!$&'()*+,;=:@",
        "/%zz",
        "/é?ü",
        "/x?y?z",
        "/a\\b",
        "/x?http://h/",
    ],
)
async def test_the_target_arrives_as_it_was_written(target: str) -> None:
    stand_in, _ = await passed(OK, request("GET", target, None))
    assert stand_in.heads[0].split(b"\r\n")[0] == f"GET {target} HTTP/1.1".encode()


async def test_the_absolute_form_arrives_in_origin_form() -> None:
    stand_in, _ = await passed(OK, request("GET", "http://elsewhere/x?y", None))
    assert stand_in.heads[0].startswith(b"GET /x?y HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{stand_in.port}\r\n".encode() in stand_in.heads[0]


async def test_a_base_path_of_the_upstream_stands_before_the_target() -> None:
    stand_in = await started()
    async with gateway(agbot=AgbotSettings(secure_api=f"{stand_in.url}/agbot/")) as running:
        await running.ask("/x", None, "GET")
    await stand_in.stop()
    assert stand_in.heads[0].startswith(b"GET /agbot/x HTTP/1.1\r\n")


@pytest.mark.parametrize("method", ["LIST", "GET", "PUT", "PATCH", "OPTIONS", "PURGE", "M-SEARCH"])
async def test_any_method_is_carried(method: str) -> None:
    stand_in, _ = await passed(OK, method=method)
    assert stand_in.heads[0].startswith(f"{method} /x ".encode())


async def test_headers_go_there_in_order_spelling_and_number_without_what_belongs_to_the_connection() -> None:
    raw = (
        b"GET /x HTTP/1.1\r\nHOST: h\r\nx-b: 1\r\nX-A: 2\r\nx-b: 3\r\nConnection: keep-alive, X-Drop\r\nX-Drop: 1\r\nKeep-Alive: 5\r\n"
        b"TE: trailers\r\nUpgrade: websocket\r\nProxy-Authorization: x\r\nAuthorization: Bearer t\r\nCookie: a=b; c=\r\n\r\n"
    )
    stand_in, _ = await passed(OK, raw)
    lines = stand_in.heads[0].decode().split("\r\n")[1:-2]
    assert [line for line in lines if not line.startswith(("Host:", "Connection:"))] == [
        "x-b: 1",
        "X-A: 2",
        "x-b: 3",
        "Authorization: Bearer t",
        "Cookie: a=b; c=",
    ]


async def test_headers_come_back_in_order_spelling_and_number_and_none_is_added() -> None:
    reply = (
        b"HTTP/1.1 299 Very Well\r\nx-b: 1\r\nSet-Cookie: a=b\r\nX-A: \xc3\xa9\r\nset-cookie: c=d\r\nConnection: X-Drop\r\nX-Drop: 1\r\n"
        b"Content-Length: 2\r\n\r\nok"
    )
    stand_in = await started(reply)
    async with gateway(agbot=AgbotSettings(secure_api=stand_in.url)) as running:
        got = await running.ask("/x", None, "GET")
    await stand_in.stop()
    assert got.status_line == "HTTP/1.1 299 Very Well"
    assert got.headers == [
        ("x-b", "1"),
        ("Set-Cookie", "a=b"),
        ("X-A", "é"),
        ("set-cookie", "c=d"),
        ("Content-Length", "2"),
    ]


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_stays_without_one(status: int) -> None:
    _, got = await passed(f"HTTP/1.1 {status} X\r\nETag: 1\r\n\r\n".encode())
    assert (got.status, got.headers) == (status, [("ETag", "1")])


async def test_head_keeps_the_length_of_the_body_that_is_not_there() -> None:
    _, got = await passed(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", method="HEAD")
    assert got.headers == [("Content-Length", "7")]


async def test_an_informational_reply_before_the_answer_does_no_harm() -> None:
    _, got = await passed(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK)
    assert (got.status, got.body) == (200, b"ok")


async def test_a_compressed_body_is_not_touched() -> None:
    body = gzip.compress(b"hello" * 100)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    sent = request("POST", "/x", None, body, headers="Content-Encoding: gzip\r\n")
    stand_in, got = await passed(head + body, sent, method="POST")
    assert (got.body, stand_in.bodies) == (body, [body])


async def test_a_redirect_is_handed_on_and_not_followed() -> None:
    stand_in, got = await passed(b"HTTP/1.1 307 T\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n")
    assert (got.status, got.header("location"), len(stand_in.heads)) == (307, "/y", 1)


async def test_chunks_are_streamed_both_ways() -> None:
    raw = b"PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nfgh\r\n1\r\ni\r\n0\r\n\r\n"
    stand_in, got = await passed(reply, raw, method="PUT")
    assert (stand_in.bodies, got.body) == ([b"abcde"], b"fghi")


async def test_an_answer_is_handed_on_while_it_is_still_coming() -> None:
    written = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        await written.wait()
        writer.write(b"cd")
        writer.close()

    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with gateway(agbot=AgbotSettings(secure_api=url)) as running, dialled(running.port) as (reader, writer):
        writer.write(request("GET", "/x", None))
        await reader.readuntil(b"\r\n\r\nab")
        written.set()
        assert await reader.readexactly(2) == b"cd"
    server.close()


async def test_ten_megabytes_pass_both_ways() -> None:
    body = bytes(range(256)) * 40_000
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    stand_in, got = await passed(head + body, request("PUT", "/x", None, body), method="PUT")
    assert stand_in.bodies == [body]
    assert got.body == body


async def test_expect_100_continue_is_answered_before_the_body_is_sent() -> None:
    stand_in = await started()
    async with (
        gateway(agbot=AgbotSettings(secure_api=stand_in.url)) as running,
        dialled(running.port) as (reader, writer),
    ):
        writer.write(b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert (await read_reply(reader)).status == 200
    await stand_in.stop()
    assert stand_in.bodies == [b"hi"]
    assert b"expect" not in stand_in.heads[0].lower()


@pytest.mark.parametrize(
    ("raw", "is_seen"),
    [
        (b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n", False),
        (
            b"PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n",
            True,
        ),
    ],
)
async def test_a_body_over_the_limit_is_413(raw: bytes, is_seen: bool) -> None:
    stand_in = await started()
    async with gateway(GatewaySettings(max_body_bytes=100), agbot=AgbotSettings(secure_api=stand_in.url)) as running:
        got = await send(running.port, raw)
    await stand_in.stop()
    assert (got.status, json.loads(got.body)["code"]) == (413, "413")
    assert stand_in.bodies == []


async def test_a_broken_chunk_is_400() -> None:
    stand_in = await started()
    async with gateway(agbot=AgbotSettings(secure_api=stand_in.url)) as running:
        got = await send(running.port, b"PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    await stand_in.stop()
    assert got.status == 400


async def test_a_body_that_stops_coming_is_400_in_time() -> None:
    stand_in = await started()
    async with gateway(GatewaySettings(request_seconds=0.3), agbot=AgbotSettings(secure_api=stand_in.url)) as running:
        got = await send(running.port, b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab")
    await stand_in.stop()
    assert (got.status, b"in time" in got.body) == (400, True)


async def test_no_upstream_is_502_that_says_so() -> None:
    async with gateway() as running:
        got = await running.ask("/x", None, "GET")
    assert (got.status, json.loads(got.body)) == (502, "No agbot is configured for this route ([agbot] secure_api).")


async def test_an_upstream_that_is_down_is_502_and_stated_once_until_it_is_back() -> None:
    stand_in = await started()
    await stand_in.stop()
    with capture_logs() as logged:
        async with gateway(agbot=AgbotSettings(secure_api=stand_in.url)) as running:
            down = [await running.ask("/x", None, "GET") for _ in range(3)]
            server = await asyncio.start_server(stand_in._serve, "127.0.0.1", stand_in.port)  # noqa: SLF001 - at the same port again
            up = await running.ask("/x", None, "GET")
            server.close()
    assert {(one.status, json.loads(one.body)) for one in down} == {
        (502, "The agbot cannot be reached, or its answer is broken.")
    }
    assert up.status == 200
    assert [one["event"] for one in logged if one["event"].startswith("upstream")] == [
        "upstream.failed",
        "upstream.recovered",
    ]


async def test_an_upstream_that_says_nothing_is_504() -> None:
    stand_in = await started(None)
    async with gateway(agbot=AgbotSettings(secure_api=stand_in.url), upstream_seconds=0.2) as running:
        got = await running.ask("/x", None, "GET")
    await stand_in.stop()
    assert (got.status, json.loads(got.body)) == (504, "The agbot did not answer in time.")


@pytest.mark.parametrize(
    "reply", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"HTTP/1.1 2"]
)
async def test_an_upstream_that_breaks_off_before_its_answer_is_502(reply: bytes) -> None:
    stand_in, got = await passed(reply)
    assert got.status == 502
    assert len(stand_in.heads) == 1  # and is not asked twice


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
async def test_an_answer_that_breaks_off_is_broken_off_and_not_ended(reply: bytes) -> None:
    with pytest.raises(asyncio.IncompleteReadError):
        await passed(reply)


async def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    stand_in = await started(b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n" + b"x" * 20_000_000)
    with capture_logs() as logged:
        async with gateway(agbot=AgbotSettings(secure_api=stand_in.url)) as running:
            async with dialled(running.port) as (reader, writer):
                writer.write(request("GET", "/x", None))
                await reader.readexactly(100)
                writer.transport.abort()
            await running.answering(0)
    await stand_in.stop()
    assert [one["event"] for one in logged] == ["gateway.started", "gateway.stopped"]


async def test_tls_is_spoken_on_both_sides() -> None:
    inner = GatewaySettings(certificate_file=LOOPBACK, key_file=LOOPBACK)
    async with gateway(inner) as agbot:
        upstream = f"https://127.0.0.1:{agbot.port}"
        beside = AgbotSettings(secure_api=upstream, secure_api_ca_file=LOOPBACK)
        async with gateway(inner, agbot=beside) as running:
            context = ssl.create_default_context(cafile=str(LOOPBACK))
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port, ssl=context)
            writer.write(request("GET", "/x", None))
            got = await read_reply(reader)
            writer.close()
            await writer.wait_closed()
    # the inner gateway's words
    assert (got.status, b"No agbot is configured" in got.body) == (502, True)
    assert got.header("Strict-Transport-Security") == "max-age=63072000; includeSubDomains; preload"


async def test_an_upstream_whose_certificate_no_one_signed_is_502() -> None:
    async with gateway(GatewaySettings(certificate_file=LOOPBACK, key_file=LOOPBACK)) as agbot:
        upstream = f"https://127.0.0.1:{agbot.port}"
        async with gateway(agbot=AgbotSettings(secure_api=upstream)) as running:
            got = await running.ask("/x", None, "GET")
    assert (got.status, b"cannot be reached" in got.body) == (502, True)
