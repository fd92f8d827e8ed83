"""A simulated agent asks as a recorded one asked, byte for byte, and does after each reply what the recorded one did."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from agbot.sim.actions import Act
from agbot.sim.agent_reply import Reaction, react
from agbot.sim.agent_state import Entry, Word
from agbot.sim.exchange import SimExchange, seed
from agbot.sim.http_links import HttpGateway
from agbot.sim.links import DirectExchange, Kind, Question, Unanswered
from agbot.sim.machine import Environment, NodeSpec
from agbot.sim.node import SimNode
from agbot.sim.process import Process
from tests.sim.gates import EPOCH
from tests.support.clocks import HandClock
from tests.support.patience import PATIENCE_SECONDS

_RECORDED = Path(__file__).parent.parent / "recorded"
_ROW = re.compile(r"poll answered with \[.*?\]  \((\d+\.\d) s after the previous: \[(.*)\]\)")

_CLOSE = b""
_RESET = b"reset"
_SILENCE = b"silence"


def _http(status: int, body: str = "", *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers)
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


_YES = _http(201, '{"code":"201","msg":"go"}')
_REPLIES = {
    "200 code 201": _http(200, '{"code":"201","msg":"x"}'),
    "201 numeric code": _http(201, '{"code":201,"msg":"x"}'),
    "201 code 409": _http(201, '{"code":"409","msg":"x"}'),
    "201 non-JSON": _http(201, "yes"),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "500": _http(500, '{"code":"500","msg":"x"}'),
    "401": _http(401, '"no"'),
    "404": _http(404, "404 page not found"),
    "409 Retry-After 5": _http(409, '{"code":"409","msg":"x"}', "Retry-After: 5"),
    "429": _http(429, "{}", "Retry-After: 1"),
    "502": _http(502, "{}"),
    "504": _http(504, "{}"),
    "408": _http(408, "{}"),
    "500 timed out": _http(500, '{"msg":"the database timed out"}'),
    "close without reply": _CLOSE,
    "tcp reset": _RESET,
}
_RECORDED_SECONDS = {
    name: float(seconds)
    for line in (_RECORDED / "agent-reaction-to-replies.txt").read_text().splitlines()
    for seconds, name in (match.groups() for match in [_ROW.search(line)] if match)
}


@dataclass
class Tap:
    """A server that plays replies in turn and keeps what it received.

    Each connection takes one request, then is watched.
    """

    replies: list[bytes]
    now: Callable[[], datetime]
    url: str = ""
    raw: list[bytes] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    requests_on_connection: list[int] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count = 0
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                count += 1
                self.raw.append(head)
                self.times.append(self.now())
                reply = self.replies.pop(0) if self.replies else _YES
                if reply == _SILENCE:
                    await reader.read()
                    return
                if reply == _RESET:
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                if reply in (_CLOSE, _RESET):
                    return
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.requests_on_connection.append(count)
            writer.close()


@asynccontextmanager
async def _tapped(*replies: bytes, now: Callable[[], datetime] = lambda: EPOCH) -> AsyncIterator[Tap]:
    tap = Tap(list(replies), now)
    server = await asyncio.start_server(tap.serve, "127.0.0.1", 0)
    tap.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield tap
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def _asking_node(tap: Tap, clock: HandClock, timeout_seconds: float = 20.0) -> AsyncIterator[asyncio.Event]:
    """Run a node that waits for permission and does nothing else: time moves only while it rests between questions.

    Gives what is set when it goes.
    """
    gone = asyncio.Event()
    exchange = SimExchange(clock=clock, root_password="pw")
    seed.org(exchange, "o1")
    seed.node(exchange, "o1", "a1")
    seed.group(exchange, "o1", "ga", ["a1"])
    seed.management_policy(exchange, "o1", "up1")
    async with asyncio.TaskGroup() as group:
        around = Environment(
            exchange=DirectExchange(exchange.handle, clock),
            gateway=HttpGateway(tap.url, timeout_seconds=timeout_seconds),
            clock=clock,
            notify=lambda action: gone.set() if action.act is Act.DOWN else None,
            spawn=group.create_task,
        )
        spec = NodeSpec(org="o1", id="a1", token=seed.token_of("a1"))
        node = SimNode(spec, around, chance=random.Random(0))
        node.registered = True
        entry = Entry(nmp="up1", version="2.32.0", scheduled_at=clock.now(), word=Word.HA_WAITING)
        node.notebook.entries["up1"] = entry
        process = Process(group.create_task)
        process.start(node.agent.work(process))
        yield gone
        process.kill()


async def _seconds_to_the_next_question(reply: bytes, timeout_seconds: float = 20.0) -> float:
    clock = HandClock(EPOCH)
    async with _tapped(reply, now=clock.now) as tap, _asking_node(tap, clock, timeout_seconds) as gone:
        await asyncio.wait_for(gone.wait(), PATIENCE_SECONDS)
        assert len(tap.times) == 2
        return (tap.times[1] - tap.times[0]).total_seconds()


@pytest.mark.parametrize("name", _REPLIES)
async def test_the_next_question_comes_when_a_recorded_agent_asked_again(name: str) -> None:
    assert await _seconds_to_the_next_question(_REPLIES[name]) == _RECORDED_SECONDS[name]


def test_every_recorded_reply_but_the_redirect_is_played() -> None:
    assert _RECORDED_SECONDS.keys() - _REPLIES.keys() == set()
    assert len(_RECORDED_SECONDS) == 16


async def test_an_answer_slower_than_an_agent_waits_is_lost_and_asked_for_again_10_s_later() -> None:
    assert await _seconds_to_the_next_question(_SILENCE, timeout_seconds=0.2) == 10.0


async def test_503_is_repeated_every_10_s_as_recorded() -> None:
    assert await _seconds_to_the_next_question(_http(503, '{"code":"503","msg":"busy"}')) == 10.0


async def test_a_redirect_is_followed_at_once_with_the_same_method() -> None:
    clock = HandClock(EPOCH)
    async with _tapped(b"", now=clock.now) as tap:
        tap.replies[:] = [_http(307, "", f"Location: {tap.url}/elsewhere"), _YES]
        async with _asking_node(tap, clock) as gone:
            await asyncio.wait_for(gone.wait(), PATIENCE_SECONDS)

    assert [raw.split(b" HTTP")[0] for raw in tap.raw] == [
        b"POST /org/o1/hagroup/ga/nodemanagement/a1/up1",
        b"POST /elsewhere",
    ]
    assert tap.times[0] == tap.times[1]


async def test_a_question_is_byte_for_byte_the_recorded_one_and_on_a_connection_of_its_own() -> None:
    recorded = next(
        record["request_raw"]
        for record in map(json.loads, (_RECORDED / "agent-permission.jsonl").read_text().splitlines())
        if record["ev"] == "request" and "nodemanagement/a1/up1" in record["request_raw"]
    )
    question = Question(
        kind=Kind.AGENT, org="o1", group="ga", node="a1", policy="up1", identity="o1/a1", secret="a1tok"
    )
    async with _tapped(_http(409, "{}"), _YES) as tap:
        gateway = HttpGateway(tap.url)
        await gateway.ask(question)
        await gateway.ask(question)
        host = tap.url.removeprefix("http://")

    assert tap.raw == [recorded.replace("127.0.0.1:8093", host).encode()] * 2
    assert tap.requests_on_connection == [1, 1]


async def test_no_one_at_the_address_counts_as_a_transport_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        gateway = HttpGateway(f"http://127.0.0.1:{taken.getsockname()[1]}")
        question = Question(kind=Kind.AGENT, org="o", group="g", node="n", policy="p", identity="o/n", secret="s")
        with pytest.raises(Unanswered) as caught:
            await gateway.ask(question)

    assert react(caught.value) is Reaction.REPEAT


def test_a_name_that_does_not_resolve_is_an_ordinary_error() -> None:
    assert react(Unanswered("no such host", is_transport=False)) is Reaction.ASK_AGAIN


@pytest.mark.parametrize(
    ("question", "path"),
    [
        (
            Question(kind=Kind.AGENT, org="o 1", group="gä", node="n@x.y", policy="p", identity="", secret=""),
            "/org/o%201/hagroup/g%C3%A4/nodemanagement/n@x.y/p",
        ),
        (
            Question(kind=Kind.SERVICE, org="o1", group="g", node="n", policy="o1/dp", identity="", secret=""),
            "/org/o1/hagroup/g/deployment/n/o1%2Fdp",
        ),
    ],
)
def test_a_path_is_encoded_as_the_asking_program_encodes_it(question: Question, path: str) -> None:
    assert question.path == path
