"""What nodes ask for besides their own upgrades, with the daemon as a process: no upgrade now, and a reboot of the host."""

from __future__ import annotations

from http import HTTPStatus

import aiomqtt

from agbot.sim.fleetlock import FleetLockClient, Locked
from tests.acceptance.hub import Hub, secret_of
from tests.acceptance.site import Site, ask, group_of_three
from tests.support.mosquitto import Mosquitto
from tests.support.patience import until


async def test_a_busy_node_waits_for_its_own_word_and_a_reboot_takes_the_lease_of_all(
    hub: Hub, site: Site, broker: Mosquitto
) -> None:
    await group_of_three(hub)
    site.tables["mqtt"] = {"host": "127.0.0.1", "port": broker.port, "busy": True}
    site.tables["gateway"]["fleetlock"] = True
    site.write()
    await broker.start()
    async with aiomqtt.Client("127.0.0.1", broker.port) as workload:
        await workload.publish("agbot/o1/anna/busy", '{"for_seconds": 3600}', qos=1, retain=True)
        daemon = await site.start_ready()
        await until("the word", lambda: daemon.events("busy.begun"))
        status, message = await ask(site, "anna")
        assert (status, "node-busy" in message) == (409, True)
        explained = await site.operate("explain", "o1/anna")
        assert "has asked for its agent not to be upgraded until" in explained.out
        assert "node-busy" in (await site.operate("status")).out

        host = FleetLockClient(base_url=site.gateway, identity="o1/ben", secret=secret_of("ben"))
        assert await host.pre_reboot() == Locked(200)
        await workload.publish("agbot/o1/anna/busy", "", qos=1, retain=True)
        await until("its end", lambda: daemon.events("busy.ended"))
        status, message = await ask(site, "anna")
        assert (status, "lease-held" in message) == (409, True)
        assert (await site.get("/openapi.json"))[0] == 200

        assert await host.steady_state() == Locked(200)

        async def is_granted_after_a_heartbeat() -> bool:
            await hub.heartbeat("ben")  # the Exchange's time of it may be that of the end
            return (await ask(site, "anna"))[0] == HTTPStatus.CREATED

        await until("the grant after the host's return", is_granted_after_a_heartbeat)
