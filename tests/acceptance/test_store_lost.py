"""A store that goes away under the running daemon: nothing is granted, the reason is reported, and when it is back so is the daemon."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from agbot.sim.agent_state import Word
from tests.acceptance.hub import Hub
from tests.acceptance.programs import Program
from tests.acceptance.site import Site, ask, granted, group_of_three
from tests.support.patience import until


async def test_a_moved_file_grants_nothing_until_it_is_back(hub: Hub, site: Site) -> None:
    await group_of_three(hub)
    await hub.group("g2", "dora", "emil")
    daemon = await site.start_ready()
    await granted(site, "anna")
    token = (await site.leases())["g1"]["token"]

    away = site.store_file.with_name("elsewhere.db")
    site.store_file.rename(away)
    for _ in range(3):
        status, message = await ask(site, "dora", group="g2")
        assert (status, "store-unavailable" in message) == (409, True), message
        assert str(site.folder) not in message, "where the hub keeps its files is no business of a node"
        assert site.store_file.name not in message
    await site.until_unready("store")
    [failed] = await until("the failure in the log", lambda: daemon.events("store.failed"))
    assert "has been moved, removed or replaced" in failed["error"]
    assert await site.shows("/livez", 200)
    stated = await site.operate("status")
    assert "the store cannot be used" in stated.out

    away.rename(site.store_file)
    await site.until_ready()
    await until("the recovery in the log", lambda: daemon.events("store.recovered"))
    assert len(daemon.events("store.failed")) == len(daemon.events("store.recovered")) == 1
    lease = (await site.leases())["g1"]
    assert (lease["state"], lease["holder"], lease["token"]) == ("held", "o1/anna", token)
    await granted(site, "dora", group="g2")


async def test_while_another_program_locks_it_nothing_is_granted_and_nothing_is_lost(hub: Hub, site: Site) -> None:
    await group_of_three(hub)
    await hub.group("g2", "dora", "emil")
    daemon = await site.start_ready()
    await granted(site, "anna")
    await hub.report("anna", Word.INITIATED)

    with closing(sqlite3.connect(site.store_file, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        status, message = await ask(site, "dora", group="g2")
        assert (status, "store-unavailable" in message) == (409, True), message
        await hub.report("anna", Word.SUCCESSFUL)
        await site.until_unready("store")
        await until("several cycles that fail", lambda: len(failing_cycles(daemon)) > 2)
        assert not daemon.events("store.recovered"), "reading works all the time, and is no recovery"
        shell.execute("ROLLBACK")

    await site.until_ready()
    await until("the release of what has ended meanwhile", lambda: is_free(site))
    await granted(site, "dora", group="g2")
    assert len(daemon.events("store.failed")) == len(daemon.events("store.recovered")) == 1


def failing_cycles(daemon: Program) -> list[dict[str, Any]]:
    return [each for each in daemon.events("cycle.done") if "the lease store fails" in each["sentence"]]


async def is_free(site: Site) -> bool:
    return await site.holder() is None
