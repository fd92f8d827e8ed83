"""SIGTERM: what is asked already is answered, nothing new is granted, the leases stay, and five seconds are enough."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import pairwise

import pytest

from agbot.sim.agent_state import Word
from tests.acceptance.hub import Hub
from tests.acceptance.programs import until
from tests.acceptance.site import Site, ask, group_of_three
from tests.acceptance.systemd import WATCHDOG_SECONDS, Systemd, systemd

STOP_SECONDS = 5.0
SLACK_SECONDS = 1.0


@pytest.mark.parametrize(
    ("fault", "reason"),
    [({"kind": "latency", "seconds": 1.0}, "stopping"), ({"kind": "hang"}, "exchange-unavailable")],
    ids=["slow", "hanging"],
)
async def test_a_question_in_flight_is_answered_and_the_leases_stay(
    hub: Hub, site: Site, fault: dict[str, object], reason: str
) -> None:
    site.tables["exchange"]["request_seconds"] = 2.5
    site.write()
    await group_of_three(hub)
    await hub.group("g2", "dora", "emil")
    daemon = await site.start_ready()
    assert (await ask(site, "anna"))[0] == 201
    await hub.report("anna", Word.INITIATED)
    token = (await site.leases())["g1"]["token"]

    await hub.break_down({**fault, "caller": "o1/dora"})
    question = asyncio.create_task(ask(site, "dora", group="g2"))
    await until("the question's read of its node", lambda: struck(hub))
    began = asyncio.get_running_loop().time()
    daemon.terminate()
    status, message = await question
    assert (status, reason in message) == (409, True), message
    assert await daemon.ended() == 0
    assert asyncio.get_running_loop().time() - began < STOP_SECONDS + SLACK_SECONDS
    assert daemon.lines()[-1]["event"] == "daemon.stopped"

    await hub.break_down()
    again = await site.start_ready()
    lease = (await site.leases())["g1"]
    assert (lease["state"], lease["holder"], lease["token"]) == ("held", "o1/anna", token)
    assert (await ask(site, "ben"))[0] == 409
    assert (await ask(site, "anna"))[0] == 201
    assert (await site.leases())["g1"]["token"] == token
    assert (await site.leases())["g2"]["state"] == "free", "nothing new was granted on the way out"
    again.terminate()
    assert await again.ended() == 0


async def struck(hub: Hub) -> bool:
    """Whether any fault has struck."""
    return any(fault["hits"] for fault in await hub.faults())


async def test_it_stops_in_time_while_the_exchange_hangs_and_a_passed_on_request_does(hub: Hub, site: Site) -> None:
    reached = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await over.wait()
        writer.close()

    over = asyncio.Event()
    upstream = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = upstream.sockets[0].getsockname()[1]
    site.tables["agbot"] = {"secure_api": f"http://127.0.0.1:{port}"}
    site.tables["exchange"]["request_seconds"] = 30.0
    site.write()
    daemon = await site.start_ready()
    await hub.break_down({"kind": "hang"})
    await until("a read that hangs", lambda: struck(hub))
    passed_on = asyncio.create_task(passed(site))
    await reached.wait()

    began = asyncio.get_running_loop().time()
    daemon.terminate()
    assert await daemon.ended() == 0
    assert asyncio.get_running_loop().time() - began < STOP_SECONDS + SLACK_SECONDS
    assert len(daemon.events("gateway.cut")) == 1
    await passed_on
    over.set()
    upstream.close()
    await upstream.wait_closed()


async def passed(site: Site) -> None:
    """Send something that is passed on, and take whatever becomes of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway_port)
    writer.write(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.read()
    writer.close()


async def test_systemd_hears_ready_what_is_done_that_it_lives_reloads_and_stops(hub: Hub, site: Site) -> None:
    await group_of_three(hub)
    with systemd() as told:
        daemon = await site.start_ready(**told.environ)
        assert told.listen()[0] == {"READY": "1", "STATUS": "started; has not read the Exchange yet"}
        await ask(site, "anna")
        await until("a sentence", lambda: any("1 held, 0 suspect, 0 waiting" in each for each in told.said("STATUS")))
        assert told.said("WATCHDOG")

        before = len(told.listen())
        daemon.reload()
        await until("the end of the reload", lambda: {"READY": "1"} in told.listen()[before:])
        reload = [each for each in told.listen()[before:] if "RELOADING" in each]
        assert len(reload) == 1
        assert reload[0]["MONOTONIC_USEC"].isdigit()

        daemon.terminate()
        assert await daemon.ended() == 0
        assert told.said("STOPPING") == ["1"]


async def test_the_watchdog_is_fed_while_the_exchange_hangs(hub: Hub, site: Site) -> None:
    site.tables["exchange"] |= {"request_seconds": 5.0, "view_max_age_seconds": 1.0}
    site.write()
    with systemd() as told:
        await site.start_ready(**told.environ)
        await hub.break_down({"kind": "hang"})
        await site.until_unready()
        began = asyncio.get_running_loop().time()
        gaps = [began]
        fed = len(told.said("WATCHDOG"))
        for meal in range(fed + 1, fed + 5):
            await until("food for the watchdog", partial(was_fed, told, meal))
            gaps.append(asyncio.get_running_loop().time())
        longest = max(later - earlier for earlier, later in pairwise(gaps))
        assert longest < WATCHDOG_SECONDS
        assert await site.shows("/livez", 200)


def was_fed(told: Systemd, times: int) -> bool:
    """Whether the watchdog got its food so often."""
    return len(told.said("WATCHDOG")) >= times
