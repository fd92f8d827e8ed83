"""The product's client understands the simulated agbots as it understands a real one, over sockets and without."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from agbot.agreementbot.client import AgreementBot, Listed, Listing, NotRunning, Unreadable
from agbot.clock import SystemClock
from agbot.rules.facts import Row
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.settings.model import AgbotSettings
from agbot.sim.agbot_rows import AgbotRows, AgentRow, ServiceRow
from agbot.sim.faults import Fault, FaultKind
from agbot.sim.local_api import LocalApi, Shown
from agbot.sim.plain_http import Listener, listening
from tests.support.clocks import HandClock
from tests.support.direct_agbot import DirectAgbot
from tests.support.patience import PATIENCE_SECONDS, allowed_seconds, in_time
from tests.support.virtual_time import in_virtual_time

FIRST, SECOND = "http://first:8080", "http://second:8080"
Find = Callable[[], AgreementBot]


def rows() -> AgbotRows:
    tables = AgbotRows()
    tables.claim_service(ServiceRow(org="o1", group="gs", policy="o1/dp", node="o1/s1"))
    tables.claim_service(ServiceRow(org="o1", group="gp", policy="pat_svc_o1_amd64", node="o1/p1"))
    tables.claim_agent(AgentRow(org="o1", group="ga", node="a1", nmp="up"))
    return tables


KNOWN = {
    Row(kind=Kind.SERVICE, group=GroupId("o1/gs"), node=NodeId("o1/s1"), subject=PolicyId("o1/dp")),
    Row(kind=Kind.SERVICE, group=GroupId("o1/gp"), node=NodeId("o1/p1"), subject=PolicyId("pat_svc_o1_amd64")),
    Row(kind=Kind.AGENT, group=GroupId("o1/ga"), node=NodeId("o1/a1"), subject=PolicyId("o1/up")),
}


def api(tables: AgbotRows) -> LocalApi:
    return LocalApi(tables, HandClock(datetime(2026, 11, 23, tzinfo=UTC)), Shown(org="IBM", id="agbot1"))


def in_process(*apis: LocalApi) -> AgreementBot:
    ways = dict(zip((FIRST, SECOND), apis, strict=False))
    return AgreementBot(AgbotSettings(api=(FIRST, SECOND), request_seconds=0.2), SystemClock(), DirectAgbot(ways))


@asynccontextmanager
async def over_sockets(*apis: LocalApi) -> AsyncIterator[AgreementBot]:
    async with listening(apis[0]) as first, listening(apis[-1]) as second:
        bot = AgreementBot(AgbotSettings(api=(first.url, second.url), request_seconds=0.5), SystemClock())
        yield bot
        await bot.close()


def found(look: Listing) -> set[Row]:
    assert isinstance(look, Listed), look
    return set(look.rows)


async def test_the_rows_are_known_over_sockets_and_in_process() -> None:
    tables = rows()
    async with over_sockets(api(tables), api(tables)) as bot:
        assert found(await bot.list_rows()) == KNOWN
    assert found(await in_process(api(tables), api(tables)).list_rows()) == KNOWN


async def test_the_members_that_wait_are_those_of_every_agbot_that_answers() -> None:
    def of(name: str) -> LocalApi:
        shown = Shown(org="IBM", id=name, waiting=lambda: [(f"o1/{name}", "o1/dp")])
        return LocalApi(rows(), HandClock(datetime(2026, 11, 23, tzinfo=UTC)), shown)

    first, second = of("a1"), of("a2")
    bot = in_process(first, second)
    assert await bot.waiting() == {("o1/a1", "o1/dp"), ("o1/a2", "o1/dp")}, "each shows its own partition"
    first.faults.add(Fault(kind=FaultKind.REFUSE))
    assert await bot.waiting() == {("o1/a2", "o1/dp")}
    second.faults.add(Fault(kind=FaultKind.GARBAGE, text="null"))
    assert await bot.waiting() == frozenset()


async def test_the_second_agbot_of_the_database_answers_for_the_first_that_refuses() -> None:
    tables = rows()
    first, second = api(tables), api(tables)
    first.faults.add(Fault(kind=FaultKind.REFUSE))
    assert found(await in_process(first, second).list_rows()) == KNOWN
    second.faults.add(Fault(kind=FaultKind.REFUSE))
    assert isinstance(await in_process(first, second).list_rows(), NotRunning)
    assert isinstance(await in_process().list_rows(), NotRunning)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.HANG),
        Fault(kind=FaultKind.DROP),
        Fault(kind=FaultKind.TRUNCATE),
        Fault(kind=FaultKind.STATUS, status=500),
        Fault(kind=FaultKind.GARBAGE, text="<html>"),
        Fault(kind=FaultKind.GARBAGE, text="null"),
        Fault(kind=FaultKind.GARBAGE, text='[{"groupName": 3}]'),
    ],
    ids=lambda fault: f"{fault.kind} {fault.text if fault.kind is FaultKind.GARBAGE else ''}",
)
async def test_an_agbot_that_fails_in_any_way_says_nothing_and_is_not_taken_for_an_empty_one(fault: Fault) -> None:
    failing = api(rows())
    failing.faults.add(fault)
    assert isinstance(await in_process(failing, failing).list_rows(), Unreadable)
    async with over_sockets(failing) as bot:
        assert isinstance(await bot.list_rows(), Unreadable)


@in_virtual_time
async def test_the_time_that_an_agbot_had_is_stated_and_not_what_its_first_list_has_left_over() -> None:
    slow = api(rows())
    slow.faults.add(Fault(kind=FaultKind.LATENCY, seconds=1.9))
    bot = AgreementBot(AgbotSettings(api=(FIRST,), request_seconds=2.0), SystemClock(), DirectAgbot({FIRST: slow}))

    assert await bot.list_rows() == Unreadable(why=f"{FIRST}: no complete answer within 2 s")


@asynccontextmanager
async def two_agbots(
    tables: AgbotRows, seconds: float = PATIENCE_SECONDS
) -> AsyncIterator[tuple[AgreementBot, list[LocalApi], list[Listener]]]:
    """Two agbots on one database, each listening on a socket of its own, and a client that waits so long."""
    apis = [api(tables), api(tables)]
    async with listening(apis[0]) as first, listening(apis[1]) as second:
        bot = AgreementBot(AgbotSettings(api=(first.url, second.url), request_seconds=seconds), SystemClock())
        yield bot, apis, [first, second]
        await bot.close()


async def test_of_two_agbots_over_sockets_one_dies_and_the_other_answers_then_both_are_gone_and_one_is_back() -> None:
    async with two_agbots(rows()) as (bot, _apis, listeners):
        assert found(await bot.list_rows()) == KNOWN
        await listeners[0].close()
        assert found(await bot.list_rows()) == KNOWN
        await listeners[1].close()
        assert isinstance(await bot.list_rows(), NotRunning)
        await listeners[1].listen()
        assert found(await bot.list_rows()) == KNOWN


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.HANG),
        Fault(kind=FaultKind.DROP),
        Fault(kind=FaultKind.TRUNCATE),
        Fault(kind=FaultKind.STATUS, status=503),
        Fault(kind=FaultKind.GARBAGE, text="null"),
    ],
    ids=lambda fault: str(fault.kind),
)
async def test_of_two_agbots_over_sockets_one_fails_in_any_way_and_the_other_answers_in_time(fault: Fault) -> None:
    seconds = allowed_seconds(1.0)
    async with two_agbots(rows(), seconds) as (bot, apis, listeners):
        apis[0].faults.add(fault)
        with in_time(seconds):
            assert found(await bot.list_rows()) == KNOWN

        await listeners[1].close()
        assert isinstance(await bot.list_rows(), Unreadable), "the first may begin upgrades, whatever the second does"
