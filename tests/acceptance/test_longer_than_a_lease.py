"""The real daemon, stopped or killed for longer than a lease: whoever upgraded goes on under its lease, and its peer waits.

The nodes send no heartbeat meanwhile: theirs are as old as our last look.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from functools import partial

from agbot.sim.agent_state import Word
from tests.acceptance.hub import Hub
from tests.acceptance.programs import Program
from tests.acceptance.site import Site, ask, granted, group_of_three
from tests.support.examples import thorough
from tests.support.patience import until

LEASE_SECONDS = 24.0
"""Longer than time goes on without a look (20 s), so that a blindness of any length leaves some of
it."""
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


@thorough
async def test_away_for_longer_than_a_lease_the_holder_keeps_it_and_its_peer_waits(
    hub: Hub, site: Site, new_site: Callable[[str], Site]
) -> None:
    """Two hosts, each with a coordinator of its own beside the same Exchange, are away at the same time."""
    other = new_site("other")
    for each in (site, other):
        each.tables["rules"] = {"lease_seconds": LEASE_SECONDS, "confirm_seconds": LEASE_SECONDS}
        each.write()
    await group_of_three(hub)
    daemons = [await each.start_ready() for each in (site, other)]
    for each in (site, other):
        await granted(each, "anna")
    await hub.report("anna", Word.INITIATED)
    for each in (site, other):
        assert (await ask(each, "ben"))[0] == 409
    tokens = [(await each.leases())["g1"]["token"] for each in (site, other)]

    await asyncio.gather(stopped(site, daemons[0]), killed(other, daemons[1]))
    await asyncio.gather(*(peer_waits(each, token) for each, token in zip((site, other), tokens, strict=True)))

    await hub.report("anna", Word.SUCCESSFUL)
    for each in (site, other):
        await until("the end of the upgrade", partial(is_free, each))


async def peer_waits(site: Site, token: int) -> None:
    """See for a while that the holder keeps its lease and that its peer waits."""
    await site.until_ready()
    loop = asyncio.get_running_loop()
    end = loop.time() + WATCHED_SECONDS
    while loop.time() < end:  # the nodes are not received at once either
        status, message = await ask(site, "ben")
        assert (status, "lease-held" in message) == (409, True), message
        await asyncio.sleep(0.5)
    lease = (await site.leases())["g1"]
    assert (lease["state"], lease["holder"], lease["token"]) == ("held", "o1/anna", token)
    emitted = {entry["event"] for entry in await site.journal()}
    assert not emitted & {"lease.suspected", "lease.released", "lease.taken_over", "brake.set"}


async def is_free(site: Site) -> bool:
    return bool((await site.leases())["g1"]["state"] == "free")
