"""The gateway with the real client against the simulated Exchange, over sockets on both sides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agbot.clock import SystemClock
from agbot.exchange.client import ExchangeClient
from agbot.exchange.credentials import Credentials
from agbot.exchange.transport import HttpTransport
from agbot.sim.exchange import SimExchange, seed, serving
from agbot.sim.faults import Fault, FaultKind
from tests.integration.gateway.scripted import Gateway, gateway
from tests.support.examples import some
from tests.support.patience import in_time

N1 = "/org/o1/hagroup/g1/nodemanagement/n1/p1"
SERVICE = "/org/o1/hagroup/g1/deployment/n1/o1%2Fdp1"
NODE, USER, AGBOT = (
    f"o1/n1:{seed.token_of('n1')}",
    f"o1/admin:{seed.token_of('admin')}",
    f"IBM/agbot:{seed.token_of('agbot')}",
)


@asynccontextmanager
async def hub() -> AsyncIterator[tuple[SimExchange, Gateway]]:
    exchange = SimExchange(clock=SystemClock(), root_password="rootpw")
    seed.org(exchange, "o1")
    seed.agbot(exchange, "IBM", "agbot")
    for name in ("n1", "n2"):
        seed.node(exchange, "o1", name)
    seed.group(exchange, "o1", "g1", ["n1", "n2"])
    async with serving(exchange) as server:
        transport = HttpTransport(server.url)
        client = ExchangeClient(
            transport, Credentials(identity="IBM/agbot", secret=seed.token_of("agbot")), SystemClock()
        )
        try:
            async with gateway(client=client) as running:
                exchange.requests.clear()
                yield exchange, running
        finally:
            await transport.close()


async def test_a_node_is_granted_and_its_peer_refused() -> None:
    async with hub() as (exchange, running):
        granted = await running.ask(N1, NODE)
        refused = await running.ask(N1.replace("n1", "n2"), f"o1/n2:{seed.token_of('n2')}")
        again = await running.ask(N1.replace("n1", "n2"), f"o1/n2:{seed.token_of('n2')}")
    assert (granted.status, refused.status, again.status) == (201, 409, 409)
    assert exchange.requests.total() == 2


async def test_the_real_group_of_the_node_is_named() -> None:
    async with hub() as (_, running):
        got = await running.ask(N1.replace("g1", "g2"), NODE)
    assert got.body == b'{"code":"400","msg":"Error node ha group g1 does not match group name in request g2."}\n'


@pytest.mark.parametrize(
    ("path", "identity"),
    [
        (N1, "o1/n1:wrong"),
        (N1.replace("n1", "admin"), USER),
        (N1.replace("/o1/", "/IBM/").replace("n1", "agbot"), AGBOT),
        (N1.replace("n1", "n9"), "o1/n9:x"),
        (N1.replace("/o1/", "/nope/"), "nope/n1:x"),
    ],
)
async def test_a15_credentials_that_are_not_a_nodes_end_in_one_401_and_one_read(path: str, identity: str) -> None:
    async with hub() as (exchange, running):
        got = await asyncio.gather(*(running.ask(path, identity) for _ in range(20)))
        got += await asyncio.gather(*(running.ask(path, identity) for _ in range(20)))
    assert {one.status for one in got} == {401}
    assert exchange.requests.total() == 1


@pytest.mark.parametrize(
    "fault",
    some(
        [
            Fault(kind=FaultKind.HANG),
            Fault(kind=FaultKind.DROP),
            Fault(kind=FaultKind.TRUNCATE),
            Fault(kind=FaultKind.STATUS, status=502),
            Fault(kind=FaultKind.STATUS, status=500),
            Fault(kind=FaultKind.GARBAGE, text="<html>"),
        ],
        every=2,
    ),
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
@pytest.mark.parametrize(("path", "identity"), [(N1, NODE), (SERVICE, AGBOT)])
async def test_a_failing_exchange_ends_in_one_409_within_three_seconds(path: str, identity: str, fault: Fault) -> None:
    async with hub() as (exchange, running):
        exchange.faults.add(fault)
        with in_time(2.5, slack_seconds=0.5):
            got = await running.ask(path, identity)
        assert (got.status, json.loads(got.body)["code"], b"exchange-unavailable" in got.body) == (409, "409", True)
        exchange.faults.clear()
        assert (await running.ask(path, identity)).status == 201


async def test_an_agbot_asks_for_a_service_and_others_may_not() -> None:
    async with hub() as (_, running):
        assert (await running.ask(SERVICE, AGBOT)).status == 201
        assert (await running.ask(SERVICE, NODE)).status == 401
        assert (await running.ask(SERVICE, USER)).status == 401
        assert b"released." in (await running.ask(SERVICE, AGBOT, "DELETE")).body
