"""The agbot's local API over real sockets: the recorded agbot is understood, and whatever else comes is not taken for an answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from agbot.agreementbot.client import AgreementBot, Listed, Listing, NotRunning, Unreadable
from agbot.agreementbot.transport import HttpTransport
from agbot.clock import SystemClock
from agbot.rules.facts import Row
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.settings.model import AgbotSettings
from tests.acceptance.programs import free_port
from tests.support.patience import in_time

RECORDED = Path(__file__).parents[2] / "recorded" / "agbot-local-api.jsonl"
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def replies() -> dict[str, dict[str, object]]:
    lines = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    return {line["path"]: line for line in lines if line["name"].endswith("-list")}


async def recorded(request: web.BaseRequest) -> web.Response:
    reply = replies()[request.path]
    return web.Response(status=int(str(reply["status"])), text=str(reply["response_body"]))


def saying(services: str, agents: str = "[]", status: int = 200) -> Answer:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=status, text=services if request.path == "/ha/upgradingwlu" else agents)

    return answer


@asynccontextmanager
async def agbot(answer: Answer) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """Somebody who takes connections and never says anything."""
    writers: list[asyncio.StreamWriter] = []

    async def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        for writer in writers:
            writer.close()
        server.close()
        await server.wait_closed()


async def looked(*urls: str, seconds: float = 2.0, most_bytes: int = 1_000_000) -> Listing:
    settings = AgbotSettings(api=urls, request_seconds=seconds)
    client = AgreementBot(settings, SystemClock(), HttpTransport(max_reply_bytes=most_bytes))
    try:
        return await client.list_rows()
    finally:
        await client.close()


def no_one() -> str:
    return f"http://127.0.0.1:{free_port()}"


async def test_the_recorded_lists_are_understood() -> None:
    async with agbot(recorded) as url:
        look = await looked(url)

    assert isinstance(look, Listed)
    services = [row for row in look.rows if row.kind is Kind.SERVICE]
    assert services == [
        Row(kind=Kind.SERVICE, group=GroupId("o1/ge"), node=NodeId("o1/e2"), subject=PolicyId("o1/dp1"))
    ]
    agents = {row.group: (row.node, row.subject) for row in look.rows if row.kind is Kind.AGENT}
    assert len(agents) == 10
    assert agents[GroupId("o1/ga")] == ("o1/a2", "o1/up2")


async def test_an_empty_list_means_that_nothing_goes_on() -> None:
    async with agbot(saying("[]\n", "[]\n")) as url:
        assert await looked(url) == Listed(rows=(), url=url)


async def test_unknown_fields_are_skipped_and_a_row_that_stands_twice_counts_once() -> None:
    row = '{"groupName":"g","orgId":"o1","nodeId":"n1","nmpName":"up","since":7}'
    async with agbot(saying("[]", f"[{row},{row}]")) as url:
        look = await looked(url)

    assert isinstance(look, Listed)
    assert [(each.node, each.subject) for each in look.rows] == [("o1/n1", "o1/up")]


async def test_the_empty_row_of_an_agbot_with_a_file_database_is_no_one_s() -> None:
    async with agbot(saying("[]", '[{"groupName":"","orgId":"","nodeId":"","nmpName":""}]')) as url:
        assert await looked(url) == Listed(rows=(), url=url)


@pytest.mark.parametrize(
    ("services", "agents", "status"),
    [
        ("null", "[]", 200),
        ("[]", "null", 200),
        ('[{"groupName":"g","orgId":"o1","policyName":"o1/p"}]', "[]", 200),
        ('[{"groupName":"g","orgId":"o1","policyName":null,"nodeId":"o1/n"}]', "[]", 200),
        ("{}", "[]", 200),
        ("<html>hello</html>", "[]", 200),
        ("", "[]", 200),
        ("[" * 100_000, "[]", 200),
        ("[]", "[]", 404),
        ("[]", "[]", 500),
        ("[]", "[]", 302),
    ],
    ids=str,
)
async def test_what_is_not_the_two_lists_says_nothing(services: str, agents: str, status: int) -> None:
    async with agbot(saying(services, agents, status)) as url:
        look = await looked(url)

    assert isinstance(look, Unreadable)
    assert url in look.why


async def test_a_refused_connection_at_every_address_means_that_no_one_is_there() -> None:
    look = await looked(no_one(), no_one())

    assert isinstance(look, NotRunning)


async def test_the_second_agbot_is_asked_where_the_first_one_is_not_there() -> None:
    async with agbot(recorded) as url:
        look = await looked(no_one(), url)

    assert isinstance(look, Listed)
    assert look.url == url


async def test_the_second_agbot_is_asked_in_time_where_the_first_one_hangs() -> None:
    async with silent() as hanging, agbot(recorded) as url:
        with in_time(0.5, slack_seconds=0.5):
            look = await looked(hanging, url, seconds=1.0)

    assert isinstance(look, Listed)


async def test_one_that_hangs_beside_one_that_is_not_there_may_still_begin_upgrades() -> None:
    async with silent() as hanging:
        with in_time(0.4, slack_seconds=0.6):
            look = await looked(hanging, no_one(), seconds=0.4)

    assert isinstance(look, Unreadable)


async def test_a_connection_that_is_closed_without_an_answer_says_nothing() -> None:
    async def close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    async with server:
        look = await looked(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    assert isinstance(look, Unreadable)


async def test_an_answer_without_end_is_given_up() -> None:
    async def flood(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b"[" * 10_000)
        return response

    async with agbot(flood) as url:
        look = await looked(url, most_bytes=50_000)

    assert isinstance(look, Unreadable)
    assert "50000 bytes" in look.why
