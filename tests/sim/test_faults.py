"""Each fault as a client of the real socket meets it, and how faults select requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from agbot.sim.clock import ScaledClock
from agbot.sim.exchange import ExchangeServer, SimExchange, basic, seed, serving
from agbot.sim.faults import Dropped, Fault, FaultKind, FaultPlan, Hang
from tests.sim.plant import ADMIN, IBM_AGBOT, NODE, ROOT, plant
from tests.support.patience import PATIENCE_SECONDS

GROUPS = "/orgs/o1/hagroups"


@pytest.fixture
async def server() -> AsyncIterator[ExchangeServer]:
    async with serving(plant()) as listening:
        yield listening


@pytest.fixture
async def client(server: ExchangeServer) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": basic(IBM_AGBOT, "agbot1-secret")}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield session


async def get(client: aiohttp.ClientSession, server: ExchangeServer, path: str = GROUPS) -> tuple[int, Any]:
    async with client.get(server.url + path) as response:
        return response.status, await response.json()


def switch_on(server: ExchangeServer, kind: FaultKind, **more: Any) -> int:
    return server.exchange.faults.add(Fault(kind=kind, **more))


async def test_an_error_status_comes_with_an_error_body_and_nothing_done(
    server: ExchangeServer, client: aiohttp.ClientSession
) -> None:
    switch_on(server, FaultKind.STATUS, status=503, times=1)
    assert await get(client, server) == (503, {"code": "database-connection-error", "msg": "simulated fault"})
    assert (await get(client, server))[0] == 200


async def test_a_dropped_connection_is_a_disconnect(server: ExchangeServer, client: aiohttp.ClientSession) -> None:
    switch_on(server, FaultKind.DROP)
    with pytest.raises(aiohttp.ClientConnectionError):
        await get(client, server)
    assert server.exchange.requests.total() == 0


async def test_a_lost_answer_is_a_disconnect_after_the_request_was_carried_out(
    server: ExchangeServer, client: aiohttp.ClientSession
) -> None:
    switch_on(server, FaultKind.DROP, applied=True)
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.post(f"{server.url}/orgs/IBM/agbots/agbot1/heartbeat")
    assert server.exchange.count(template="/orgs/{org}/agbots/{id}/heartbeat") == 1


async def test_a_truncated_body_breaks_the_promise_of_its_length(
    server: ExchangeServer, client: aiohttp.ClientSession
) -> None:
    switch_on(server, FaultKind.TRUNCATE)
    async with client.get(server.url + GROUPS) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_garbage_has_the_right_status_and_no_json(server: ExchangeServer, client: aiohttp.ClientSession) -> None:
    switch_on(server, FaultKind.GARBAGE)
    with pytest.raises(ValueError, match="Expecting"):
        await get(client, server)


async def test_json_of_the_wrong_shape_can_be_sent(server: ExchangeServer, client: aiohttp.ClientSession) -> None:
    switch_on(server, FaultKind.GARBAGE, text='{"nodeGroups": 5}')
    assert await get(client, server) == (200, {"nodeGroups": 5})


async def test_latency_holds_the_reply_back_by_simulated_seconds() -> None:
    exchange = SimExchange(clock=ScaledClock(speed=100), root_password="pw")
    exchange.faults.add(Fault(kind=FaultKind.LATENCY, seconds=20))
    loop = asyncio.get_running_loop()
    async with serving(exchange) as listening, aiohttp.ClientSession() as session:
        started = loop.time()
        async with session.get(f"{listening.url}/test") as response:
            assert response.status == 200
        assert loop.time() - started >= 0.2


async def test_a_hanging_request_never_answers_and_does_not_keep_the_server_from_closing() -> None:
    async with serving(plant()) as listening, aiohttp.ClientSession() as session:
        listening.exchange.faults.add(Fault(kind=FaultKind.HANG, path="version$"))
        hanging = asyncio.create_task(session.get(f"{listening.url}/admin/version"))
        async with session.get(f"{listening.url}/test") as response:
            assert response.status == 200
        await asyncio.wait({hanging}, timeout=0.1)
        assert (hanging.done(), listening.exchange.faults.to_json()[0]["hits"]) == (False, 1)
        await asyncio.wait_for(listening.close(), PATIENCE_SECONDS)
        with pytest.raises(aiohttp.ClientConnectionError):
            await hanging


async def test_a_clock_that_is_off_shows_in_date_and_in_times(
    server: ExchangeServer, client: aiohttp.ClientSession
) -> None:
    before = server.exchange.now()
    switch_on(server, FaultKind.CLOCK, seconds=-7200)
    async with client.post(f"{server.url}/orgs/IBM/agbots/agbot1/heartbeat") as response:
        assert parsedate_to_datetime(response.headers["Date"]) == before - timedelta(hours=2)
    agbot = (await get(client, server, "/orgs/IBM/agbots/agbot1"))[1]["agbots"]["IBM/agbot1"]
    assert agbot["lastHeartbeat"].startswith(f"{before - timedelta(hours=2):%Y-%m-%dT%H:%M:%S}")


async def test_of_several_servers_each_answers_and_stamps_by_its_own_clock(
    server: ExchangeServer, client: aiohttp.ClientSession
) -> None:
    before = server.exchange.now()
    switch_on(server, FaultKind.SKEW, seconds=20, path="/heartbeat$")
    async with client.post(f"{server.url}/orgs/IBM/agbots/agbot1/heartbeat") as response:
        assert parsedate_to_datetime(response.headers["Date"]) == before + timedelta(seconds=20)
    async with client.get(f"{server.url}/orgs/IBM/agbots/agbot1") as response:
        assert parsedate_to_datetime(response.headers["Date"]) == before
        agbot = (await response.json())["agbots"]["IBM/agbot1"]
    assert agbot["lastHeartbeat"].startswith(f"{before + timedelta(seconds=20):%Y-%m-%dT%H:%M:%S}")


async def test_faults_are_switched_over_http_by_root_alone(
    server: ExchangeServer, client: aiohttp.ClientSession
) -> None:
    url = f"{server.base_url}/sim/faults"
    root = {"Authorization": basic(ROOT, "rootpw")}
    async with client.put(url, json=[{"kind": "status"}]) as response:
        assert response.status == 403
    async with client.put(url, json=[{"kind": "status", "status": 500, "org": "o1"}], headers=root) as response:
        assert (response.status, (await response.json())[0]["status"]) == (201, 500)
    assert (await get(client, server))[0] == 500
    for wrong in ([{"kind": "nosuch"}], [{"kind": "status", "rate": 2}], {"kind": "status"}, [{"colour": "red"}]):
        async with client.put(url, json=wrong, headers=root) as response:
            assert response.status == 400
    async with client.delete(url, headers=root) as response:
        assert response.status == 204
    assert (await get(client, server))[0] == 200


async def test_the_report_shows_what_was_asked(server: ExchangeServer, client: aiohttp.ClientSession) -> None:
    await get(client, server)
    async with client.get(
        f"{server.base_url}/sim/report", headers={"Authorization": basic(ROOT, "rootpw")}
    ) as response:
        report = await response.json()
    assert report["requests"] == {"GET /orgs/{org}/hagroups agbot": 1}
    assert report["requests_total"] == 1


@pytest.mark.parametrize(
    ("selection", "struck"),
    [
        ({}, True),
        ({"org": "o1"}, True),
        ({"org": "o2"}, False),
        ({"org": "o"}, False),
        ({"path": "hagroups$"}, True),
        ({"path": "^/v1/changes"}, False),
        ({"method": "GET"}, True),
        ({"method": "POST"}, False),
        ({"caller": "^IBM/"}, True),
        ({"caller": "^o1/"}, False),
    ],
)
def test_a_fault_strikes_only_the_requests_it_selects(selection: dict[str, Any], struck: bool) -> None:
    exchange = plant()
    exchange.faults.add(Fault(kind=FaultKind.STATUS, **selection))
    assert (exchange.call("GET", GROUPS, caller=IBM_AGBOT).status == 503) is struck


def test_chance_is_repeatable_by_its_seed_and_follows_the_rate() -> None:
    def draws(seed_: int) -> list[bool]:
        plan = FaultPlan(seed_)
        plan.add(Fault(kind=FaultKind.DROP, rate=0.3))
        return [plan.hit(FaultKind.DROP, "GET", "/x", "") is not None for _ in range(1000)]

    assert draws(1) == draws(1) != draws(2)
    assert 250 < sum(draws(1)) < 350


def test_in_process_a_drop_and_a_hang_are_raised_and_a_delay_is_reported() -> None:
    exchange = plant()
    exchange.faults.add(Fault(kind=FaultKind.LATENCY, seconds=3))
    assert exchange.call("GET", GROUPS).delay_seconds == 3
    for kind, error in ((FaultKind.DROP, Dropped), (FaultKind.HANG, Hang)):
        handle = exchange.faults.add(Fault(kind=kind))
        with pytest.raises(error):
            exchange.call("GET", GROUPS)
        exchange.faults.remove(handle)
    exchange.faults.add(Fault(kind=FaultKind.TRUNCATE))
    assert exchange.call("GET", GROUPS).truncated


def test_jitter_stays_within_its_bounds() -> None:
    plan = FaultPlan()
    plan.add(Fault(kind=FaultKind.LATENCY, seconds=1, jitter_seconds=0.5))
    delays = {plan.delay_seconds("GET", "/x", "") for _ in range(200)}
    assert len(delays) > 100
    assert 0.5 <= min(delays) < max(delays) <= 1.5


async def test_a_new_exchange_over_http_holds_two_organisations_and_root() -> None:
    exchange = SimExchange(clock=ScaledClock(epoch=datetime(2026, 1, 1, tzinfo=UTC)), root_password="pw")
    async with serving(exchange) as listening, aiohttp.ClientSession() as session:
        async with session.get(f"{listening.url}/orgs", headers={"Authorization": basic(ROOT, "pw")}) as response:
            assert set((await response.json())["orgs"]) == {"IBM", "root"}
        async with session.get(f"{listening.url}/admin/version") as response:
            assert await response.text() == "2.154.0\n"


def test_a_write_that_an_error_status_refused_changed_nothing() -> None:
    exchange = plant()
    exchange.faults.add(Fault(kind=FaultKind.STATUS, caller="o1/n1$"))
    with pytest.raises(seed.SeedRefused):
        seed.upgrade_status(exchange, "o1", "n1", "nmp", "waiting")
    assert exchange.call("GET", "/orgs/o1/nodes/n1/managementStatus", caller=ADMIN).status == 404
    assert exchange.secret_of(NODE) == "n1-secret"
