"""Whatever is sent: never a 5xx where no upstream is involved, never a traceback, never a hang, never a grant to a stranger."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agbot.settings.model import AgbotSettings, GatewaySettings
from tests.integration.gateway.scripted import StandIn, basic, dialled, gateway
from tests.support.examples import examples
from tests.support.patience import PATIENCE_SECONDS

PIECES = st.sampled_from(
    b"/ // %2F % %00 %ff .. ? # & \xc3\xa9 \xff \x7f org %6frg o1 hagroup g1 nodemanagement deployment n1 p1 o1%2Fp1".split()
    + b"http://h outcome=failed".split(),
)
OURS = st.sampled_from([b"/org/o1/hagroup/g1/nodemanagement/n1/", b"/org/o1/hagroup/g1/deployment/n1/o1%2F"])
TARGETS = st.one_of(
    st.lists(PIECES, max_size=16).map(b"".join),
    st.tuples(OURS, st.lists(PIECES, max_size=4).map(b"".join)).map(b"".join),
)
METHODS = st.sampled_from(
    [b"POST", b"DELETE", b"GET", b"LIST", b"HEAD", b"OPTIONS", b"post", b"CONNECT", b"P\xffST", b""]
)
AUTHORIZATION = st.sampled_from(
    [basic("o1/n1:wrong"), basic("n1:x"), basic("o1/"), basic(":"), "Basic ====", "Bearer x", "", "Basic é"]
)
FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b"X-A", b"Cookie", b"Upgrade", b"Connection", b"Expect", b"TE"]), st.binary(max_size=12)
    ),
    max_size=4,
)
FRAMING = st.sampled_from(
    [
        (b"", b""),
        (b"Content-Length: 3\r\n", b"abc"),
        (b"Content-Length: 3\r\n", b"a"),
        (b"Content-Length: 0\r\n", b"abc"),
        (b"Content-Length: +3\r\n", b"abc"),
        (b"Transfer-Encoding: chunked\r\n", b"1\r\na\r\n0\r\n\r\n"),
        (b"Transfer-Encoding: chunked\r\n", b"z\r\n"),
        (b"Transfer-Encoding: gzip\r\n", b"x"),
        (b"Content-Encoding: gzip\r\n", b""),
    ],
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Something between a good request and bytes."""
    framing, body = draw(FRAMING)
    fields = b"".join(b"%s: %s\r\n" % field for field in draw(FIELDS))
    authorization = f"Authorization: {draw(AUTHORIZATION)}\r\n".encode()
    line = b"%s %s HTTP/1.1\r\n" % (draw(METHODS), draw(TARGETS))
    return line + b"Host: h\r\nConnection: close\r\n" + authorization + fields + framing + b"\r\n" + body


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No line of asyncio or aiohttp above a hint may appear."""
    yield
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def sent(port: int, raw: bytes) -> bytes:
    async with asyncio.timeout(PATIENCE_SECONDS), dialled(port) as (reader, writer):
        writer.write(raw)
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def answered(examples: list[bytes], request_seconds: float = 0.05) -> list[bytes]:
    """The replies to each of these, from one gateway with a lively upstream.

    Nothing but its start and end may be logged, and who could not log in.
    """
    upstream = StandIn(lambda _head, _body: b"HTTP/1.1 204 No Content\r\n\r\n")
    await upstream.start()
    short = GatewaySettings(request_seconds=request_seconds)
    try:
        with capture_logs() as logged:
            async with gateway(short, agbot=AgbotSettings(secure_api=upstream.url)) as running:
                replies = await asyncio.gather(*(sent(running.port, raw) for raw in examples))
    finally:
        await upstream.stop()
    assert not running.permission.holders
    assert not any(line.startswith(b"POST /org/o1/hagroup/g1/nodemanagement/n1/p") for line in upstream.heads)
    events = [one["event"] for one in logged if one["event"] != "login.failed"]
    assert events == ["gateway.started", "gateway.stopped"]
    return replies


@settings(
    max_examples=examples(30),
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(requests(), min_size=1, max_size=16))
def test_no_request_gets_a_5xx_or_a_traceback_or_hangs(quiet: None, examples: list[bytes]) -> None:
    for raw, reply in zip(examples, asyncio.run(answered(examples)), strict=True):
        assert reply == b"" or reply.startswith((b"HTTP/1.1 1", b"HTTP/1.1 2", b"HTTP/1.0 4", b"HTTP/1.1 4")), (
            raw,
            reply,
        )
        # Only a body that never comes may end without a reply. A busy machine may need longer than
        # `request_seconds` to read a whole request, which then is asked once more with patience.
        assert reply or raw.endswith(b"a") or asyncio.run(answered([raw], PATIENCE_SECONDS)) != [b""], raw
        assert b"Traceback" not in reply
        assert b'"code":"201"' not in reply


@settings(
    max_examples=examples(30),
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=16))
def test_no_bytes_get_a_5xx_or_a_traceback_or_hang(quiet: None, examples: list[bytes]) -> None:
    for raw, reply in zip(examples, asyncio.run(answered(examples)), strict=True):
        assert reply == b"" or reply.split()[1][:1] in {b"2", b"4"}, (raw, reply)
        assert b"Traceback" not in reply
