"""What one client may cost: heads, time, connections, requests; and how the listener ends."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from structlog.testing import capture_logs

from agbot.coordinator.permission import Answer
from agbot.listening import connection
from agbot.rules.facts import Ask
from agbot.settings.model import AgbotSettings, GatewaySettings
from tests.integration.gateway.scripted import StandIn, dialled, gateway, read_reply, request, send
from tests.support.patience import PATIENCE_SECONDS, in_time

N1, N2 = "/org/o1/hagroup/g1/nodemanagement/n1/p1", "/org/o1/hagroup/g1/nodemanagement/n2/p1"
CHUNKED = b"PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
GRANTED = b'{"code":"201","msg":"Node o1/n1 can start executing nmp p1."}\n'


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes; a reset is an end too."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


@pytest.mark.parametrize("start", [b"", b"POST /org/o1/ha", b"POST /x HTTP/1.1\r\nHost: h\r\nX-A: ", b"\r\n"])
async def test_a_request_whose_head_does_not_come_in_time_ends_its_connection(start: bytes) -> None:
    async with gateway(GatewaySettings(request_seconds=0.3)) as running, dialled(running.port) as (reader, writer):
        began_at = time.monotonic()
        with in_time(0.3, slack_seconds=4.0):
            writer.write(start)
            assert await ended(reader) == b""
        assert time.monotonic() - began_at > 0.2


async def test_a_trickle_does_not_prolong_the_time() -> None:
    async with gateway(GatewaySettings(request_seconds=0.4)) as running, dialled(running.port) as (reader, writer):
        closing = asyncio.ensure_future(ended(reader))
        with in_time(0.4, slack_seconds=4.0):
            writer.write(b"POST /x HTTP/1.1\r\n")
            while not closing.done():
                writer.write(b"X-A: b\r\n")
                await asyncio.wait([closing], timeout=0.05)


async def test_a_question_does_not_wait_for_a_body_that_never_comes() -> None:
    async with gateway() as running, dialled(running.port) as (reader, writer):
        writer.write(request("POST", N1, "o1/n1:n1tok").replace(b"Content-Length: 0", b"Content-Length: 1000"))
        assert (await read_reply(reader)).body == GRANTED
        assert await ended(reader) == b""


async def test_a_header_of_ten_kilobytes_is_taken() -> None:
    async with gateway() as running:
        got = await send(running.port, request("POST", N1, "o1/n1:n1tok", headers=f"X-Long: {'x' * 10_000}\r\n"))
    assert got.body == GRANTED


@pytest.mark.parametrize(
    "head",
    [
        b"POST /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST /" + b"x" * 20_000,
        b"POST /x HTTP/1.1\r\nHost: h\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: h\r\nX-Long: " + b"x" * 20_000,
        b"POST /x HTTP/1.1\r\nHost: h\r\n" + b"".join(b"X-%d: %s\r\n" % (one, b"x" * 16_000) for one in range(8)),
    ],
)
async def test_a_head_that_is_too_large_is_431(head: bytes) -> None:
    async with gateway() as running:
        got = await send(running.port, head)
    assert (got.status, json.loads(got.body)["code"]) == (431, "431")


async def test_too_many_headers_are_a_4xx() -> None:
    async with gateway() as running:
        got = await send(
            running.port, request("POST", N1, None, headers="".join(f"X-{one}: 1\r\n" for one in range(200)))
        )
    assert (got.status, json.loads(got.body)["code"]) == (400, "400")


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST /x\r\n\r\n",
        b"POST /x HTTP/9.9.9\r\n\r\n",
        b"POST /x HTTP/1.1\r\n\r\n",
        b"POST /a b HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST /x HTTP/1.1\nHost: h\n\n",
        b"POST /x HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: h\r\nBad Name: 1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: h\r\nX: \x00\r\n\r\n",
        b"POST nope HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST http://[x HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST http:///org/o1 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
async def test_what_is_not_http_gets_a_4xx_in_the_agbots_format_and_no_line_in_the_log(raw: bytes) -> None:
    with capture_logs() as logged:
        async with gateway() as running:
            got = await send(running.port, raw)
    assert 400 <= got.status < 500
    assert json.loads(got.body)["code"] == str(got.status)
    assert [one["event"] for one in logged] == ["gateway.started", "gateway.stopped"]


@pytest.mark.parametrize("target", [N1, "/org/o1/hagroup/g1/deployment/n1/o1%2Fdp1"])
async def test_a_question_in_chunks_is_400(target: str) -> None:
    raw = f"POST {target} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    async with gateway() as running:
        got = await send(running.port, raw.encode())
    assert (got.status, b"takes no chunked body" in got.body) == (400, True)
    assert running.exchange.reads == []


@pytest.mark.parametrize("chunk", [b"1\r\nx\r\n", b"1;" + b"e" * 500 + b"\r\nx\r\n"], ids=["tiny", "extended"])
async def test_a_body_that_is_mostly_framing_is_400(chunk: bytes) -> None:
    stand_in = StandIn(lambda _head, _body: None)
    await stand_in.start()
    async with gateway(agbot=AgbotSettings(secure_api=stand_in.url)) as running:
        got = await send(running.port, CHUNKED + chunk * 5_000)
    await stand_in.stop()
    assert (got.status, json.loads(got.body)["code"]) == (400, "400")


async def test_chunks_of_a_line_each_are_taken() -> None:
    stand_in = StandIn(lambda _head, _body: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await stand_in.start()
    async with gateway(agbot=AgbotSettings(secure_api=stand_in.url)) as running:
        got = await send(running.port, CHUNKED + (b"50\r\n" + b"x" * 80 + b"\r\n") * 20_000 + b"0\r\n\r\n")
    await stand_in.stop()
    assert (got.status, stand_in.bodies) == (200, [b"x" * 1_600_000])


async def test_a_few_chunks_may_be_as_small_as_they_like() -> None:
    stand_in = StandIn(lambda _head, _body: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await stand_in.start()
    async with gateway(agbot=AgbotSettings(secure_api=stand_in.url)) as running:
        got = await send(running.port, CHUNKED + b"1\r\nx\r\n" * 300 + b"0\r\nX-Trailer: 1\r\n\r\n")
    await stand_in.stop()
    assert (got.status, stand_in.bodies) == (200, [b"x" * 300])


@pytest.mark.parametrize("cut", [1, 2, 3])
async def test_endless_blank_lines_are_400_wherever_the_reads_are_cut(cut: int) -> None:
    async with gateway() as running, dialled(running.port) as (reader, writer):
        for start in range(0, 4_000, cut):
            writer.write((b"\r\n" * 2_000)[start : start + cut])
        assert (await read_reply(reader)).status == 400


async def test_a_blank_line_before_a_request_is_overlooked() -> None:
    async with gateway() as running:
        got = await send(running.port, b"\r\n\r\n" + request("POST", N1, "o1/n1:n1tok"))
    assert got.body == GRANTED


async def test_a_refusal_arrives_although_the_client_goes_on_sending() -> None:
    async with gateway() as running, dialled(running.port) as (reader, writer):
        writer.write(b"nonsense\r\n\r\n" + b"x" * 4_000_000)
        assert (await read_reply(reader)).status == 400


async def test_a_refused_client_that_goes_takes_its_connection_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", 600.0)
    async with gateway() as running:
        async with dialled(running.port) as (reader, writer):
            writer.write(b"nonsense\r\n\r\n")
            refused = await read_reply(reader)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while running.listener.open_connections:  # noqa: ASYNC110 - a listener tells nobody that one has ended
                await asyncio.sleep(0.01)
    assert refused.status == 400


async def test_an_absolute_target_whose_host_is_no_domain_name_is_answered() -> None:
    async with gateway() as running:
        got = await send(running.port, request("POST", "http://h\u00e9o1http://x", "o1/n1:n1tok"))
        plain = await send(running.port, request("POST", f"http://\u00e9_%25{N1}", "o1/n1:n1tok"))
    assert (got.status, plain.status) == (502, 201)


async def test_one_connection_may_ask_again_and_again() -> None:
    async with gateway() as running, dialled(running.port) as (reader, writer):
        for _ in range(3):
            writer.write(request("POST", N1, "o1/n1:n1tok"))
            assert (await read_reply(reader)).body == GRANTED


async def test_pipelined_questions_are_answered_in_their_order() -> None:
    async with gateway() as running, dialled(running.port) as (reader, writer):
        writer.write((request("POST", N1, "o1/n1:n1tok") + request("POST", N2, "o1/n2:n2tok")) * 40)
        statuses = [(await read_reply(reader)).status for _ in range(80)]
    assert statuses == [201, 409] * 40


async def test_a_client_that_wants_the_connection_closed_gets_it_closed() -> None:
    async with gateway() as running, dialled(running.port) as (reader, writer):
        writer.write(request("POST", N1, "o1/n1:n1tok", headers="Connection: close\r\n"))
        got = await read_reply(reader)
        assert (got.header("Connection"), await ended(reader)) == ("close", b"")


async def test_http_1_0_is_answered_as_such() -> None:
    async with gateway() as running, dialled(running.port) as (reader, writer):
        writer.write(request("POST", N1, "o1/n1:n1tok").replace(b"HTTP/1.1", b"HTTP/1.0"))
        got = await read_reply(reader)
        assert (got.status_line, got.body, await ended(reader)) == ("HTTP/1.0 201 Created", GRANTED, b"")


async def test_a_head_request_for_nothing_gets_no_body() -> None:
    async with gateway() as running, dialled(running.port) as (reader, writer):
        writer.write(b"HEAD /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        head, _, rest = (await ended(reader)).partition(b"\r\n\r\n")
    assert (head.split()[1], rest) == (b"502", b"")


async def test_a_client_that_closes_its_half_gets_its_answers_and_then_the_end() -> None:
    async with gateway() as running, dialled(running.port) as (reader, writer):
        running.exchange.seconds = 0.2
        writer.write(request("POST", N1, "o1/n1:n1tok") + request("POST", N2, "o1/n2:n2tok"))
        writer.write_eof()
        assert [(await read_reply(reader)).status for _ in range(2)] == [201, 409]
        assert await ended(reader) == b""


async def test_a_client_that_closes_its_half_in_the_middle_of_a_request_is_hung_up_on() -> None:
    async with gateway(GatewaySettings(request_seconds=20)) as running, dialled(running.port) as (reader, writer):
        writer.write(request("POST", N1, "o1/n1:n1tok")[:-20])
        writer.write_eof()
        with in_time(0.0, slack_seconds=5.0):
            assert await ended(reader) == b""


async def test_a_client_that_closes_early_disturbs_no_one() -> None:
    exchange_seconds = 0.2
    with capture_logs() as logged:
        async with gateway() as running:
            running.exchange.seconds = exchange_seconds
            for raw in (b"", b"POST", request("POST", N1, "o1/n1:n1tok")):
                async with dialled(running.port) as (_, writer):
                    writer.write(raw)
                    await writer.drain()
                    writer.transport.abort()
            assert (await running.ask(N1, "o1/n1:n1tok")).body == GRANTED
    assert [one["event"] for one in logged] == ["gateway.started", "gateway.stopped"]


async def test_more_questions_than_there_is_room_for_are_reported_busy_at_once() -> None:
    waiting = asyncio.Event()

    async def wait(_: Ask) -> Answer | None:
        await waiting.wait()
        return None

    async with gateway(GatewaySettings(max_open=3)) as running:
        running.permission.says = wait
        open_ones = [asyncio.ensure_future(running.ask(N1, "o1/n1:n1tok")) for _ in range(3)]
        await running.answering(3)
        agent = await running.ask(N2, "o1/n2:n2tok")
        agbot = await running.ask("/org/o1/hagroup/g1/deployment/n1/o1%2Fdp1", "IBM/agbot:agbottok")
        other = await running.ask("/deploycheck", None, "GET")
        waiting.set()
        assert {one.status for one in await asyncio.gather(*open_ones)} == {201}
    assert [(one.status, b"busy" in one.body) for one in (agent, agbot)] == [(409, True), (409, True)]
    assert other.status == 502, "what is passed on has places of its own"


async def test_idle_connections_give_way_to_new_ones() -> None:
    async with gateway(GatewaySettings(max_open=2)) as running:
        idle = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(30)]
        assert (await running.ask(N1, "o1/n1:n1tok")).body == GRANTED
        assert await ended(idle[0][0]) == b""
        for _, writer in idle:
            writer.close()


async def test_answers_in_flight_are_finished_and_nothing_new_is_taken() -> None:
    waiting = asyncio.Event()

    async def wait(_: Ask) -> Answer | None:
        await waiting.wait()
        return None

    async with gateway() as running:
        port = running.port
        running.permission.says = wait
        asking = asyncio.ensure_future(running.ask(N1, "o1/n1:n1tok"))
        await running.answering(1)
        stopping = asyncio.ensure_future(running.listener.stop(2))
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        waiting.set()
        assert (await asking).body == GRANTED
        await stopping


async def test_what_does_not_end_in_the_grace_time_is_cut() -> None:
    silent = StandIn(lambda _head, _body: None)
    await silent.start()
    async with (
        gateway(agbot=AgbotSettings(secure_api=silent.url)) as running,
        dialled(running.port) as (reader, writer),
    ):
        writer.write(request("GET", "/x", None))
        await running.answering(1)
        with in_time(0.2, slack_seconds=1.5):
            await running.listener.stop(0.2)
        assert await ended(reader) == b""
    await silent.stop()


@pytest.mark.parametrize("listen", ["8083", "h:x", "h:", ""])
async def test_an_address_that_is_none_is_refused(listen: str) -> None:
    async with gateway() as running:
        running.listener._settings = GatewaySettings(listen=listen)  # noqa: SLF001 - as it would be read from a file
        with pytest.raises(ValueError, match="host:port"):
            await running.listener.start()
