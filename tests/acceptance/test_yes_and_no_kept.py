"""A yes and a no hold as whoever received them understands: over the real file, whatever is on its way to it at the same time."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from agbot.sim.agent_state import Word
from tests.acceptance.hub import Hub
from tests.acceptance.site import Site, ask, granted, group_of_three
from tests.support.patience import until

TRIALS = 5
LOCKED_SECONDS = 0.15
"""Less than the store's patience with another program."""


@pytest.mark.parametrize("first", ["hold", "question"])
async def test_who_hears_that_a_hold_is_set_sees_no_grant_behind_it_that_was_decided_before(
    hub: Hub, site: Site, first: str
) -> None:
    """While another program locks the file, the write of the one is on its way when the other is decided."""
    await hub.publish()
    groups = [f"g{number}" for number in range(TRIALS)]
    for group in groups:
        await hub.group(group, f"{group}-a", f"{group}-b")
    await site.start_ready()
    await until("every group", lambda: knows(site, TRIALS))

    for group in groups:
        tenure = site.write_as_operator("/v1/holds", {"scope": f"o1/{group}", "reason": "a bad release"})
        question = ask(site, f"{group}-a", group=group)
        with closing(sqlite3.connect(site.store_file, isolation_level=None)) as shell:
            shell.execute("BEGIN IMMEDIATE")
            tasks = [
                asyncio.create_task(each) for each in ((tenure, question) if first == "hold" else (question, tenure))
            ]
            await asyncio.sleep(LOCKED_SECONDS)
            shell.execute("ROLLBACK")
        statuses = {status for status, _ in await asyncio.gather(*tasks)}
        assert statuses <= {200, 201, 409}, statuses
        assert (await ask(site, f"{group}-b", group=group))[0] == 409

    held: set[str] = set()
    for entry in await site.journal():
        if entry["event"] == "hold.set":
            held.add(entry["facts"]["scope"])
        elif entry["event"] == "lease.granted":
            assert entry["group"] not in held, "granted behind the hold"
    assert held == {f"o1/{group}" for group in groups}


async def knows(site: Site, number: int) -> bool:
    """Whether the coordinator has read so many groups."""
    return f"agbot_groups {number}.0" in (await site.get("/metrics"))[1]


@pytest.mark.parametrize("how", ["freed by a shell", "locked"])
async def test_a_repeated_yes_is_checked_against_the_file_as_the_first_was(hub: Hub, site: Site, how: str) -> None:
    await group_of_three(hub)
    await site.start_ready()
    await granted(site, "anna")
    await granted(site, "anna")

    with closing(sqlite3.connect(site.store_file, isolation_level=None)) as shell:
        if how == "locked":
            shell.execute("BEGIN IMMEDIATE")
            status, message = await ask(site, "anna")
            assert (status, "store-unavailable" in message) == (409, True), message
            return
        gone = ", ".join(
            f"{key} = NULL" for key in ("holder", "kind", "subject", "granted_at", "renewed_at", "expires_at")
        )
        shell.execute(f"UPDATE lease SET state = 'free', progress = NULL, {gone}")  # noqa: S608 - our own words

    await granted(site, "anna")

    lease = (await site.leases())["g1"]
    assert (lease["holder"], lease["token"]) == ("o1/anna", 2), "a yes of its own, not the old one again"
    tokens = [entry["token"] for entry in await site.journal() if entry["event"] == "lease.granted"]
    assert tokens == [1, 2]


async def test_a_shorter_lease_holds_after_a_reload_for_whoever_has_one(hub: Hub, site: Site) -> None:
    await group_of_three(hub)
    daemon = await site.start_ready()
    await granted(site, "anna")
    await hub.report("anna", Word.INITIATED)
    before = await until("the report", lambda: reported(site))

    site.tables["rules"] |= {"lease_seconds": 1.0}
    site.write()
    daemon.reload()
    await until("the reload", lambda: daemon.events("settings.reloaded"))
    shown = (await site.leases())["g1"]

    assert shown["expires_at"] < before["expires_at"], "shown as it is now, not as it was granted"
    await until("the end of the shorter lease", lambda: daemon.events("lease.suspected"))
    assert (await site.leases())["g1"]["state"] == "suspect"


async def reported(site: Site) -> dict[str, Any]:
    """Return the lease once the report of its holder was seen, before that nothing."""
    lease = (await site.leases())["g1"]
    return lease if lease["status"] == Word.INITIATED else {}
