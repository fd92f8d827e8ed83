"""docs/guard.md on a real PostgreSQL; docs/forecast.md, docs/page.md and docs/fleetlock.md."""

from __future__ import annotations

import asyncio
from contextlib import closing

from agbot.guard.scripts import VERSION
from agbot.sim.agbot_rows import AgentRow
from agbot.sim.agent_state import Word
from tests.acceptance.hub import NMP, OLD, Hub, secret_of
from tests.acceptance.pages.machine import Machine
from tests.acceptance.pages.walk import Walk, walking
from tests.acceptance.programs import free_port
from tests.acceptance.site import granted, group_of_three
from tests.support.guarded import COORDINATOR, prepare
from tests.support.patience import until
from tests.support.postgres import Postgres


async def test_the_guard_is_installed_looked_at_and_removed_while_the_coordinator_runs(
    hub: Hub, machine: Machine, postgres_server: Postgres, postgres_database: str
) -> None:
    guarded = await asyncio.to_thread(prepare, postgres_server, postgres_database)
    machine.tables["store"] = {"url": postgres_server.url(postgres_database, user=COORDINATOR)}
    machine.tables["guard"] = {"enabled": True}
    machine.write()
    await group_of_three(hub)
    await machine.started()
    agbot = await asyncio.to_thread(guarded.agbot)
    with closing(agbot), walking(machine, "docs/guard.md") as walk:
        await walk("agbot guard install --dry-run", "CREATE TRIGGER")
        await walk("agbot guard install", "the guard is installed")
        await until(
            "its first look",
            lambda: guarded.read("SELECT 1 FROM agbot_ha.guard_setting WHERE judged_until > now()"),
        )
        shown = await walk("agbot guard status", "a coordinator decides; should it stop now")
        assert shown.splitlines()[0] == f"the guard is installed (version {VERSION}) on the tables in public"
        row = AgentRow(org="o1", group="g1", node="anna", nmp=NMP)
        assert not await asyncio.to_thread(agbot.claim_agent, row), "the first claim is always refused once"
        await until("a yes", lambda: asyncio.to_thread(agbot.claim_agent, row))
        await walk("agbot guard uninstall", "the guard is removed", typed={"uninstall": "uninstall --yes"})
        await walk("agbot run", "address already in use", code=7)
        await the_guard_is_tried_on_a_simulated_hub(walk, postgres_server, f"{postgres_database}_trial")
        await walk("agbot explain NODE", "o1/shop-2", typed={"NODE": "o1/shop-2"})


async def the_guard_is_tried_on_a_simulated_hub(walk: Walk, server: Postgres, database: str) -> None:
    machine = walk.machine
    await asyncio.to_thread(server.run, "postgres", f"CREATE DATABASE {database}")
    exchange, api, secure = (f"127.0.0.1:{free_port()}" for _ in range(3))
    url = server.url(database)
    words = {"postgresql:///agbot_trial": url, "127.0.0.1:8082": secure}
    elsewhere = {"sim hub": f"sim hub --exchange {exchange} --api {api}", "30": "12"}  # who types takes longer
    hub = "agbot sim hub --database postgresql:///agbot_trial --secure-api 127.0.0.1:8082 --upgrades-after 30 --fast"
    await walk(hub, typed=words | elsewhere, until_shown="nothing is kept", goes_on=True)
    await walk("agbot guard install --database postgresql:///agbot_trial", "the guard is installed", typed=words)
    (machine.folder / "exchange-token").write_text("upgrade-coordinator-secret", encoding="utf-8")
    machine.tables["exchange"] |= {"url": f"http://{exchange}/v1", "identity": "IBM/upgrade-coordinator"}
    machine.tables["agbot"] = {"secure_api": f"http://{secure}", "api": [f"http://{api}"]}
    machine.tables["store"] = {"url": url}
    await machine.restarted()
    await walk(
        "agbot guard status --database postgresql:///agbot_trial",
        "a coordinator decides; should it stop now",
        typed=words,
    )
    for event in ("guard.refused", "lease.granted"):
        await until(event, lambda event=event: machine.shows_text(f"/v1/history?event={event}", "o1/shop"))
        await walk(f"agbot history --event {event}", "o1/shop")


async def test_the_forecast_reads_the_hub_of_the_settings(hub: Hub, machine: Machine) -> None:
    await hub.publish("agent-2.31")
    await hub.publish("agent-2.32")
    await hub.group("g1", "anna", "ben")
    await machine.started()
    await granted(machine, "anna", nmp="agent-2.31")
    await hub.report("anna", Word.INITIATED, "agent-2.31")
    await hub.report("anna", Word.SUCCESSFUL, "agent-2.31", runs=OLD)
    await machine.logged("[lease.released")
    with walking(machine, "docs/forecast.md") as walk:
        await walk("agbot simulate", "Name what is rolled out: --nmp, --policy or both", code=2)
        shown = await walk("agbot simulate --nmp o1/agent-2.32 --picture forecast.svg", "o1/g1", "2 of 2")
        assert "Forecast of o1/agent-2.32, as " in shown
    assert (machine.home / "forecast.svg").read_text(encoding="utf-8").startswith("<svg")


async def test_a_host_asks_before_its_reboot_and_operators_decide_about_it(hub: Hub, machine: Machine) -> None:
    await hub.publish()
    await hub.group("g1", "n1", "n2")
    machine.tables["gateway"]["fleetlock"] = True
    machine.write()
    await machine.started()
    machine.environ["TOKEN"] = secret_of("n1")
    address = {"https://hub.example.com:8083": machine.gateway}
    with walking(machine, "docs/fleetlock.md") as walk:
        header = "curl -u \"o1/n1:$TOKEN\" -H 'fleet-lock-protocol: true' https://hub.example.com:8083/v1"
        body = '-d \'{"client_params": {"group": "default", "id": "test"}}\''
        assert await walk(f"{header}/pre-reboot {body}", typed=address | {"curl": "curl -sf"}) == ""
        assert (await machine.leases())["g1"]["kind"] == "host"
        assert await walk(f"{header}/steady-state {body}", typed=address | {"curl": "curl -sf"}) == ""
        assert await machine.holder("g1") is None
        await walk("agbot explain o1/n2", "o1/n2")
        allow = 'agbot allow o1/n2 --subject o1/operating-system --reason "the kernel is exploited"'
        await walk(allow, "o1/operating-system")
        await walk('agbot hold o1 --reason "no reboots this week"', "o1 is on hold")
        resume = 'agbot resume o1/g1 --subject o1/operating-system --reason "the disk was replaced"'
        await walk(resume, "is not stopped in o1/g1", code=7)
        await tried_on_a_simulated_hub(walk)


async def tried_on_a_simulated_hub(walk: Walk) -> None:
    machine = walk.machine
    exchange, api, secure = (f"127.0.0.1:{free_port()}" for _ in range(3))
    hub = "agbot sim hub --gateway http://127.0.0.1:8083 --secure-api 127.0.0.1:8082 --upgrades-after 3600"
    address = {"http://127.0.0.1:8083": machine.gateway}
    elsewhere = {"sim hub": f"sim hub --exchange {exchange} --api {api}", "127.0.0.1:8082": secure}
    shown = await walk(hub, typed=address | elsewhere, until_shown="nothing is kept", goes_on=True)
    assert "(o1/kitchen-1: kitchen-1-secret)" in shown
    (machine.folder / "exchange-token").write_text("upgrade-coordinator-secret", encoding="utf-8")
    machine.tables["exchange"] |= {"url": f"http://{exchange}/v1", "identity": "IBM/upgrade-coordinator"}
    machine.tables["store"]["path"] = str(machine.store_file.with_name("simulated.db"))
    await machine.restarted()
    await until("the nodes", lambda: machine.shows_text("/v1/groups/o1/kitchen", "kitchen-3"))
    ask = "curl -u o1/kitchen-1:kitchen-1-secret -H 'fleet-lock-protocol: true' http://127.0.0.1:8083/v1"
    body = '-d \'{"client_params": {"group": "default", "id": "test"}}\''
    assert await walk(f"{ask}/pre-reboot {body}", typed=address | {"curl": "curl -sf"}) == ""
    await walk("agbot leases", "o1/kitchen-1", "host o1/operating-system")
    assert await walk(f"{ask}/steady-state {body}", typed=address | {"curl": "curl -sf"}) == ""
    assert await machine.holder("kitchen") is None
