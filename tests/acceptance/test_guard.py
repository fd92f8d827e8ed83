"""A daemon beside the guard, as processes: the agbot's own claims are decided with it and without it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agbot.sim.agbot_database import AgbotDatabase
from agbot.sim.agbot_rows import AgentRow
from tests.acceptance.hub import Hub
from tests.acceptance.site import Site, group_of_three
from tests.support.guarded import COORDINATOR, Guarded, prepare
from tests.support.hub import NMP
from tests.support.patience import until
from tests.support.postgres import Postgres


def claim(node: str) -> AgentRow:
    return AgentRow(org="o1", group="g1", node=node, nmp=NMP)


async def claims(agbot: AgbotDatabase, node: str) -> bool:
    return await asyncio.to_thread(agbot.claim_agent, claim(node))


def waits_of_others(hub: Guarded) -> int:
    """Count the sessions of the guard that are in a transaction without a statement, or that hold a lock of the agbot's tables."""
    rows = hub.server.run(
        hub.database,
        "SELECT (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'agbot guard' AND state LIKE 'idle in%')"
        " + (SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = 'agbot guard'"
        " AND relation IN ('ha_group_updates'::regclass, 'ha_workload_upgrade'::regclass) AND state = 'idle')",
    )
    return int(str(rows[0][0]))


async def test_the_agbots_claims_are_decided_while_the_daemon_runs_and_after_kill_9(
    hub: Hub, site: Site, postgres_server: Postgres, postgres_database: str, tmp_path: Path
) -> None:
    guarded = await asyncio.to_thread(prepare, postgres_server, postgres_database)
    await asyncio.to_thread(guarded.install)
    url = postgres_server.url(postgres_database, user=COORDINATOR)
    site.tables["store"] = {"url": url}
    site.tables["guard"] = {"enabled": True, "agents_without_leader": "go"}
    site.write()
    await group_of_three(hub)
    agbot = await asyncio.to_thread(guarded.agbot)
    daemon = await site.start_ready()
    await until("a yes to the agbot", lambda: claims(agbot, "anna"))
    assert not await claims(agbot, "ben")
    await until("the refusal of the first try in the journal", lambda: daemon.events("guard.refused"))
    assert [each["node"] for each in daemon.events("lease.granted")] == ["o1/anna"]
    assert [waits_of_others(guarded) for _ in range(50)] == 50 * [0]
    shown = await site.leases()
    assert shown["g1"]["holder"] == "o1/anna"
    daemon.kill()
    guarded.read("UPDATE agbot_ha.guard_setting SET judged_until = now()")
    assert not await claims(agbot, "ben")
    agbot.delete_agents()
    assert not await claims(agbot, "carl")
    assert await claims(agbot, "anna")
    assert guarded.lease("o1/g1") is not None
    agbot.close()
