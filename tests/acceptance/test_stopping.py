"""SIGTERM: what is asked already is answered, nothing new is granted, the leases stay, and five seconds are enough."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import pairwise

import pytest

from agbot.sim.agent_state import Word
from tests.acceptance.hub import Hub
from tests.acceptance.site import Site, ask, granted, group_of_three
from tests.acceptance.systemd import WATCHDOG_SECONDS, Systemd, systemd
from tests.support.patience import in_time, until

STOP_SECONDS = 5.0


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
    await granted(site, "anna")
    await hub.report("anna", Word.INITIATED)
    token = (await site.leases())["g1"]["token"]

    await hub.break_down({**fault, "caller": "o1/dora"})
    question = asyncio.create_task(ask(site, "dora", group="g2"))
    await until("the question's read of its node", lambda: struck(hub))
    with in_time(STOP_SECONDS):
        daemon.terminate()
        status, message = await question
        assert (status, reason in message) == (409, True), message
        assert await daemon.ended() == 0
    assert daemon.lines()[-1]["event"] == "daemon.stopped"

    await hub.break_down()
    again = await site.start_ready()
    lease = (await site.leases())["g1"]
    assert (lease["state"], lease["holder"], lease["token"]) == ("held", "o1/anna", token)
    assert (await ask(site, "ben"))[0] == 409
    await granted(site, "anna")
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

    with in_time(STOP_SECONDS):
        daemon.terminate()
        assert await daemon.ended() == 0
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
    site.installed = True
    with systemd() as emitted:
        daemon = await site.start_ready(**emitted.environ)
        assert emitted.listen()[0] == {"READY": "1", "STATUS": "started; has not read the Exchange yet"}
        await ask(site, "anna")
        await until(
            "a sentence", lambda: any("1 held, 0 suspect, 0 waiting" in each for each in emitted.stated("STATUS"))
        )
        assert emitted.stated("WATCHDOG")

        before = len(emitted.listen())
        daemon.reload()
        await until("the end of the reload", lambda: {"READY": "1"} in emitted.listen()[before:])
        reload = [each for each in emitted.listen()[before:] if "RELOADING" in each]
        assert len(reload) == 1
        assert reload[0]["MONOTONIC_USEC"].isdigit()

        daemon.terminate()
        assert await daemon.ended() == 0
        assert emitted.stated("STOPPING") == ["1"]


async def test_the_watchdog_is_fed_while_the_exchange_hangs(hub: Hub, site: Site) -> None:
    site.tables["exchange"] |= {"request_seconds": 5.0, "view_max_age_seconds": 1.0}
    site.write()
    with systemd() as emitted:
        await site.start_ready(**emitted.environ)
        await hub.break_down({"kind": "hang"})
        await site.until_unready()
        meals = [(len(emitted.stated("WATCHDOG")), asyncio.get_running_loop().time())]
        await until("four meals in a row in time", partial(was_fed_in_time, emitted, meals, 4))
        assert await site.shows("/livez", 200)


def was_fed_in_time(emitted: Systemd, meals: list[tuple[int, float]], times: int) -> bool:
    """Whether the watchdog's last meals, so many of them, came in time.

    On a busy machine a single one may be late.

    `meals` are added to: how often it was fed by then, and when.
    """
    fed, now = len(emitted.stated("WATCHDOG")), asyncio.get_running_loop().time()
    if fed > meals[-1][0]:
        meals.append((fed, now))
    gaps = [later - earlier for (_, earlier), (_, later) in pairwise(meals)]
    return len(gaps) >= times and max(gaps[-times:]) < WATCHDOG_SECONDS
