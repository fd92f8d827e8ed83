"""The real daemon, stopped or killed for longer than a lease: whoever upgraded goes on under its lease, and its peer waits.

The nodes send no heartbeat meanwhile: theirs are as old as our last look.
"""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from agbot.sim.agent_state import Word
from tests.acceptance.hub import Hub
from tests.acceptance.programs import Program, until
from tests.acceptance.site import Site, ask, group_of_three

LEASE_SECONDS = 24.0
"""Longer than time goes on without a look (20 s), so that a blindness of any length leaves some of it."""
AWAY_SECONDS = 27.0
WATCHED_SECONDS = 6.0


async def stopped(_site: Site, daemon: Program) -> None:
    """Stop the process as a debugger or a frozen machine does."""
    os.kill(daemon.pid, signal.SIGSTOP)
    await asyncio.sleep(AWAY_SECONDS)  # this is the time that the test is about
    os.kill(daemon.pid, signal.SIGCONT)


async def killed(site: Site, daemon: Program) -> None:
    """Kill the process, and start another one when the lease would be over."""
    daemon.kill()
    await asyncio.sleep(AWAY_SECONDS)  # this is the time that the test is about
    site.start()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("be_away", [stopped, killed], ids=lambda each: each.__name__)
async def test_away_for_longer_than_a_lease_the_holder_keeps_it_and_its_peer_waits(
    hub: Hub, site: Site, be_away: object
) -> None:
    site.tables["rules"] = {"lease_seconds": LEASE_SECONDS, "confirm_seconds": LEASE_SECONDS}
    site.write()
    await group_of_three(hub)
    daemon = await site.start_ready()
    assert (await ask(site, "anna"))[0] == 201
    await hub.report("anna", Word.INITIATED)
    assert (await ask(site, "ben"))[0] == 409
    before = (await site.leases())["g1"]

    await be_away(site, daemon)  # type: ignore[operator]  # one of the two above
    await site.until_ready()

    loop = asyncio.get_running_loop()
    end = loop.time() + WATCHED_SECONDS
    while loop.time() < end:  # the nodes are not heard at once either
        status, message = await ask(site, "ben")
        assert (status, "lease-held" in message) == (409, True), message
        await asyncio.sleep(0.5)
    lease = (await site.leases())["g1"]
    assert (lease["state"], lease["holder"], lease["token"]) == ("held", "o1/anna", before["token"])
    told = {entry["event"] for entry in await site.journal()}
    assert not told & {"lease.suspected", "lease.released", "lease.taken_over", "brake.set"}

    await hub.report("anna", Word.SUCCESSFUL)

    async def is_free() -> bool:
        return bool((await site.leases())["g1"]["state"] == "free")

    await until("the end of the upgrade", is_free)
