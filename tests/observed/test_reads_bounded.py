"""What is read for observed upgrades stays bounded: a changed policy costs nothing for those who go on as they are."""

from __future__ import annotations

import asyncio

from agbot.fleet.changes import Read, What
from agbot.fleet.reads import Why
from agbot.rules.ids import node_id
from agbot.sim.agbot_rows import ServiceRow
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.membership.living import CYCLE, GROUP, IDLE_CYCLE, Living, living
from tests.observed.upgrading import AFTER, BRISK, deploy, members, serve, unasked
from tests.support.hub import AGBOT, ORG, Hub
from tests.support.virtual_time import in_virtual_time

FEED = ("POST", "/orgs/{org}/changes")
AGREEMENTS = ("GET", "/orgs/{org}/nodes/{node}/agreements")


async def two_hundred(hub: Living) -> None:
    for number in range(100):
        await hub.fleet.add_group(ORG, f"idle{number}", 2, habits=BRISK)
    await serve(hub, *hub.fleet.nodes.values())
    await asyncio.sleep(IDLE_CYCLE + 90)


@in_virtual_time
async def test_a_changed_policy_costs_two_hundred_idle_members_no_read() -> None:
    async with living(0, has_agbot=True, agbot_asks=False) as hub:
        await two_hundred(hub)
        hub.fleet.agbot.stop()
        before = hub.transport.requests.copy()

        deploy(hub, AFTER)
        await asyncio.sleep(120)

        spent = hub.transport.requests - before
        assert set(spent) == {FEED}


@in_virtual_time
async def test_the_end_of_one_agreement_costs_the_reads_of_its_own_group() -> None:
    async with living(0, has_agbot=True, agbot_asks=False) as hub:
        await two_hundred(hub)
        hub.fleet.agbot.stop()
        deploy(hub, AFTER)
        await asyncio.sleep(IDLE_CYCLE)
        before = hub.transport.requests.copy()

        node = hub.fleet.nodes[f"{ORG}/idle7-1"]
        await node.services.give_up()
        await hub.until(lambda: hub.holder("idle7") is node, IDLE_CYCLE)

        spent = hub.transport.requests - before
        assert spent[AGREEMENTS] == 2


@in_virtual_time
async def test_what_cannot_be_read_is_tried_again_and_then_seen() -> None:
    async with unasked(shows_rows=False) as hub:
        broken = hub.exchange.faults.add(
            Fault(kind=FaultKind.STATUS, status=500, path="/nodes/[^/]*/agreements$", caller=f"^IBM/{AGBOT}$")
        )
        deploy(hub, AFTER)
        await hub.until(lambda: any(not node.services.instances for node in members(hub)), 60)
        await asyncio.sleep(2 * IDLE_CYCLE)
        assert hub.is_free()
        hub.exchange.faults.remove(broken)

        await asyncio.sleep(IDLE_CYCLE)
        assert hub.holder(GROUP) is not None


@in_virtual_time
async def test_the_proof_of_a_row_that_has_gone_is_read_again_if_it_could_not_be_read() -> None:
    hub = Hub(shows_rows=True)
    hub.group(GROUP, "n1", "n2")
    seed.deployment_policy(hub.exchange, ORG, "dp", service="svc", versions=["1.1.0"])
    await hub.start()
    hub.rows.services.append(ServiceRow(org=ORG, group=GROUP, policy=f"{ORG}/dp", node=f"{ORG}/n1"))
    await asyncio.sleep(2 * IDLE_CYCLE)
    assert hub.lease(GROUP).holder == f"{ORG}/n1"
    agreements = "/nodes/n1/agreements"
    hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=500, path=agreements, times=1))
    hub.rows.services.clear()
    hub.reads.clear()

    await asyncio.sleep(3 * CYCLE)

    read = Read(what=What.AGREEMENTS, id=node_id(ORG, "n1"))
    assert hub.reads.count((read, Why.LISTED)) == 2, "one that failed, and one that did not"
    assert hub.lease(GROUP).holder == f"{ORG}/n1"
    await hub.stop()
