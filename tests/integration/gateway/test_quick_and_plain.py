"""No request is read differently by the quick way and by aiohttp's connection, whatever is sent and wherever the reads are cut.

`make fuzz` plays more of the same (`ARGS=50000` examples for each test).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import HttpVersion11, web
from aiohttp.http_parser import RawRequestMessage
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from agbot.gateway.answers import Outcome, Reply
from agbot.gateway.core import Core, Known
from agbot.gateway.logins import FailedLogins
from agbot.gateway.quick import Quick
from agbot.listening.connection import Bounds, Connection
from agbot.listening.connections import Connections
from agbot.listening.parsing import Parser
from agbot.rules.facts import Ask
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, Kind
from agbot.settings.model import AgbotSettings, GatewaySettings
from tests.integration.gateway.scripted import (
    RECORDED,
    Gateway,
    StandIn,
    basic,
    dialled,
    gateway,
    read_reply,
    request,
    settings_of,
)
from tests.support.patience import PATIENCE_SECONDS, allowed_seconds

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
MAX_BYTES = 1024
N1, N2 = "/org/o1/hagroup/g1/nodemanagement/n1/p1", "/org/o1/hagroup/g1/nodemanagement/n2/p1"
FREE = request("POST", N1, "o1/n1:n1tok")
HELD = request("POST", N2, "o1/n2:n2tok")
"""Has its answer in memory, in every test here."""
QUESTIONS = [
    line["request_raw"].encode()
    for line in map(json.loads, (RECORDED / "agent-permission.jsonl").read_text(encoding="utf-8").splitlines())
    if line["ev"] == "request"
]

ODD_TARGETS = (
    f"{N1} /org/o1/hagroup/g1/deployment/n1/o1%2Fdp1 /org /org/ /org/o1 {N2}/ {N2}?a=b {N2}#a /{N2} http://h{N2} * h:80 "
    f"{N2}% {N2}%00 {N2}%zz {N2}\x7f {N2}é {N2}[ {N2}\\ {N2}@:@ /org/../{N2} /org/%2e%2e{N2} {N2};a=b {N2}'(!*)"
).split(" ")
TARGETS = [each.encode() for each in (*ODD_TARGETS, f"{N2}\x00", f"{N2} ", f" {N2}")]
USUAL = [line + b"\r\n" for line in HELD.removesuffix(b"\r\n\r\n").split(b"\r\n")[1:]]
ODD_VALUES = [
    b"",
    b" ",
    b"a\x00b",
    b"a\rb",
    b"a\x7fb",
    b"a\r\n folded",
    b"a\tb",
    b"\xc3\xa9",
    b"\xff",
    b"x" * MAX_BYTES,
]
ODD_OF = {
    b"Host": [b"h", b"[::1]:1", b"h h", b"h/x", b"u@h", b"h\r\nHost: i"],
    b"Content-Length": [
        b"3",
        b"00",
        b"+0",
        b"-0",
        b"0, 0",
        b"0\r\nContent-Length: 0",
        b"0\r\nTransfer-Encoding: chunked",
    ],
    b"Authorization": [
        *(basic(each).encode() for each in ("o1/n1:wrong", "o1/n2:n2tok", "o1/n2")),
        *(b"basic " + basic("o1/n2:n2tok").encode()[6:], b"Basic =", b"Basic a b", b"Bearer x", b"Basic"),
    ],
}
"""Values of a field, and what may follow it."""
OTHER_LINES = [
    line.replace(b"%b", b"x" * MAX_BYTES) + b"\r\n"
    for line in (
        b"Transfer-Encoding: chunked|Transfer-Encoding: identity|Connection: close|Connection: keep-alive|Expect: 100-continue|"
        b"Connection: Upgrade\r\nUpgrade: websocket|Content-Encoding: gzip| folded|Sec-WebSocket-Key1: a|: a|a||Bad Name: a|"
        b"X-A: a|X-Long: %b"
    ).split(b"|")
]


def odd_forms(line: bytes) -> list[bytes]:
    """A field written otherwise: not at all, twice, another spelling, another end, another value."""
    name, _, value = line.removesuffix(b"\r\n").partition(b": ")
    return [
        *(b"", line * 2),
        *(spelled + b": " + value + b"\r\n" for spelled in (name.lower(), name.upper(), name + b" ", b" " + name)),
        *(name + colon + value + b"\r\n" for colon in (b":", b":  ", b":\t", b" : ", b"")),
        *(name + b": " + value + end for end in (b"\n", b"\r", b" \r\n", b"\r\r\n", b"\r\n\r\n")),
        *(name + b": " + other + b"\r\n" for other in (*ODD_OF.get(name, []), *ODD_VALUES)),
    ]


METHODS = [b"POST", b"post", b"GET", b"LIST", b"HEAD", b"DELETE", b"POST ", b""]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b""]
BLANKS = [b"\r\n", b"\n", b""]
TAILS = [b"", b"x", b"abc", b"\r\n", b"0\r\n\r\n", HELD, HELD[:40], b"\x00"]


def one_oddity() -> Iterator[bytes]:
    """Every request with one thing in it that is not as agents write it."""
    usual, end = b"POST %s HTTP/1.1\r\n" % N2.encode(), b"\r\n"
    fields = b"".join(USUAL)
    for at, line in enumerate(USUAL):
        before, after = b"".join(USUAL[:at]), b"".join(USUAL[at + 1 :])
        yield from (usual + before + odd + after + end for odd in odd_forms(line))
        yield from (usual + before + odd + line + after + end for odd in OTHER_LINES)
    yield from (usual + fields + odd + end for odd in OTHER_LINES)
    yield from (b"POST %s HTTP/1.1\r\n" % odd + fields + end for odd in TARGETS)
    yield from (b"%s %s HTTP/1.1\r\n" % (odd, N2.encode()) + fields + end for odd in METHODS)
    yield from (b"POST %s %s\r\n" % (N2.encode(), odd) + fields + end for odd in VERSIONS)
    yield from (usual + fields + blank + tail for blank in BLANKS for tail in TAILS)


def mostly(values: list[bytes]) -> st.SearchStrategy[bytes]:
    """The first value, and sometimes another."""
    return st.sampled_from([values[0]] * 2 * len(values) + values)


@st.composite
def written(draw: st.DrawFn) -> bytes:
    """A request line and fields, the usual ones or others, in any order and number."""
    lines = list(USUAL)
    for _ in range(draw(st.sampled_from([0, 1, 1, 2, 2, 3]))):
        at = draw(st.integers(0, len(lines) - 1))
        if draw(st.integers(0, 3)):
            lines[at] = draw(st.sampled_from(odd_forms(lines[at])))
        else:
            lines.insert(at, draw(st.sampled_from(OTHER_LINES)))
    if not draw(st.integers(0, 4)):
        lines = draw(st.permutations(lines))
    head = b"%s %s %s\r\n" % (draw(mostly(METHODS)), draw(mostly([N2.encode(), *TARGETS])), draw(mostly(VERSIONS)))
    return head + b"".join(lines) + draw(mostly(BLANKS)) + draw(mostly(TAILS))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A question as it was recorded, or one that memory answers, with some bytes changed, put in, left out or repeated."""
    data = bytearray(draw(st.one_of(st.just(HELD), st.sampled_from(QUESTIONS))))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 0, 1, 1, 2, 8, 40])))
        new = draw(st.one_of(st.binary(max_size=2), st.sampled_from([b"\r\n", b" ", b":", bytes(data[start:end]) * 2])))
        data[start:end] = new
    return bytes(data)


REQUESTS = st.one_of(written(), mutated())


def more(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Play so many examples, or as many as the environment says."""
    return settings(
        max_examples=EXAMPLES or examples,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


ASK = Ask(group=GroupId("o1/g1"), claim=Claim(holder=NodeId("o1/n2"), kind=Kind.AGENT, subject=PolicyId("o1/p1")))


class Everything(Core):
    """Answers every request with what it was understood as."""

    def __init__(self) -> None:
        """Need nothing."""

    def answer(self, method: str, target: str, credentials: str | None, now: float) -> Reply:
        return Reply(status=409, body=repr((method, target, credentials)).encode(), outcome=Outcome.REFUSED)

    def known(self, target: str, credentials: str) -> Known:
        return Known(ask=ASK, key=b"", body=self.answer("POST", target, credentials, 0.0).body)

    def refuse_again(self, known: Known, now: float) -> Reply:
        return Reply(status=409, body=known.body, outcome=Outcome.REFUSED)


async def parsed(data: bytes) -> bytes:
    """Return what aiohttp's connection understands, as `Everything` writes it: one whole request, after which it stays open."""
    bounds = Bounds(head_seconds=1.0, max_field_bytes=MAX_BYTES, max_connections=1)

    async def handle(_: object) -> web.StreamResponse:
        raise NotImplementedError

    def refuse(_: object) -> web.StreamResponse:
        raise NotImplementedError

    connection = Connections(handle, bounds, refuse=refuse).new_connection()
    parser = connection._parser  # noqa: SLF001 - as it is set up
    assert isinstance(parser, Parser)
    ((message, payload),), is_upgraded, rest = parser.feed_data(data)
    assert (is_upgraded, rest, parser._tail, parser._lines) == (False, b"", b"", [])  # noqa: SLF001 - nothing is left
    assert isinstance(message, RawRequestMessage)
    assert payload.is_eof()
    assert message.version == HttpVersion11
    assert not any((message.should_close, message.chunked, message.upgrade))
    return repr((message.method, message.path, message.headers.getone("Authorization"))).encode()


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


async def understood_alike(data: bytes) -> None:
    quick = Quick(
        Everything(), lambda _outcome, _seconds: None, FailedLogins(), lambda: 0.0, max_bytes=MAX_BYTES, is_tls=False
    )
    for _ in ("read", "known by its hash"):
        answer = quick.answer(data)
        assert answer is None or answer.partition(b"\r\n\r\n")[2] == await parsed(data)


async def test_what_has_one_oddity_is_understood_as_aiohttp_understands_it() -> None:
    for data in one_oddity():
        await understood_alike(data)


@more(1000)
@given(data=REQUESTS)
@example(data=HELD)
def test_what_is_answered_at_once_is_understood_as_aiohttp_understands_it(runner: asyncio.Runner, data: bytes) -> None:
    runner.run(understood_alike(data))


def test_every_recorded_question_is_answered_at_once() -> None:
    quick = Quick(
        Everything(), lambda _outcome, _seconds: None, FailedLogins(), lambda: 0.0, max_bytes=MAX_BYTES, is_tls=False
    )
    plain = [each for each in QUESTIONS if each.startswith(b"POST /org/") and b"\r\nAuthorization: " in each]
    assert plain
    assert [each for each in plain if quick.answer(each) is None] == []


@asynccontextmanager
async def both(request_seconds: float) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two gateways that know the same: one answers from memory at once, one leaves everything to aiohttp."""
    upstream = StandIn(lambda _head, _body: b"HTTP/1.1 204 No Content\r\n\r\n")
    await upstream.start()
    bounds = GatewaySettings(request_seconds=request_seconds, max_header_bytes=MAX_BYTES)
    agbot = AgbotSettings(secure_api=upstream.url)
    try:
        async with gateway(bounds, agbot=agbot) as quick, gateway(bounds, agbot=agbot) as plain:
            connections = plain.listener._connections  # noqa: SLF001 - the product has no switch for this
            assert connections is not None
            connections._at_once = None  # noqa: SLF001 - see above
            for each in (quick, plain):
                assert (await each.ask(N1, "o1/n1:n1tok")).status == 201
                assert (await each.ask(N2, "o1/n2:n2tok")).status == 409
            yield quick, plain
    finally:
        await upstream.stop()


async def replies(port: int, data: bytes, cuts: list[int]) -> bytes:
    """Return everything that comes back when this is sent in pieces, without the times in it.

    asyncio's streams would lose what has come before a reset.
    """
    loop = asyncio.get_running_loop()
    received = b""
    async with asyncio.timeout(PATIENCE_SECONDS):
        with socket.socket() as client:
            client.setblocking(False)  # noqa: FBT003 - the standard library's own form
            await loop.sock_connect(client, ("127.0.0.1", port))
            with suppress(ConnectionError):  # the time for the request is over
                for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                    await loop.sock_sendall(client, data[start:end])
                    for _ in range(4):
                        await asyncio.sleep(0)
            with suppress(ConnectionError):
                while piece := await loop.sock_recv(client, 65_536):
                    received += piece
    return re.sub(rb"Date: [^\r]*", b"Date:", received)


async def compared(examples: list[tuple[bytes, list[int]]]) -> None:
    """Compare the answers, and each once more with patience if a busy machine may have cut one short."""
    try:
        await compared_within(0.05, examples)
    except (AssertionError, ConnectionError, asyncio.IncompleteReadError):
        for each in examples:
            await compared_within(allowed_seconds(1.0), [each])


async def compared_within(request_seconds: float, examples: list[tuple[bytes, list[int]]]) -> None:
    async with both(request_seconds) as (quick, plain):
        for data, cuts in examples:
            given_at_once, given_by_aiohttp = await asyncio.gather(
                *(replies(each.port, data, cuts) for each in (quick, plain))
            )
            assert given_at_once == given_by_aiohttp, (data, cuts)
        assert [outcome for outcome, _ in quick.seen] == [outcome for outcome, _ in plain.seen]
        assert quick.permission.asks == plain.permission.asks
        assert quick.exchange.reads == plain.exchange.reads


@st.composite
def cut(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    """A request, and where its pieces end."""
    data = draw(REQUESTS)
    return data, sorted(draw(st.lists(st.integers(0, len(data)), max_size=4)))


@more(6)
@given(st.lists(cut(), min_size=8, max_size=16))
def test_whatever_is_sent_in_whatever_pieces_is_answered_alike(examples: list[tuple[bytes, list[int]]]) -> None:
    asyncio.run(compared(examples))


@pytest.mark.parametrize("size", [1, 7, 50])
async def test_a_question_in_small_pieces_is_answered_alike(size: int) -> None:
    pieces = [(HELD, list(range(size, len(HELD), size))), (HELD * 3, list(range(size, 3 * len(HELD), size)))]
    await compared([(HELD, []), *pieces, (HELD, []), *pieces])  # the second time HELD is known by its hash


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_question_from_memory_never_reaches_aiohttp(monkeypatch: pytest.MonkeyPatch, tls: bool) -> None:
    made: list[Connection] = []
    new_connection = Connections.new_connection

    def noted(self: Connections) -> Connection:
        made.append(new_connection(self))
        return made[-1]

    monkeypatch.setattr(Connections, "new_connection", noted)
    async with gateway(settings_of(tls=tls)) as running:
        for raw, reaches in ((FREE, True), (HELD, True), (HELD, False), (FREE, True)):
            made.clear()
            async with dialled(running.port, tls=tls) as (reader, writer):
                writer.write(raw)
                got = await read_reply(reader)
            assert (got.status, bool(made)) == (201 if raw == FREE else 409, reaches)
