"""Whatever becomes of the Exchange, the daemon runs, grants nothing it cannot vouch for, says why, and recovers by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agbot.sim.agent_state import Word
from tests.acceptance.hub import Hub
from tests.acceptance.site import Site, ask, granted, group_of_three
from tests.support.patience import in_time

ANSWER_SECONDS = 3.0


async def timed_ask(site: Site, node: str) -> tuple[int, str]:
    """Ask, and see that the answer comes in time."""
    with in_time(ANSWER_SECONDS):
        return await ask(site, node)


async def test_without_an_exchange_it_starts_says_why_it_grants_nothing_and_recovers_by_itself(
    absent_hub: Hub, site: Site
) -> None:
    daemon = site.start()
    why = await site.until_unready("cannot be read")
    assert "has not been read yet" in why
    assert await site.get("/livez") == (200, "alive\n")

    status, message = await timed_ask(site, "anna")
    assert status == 409
    assert "exchange-unavailable" in message

    await absent_hub.start()
    await group_of_three(absent_hub)
    await site.until_ready()
    await granted(site, "anna")
    assert len(daemon.events("exchange.failed")) == len(daemon.events("exchange.recovered")) == 1
    assert len(daemon.events("daemon.ready")) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "hang"},
        {"kind": "drop"},
        {"kind": "status", "status": 503},
        {"kind": "garbage", "text": "<html>a proxy's page</html>"},
    ],
    ids=lambda fault: fault["kind"],
)
async def test_when_the_exchange_fails_later_it_grants_nothing_and_the_upgrade_under_way_keeps_its_lease(
    hub: Hub, site: Site, fault: dict[str, Any]
) -> None:
    await group_of_three(hub)
    await hub.group("g2", "dora", "emil")
    daemon = await site.start_ready()
    await granted(site, "anna")
    await hub.report("anna", Word.INITIATED)
    status, message = await ask(site, "ben")
    assert (status, "lease-held" in message) == (409, True)
    token = (await site.leases())["g1"]["token"]

    await hub.break_down(fault)
    await site.until_unready("cannot be read")
    await site.until_unready("was last read")
    answers = await asyncio.gather(timed_ask(site, "ben"), timed_ask(site, "carl"), ask(site, "dora", group="g2"))
    assert [status for status, _ in answers] == [409, 409, 409]
    assert "view-stale" in answers[0][1]
    assert all("exchange-unavailable" in message for _, message in answers[1:])
    lease = (await site.leases())["g1"]
    assert (lease["state"], lease["holder"], lease["token"]) == ("held", "o1/anna", token)

    await hub.break_down()
    await site.until_ready()
    assert (await ask(site, "ben"))[0] == 409
    await hub.report("anna", Word.SUCCESSFUL)
    await hub.heartbeat("anna")
    await granted(site, "dora", group="g2")
    failures, recoveries = daemon.events("exchange.failed"), daemon.events("exchange.recovered")
    assert len(failures) == len(recoveries) == 1, "told once when it begins, and once when it is over"
