"""A service upgrade that the agbot begins while another member upgrades cannot be stopped here: it is reported, counted and waited for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agbot.coordinator.permission import Granted
from agbot.fleet.changes import Read, What
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause
from agbot.sim.agbot_rows import AgentRow, ServiceRow
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from agbot.sim.node import SimNode
from tests.membership.living import CYCLE, GROUP, IDLE_CYCLE, SLOW_INSTALL, Living, installing
from tests.observed.upgrading import (
    AFTER,
    SLOW_START,
    deploy,
    members,
    others,
    serve,
    serves,
    unasked,
    until_observed,
)
from tests.support.hub import NEW, NMP, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

SECOND = "dp2"


def forgive(hub: Living) -> None:
    """Take the judgement back: gateway mode cannot prevent what these stories are about."""
    hub.fleet.observer.violations.clear()


async def two_at_once(hub: Living) -> tuple[SimNode, SimNode]:
    """Let the agbot upgrade two policies at once, each on another member.

    Return the holder and the one that overlaps.
    """
    first, second = members(hub)[:2]
    hub.fleet.publish(ORG, "up2", NEW, group="nobody")
    await serve(hub, second, policy=SECOND)
    unserved(hub, second)
    await asyncio.sleep(CYCLE)
    deploy(hub, AFTER)
    holder = await until_observed(hub)
    assert holder is first
    deploy(hub, AFTER, policy=SECOND)
    await hub.until(lambda: bool(hub.deferrals()), 60)
    return first, second


def unserved(hub: Living, *nodes: SimNode) -> None:
    """Let the agbot forget that it serves the first policy here, as if another agbot did."""
    ledger = hub.fleet.agbot.ledger
    names = {node.name for node in nodes}
    for one in [one for one in ledger.agreements.values() if one.node in names and one.policy == f"{ORG}/dp"]:
        del ledger.agreements[one.id]


@in_virtual_time
async def test_two_policies_at_once_are_reported_as_an_overlap() -> None:
    """W5: one member lost one service while another lost the other."""
    async with unasked(2, SLOW_START) as hub:
        first, second = await two_at_once(hub)

        emitted = await hub.journal("lease.overlapped")
        assert [(entry.node, entry.subject, entry.facts["others"]) for entry in emitted] == [
            (second.name, "o1/dp2", {first.name: "o1/dp"})
        ]
        assert hub.holder() is first
        assert hub.coordinator.overview().overlaps == 1
        assert hub.seen(second).deferred_for == "the service upgrade o1/dp2"
        assert hub.seen(second).why_unavailable == "the service upgrade o1/dp2 has not ended"
        assert hub.explains(second) == (
            f"{second.name} is in the middle of the service upgrade o1/dp2, which the agbot began while another upgrade held the lease "
            "of o1/g1; the next grant waits until both have ended."
        )
        forgive(hub)


@in_virtual_time
async def test_the_next_grant_waits_for_both() -> None:
    async with unasked(3, replace(SLOW_START, start_seconds=(400.0, 400.0))) as hub:
        first, second = await two_at_once(hub)
        third = others(hub, first, second)[0]
        unserved(hub, third)

        assert codes(await hub.ask(third.spec.id, GROUP, "up2")) == ["lease-held", "overlap", "peers-unavailable"]
        await hub.until(hub.is_free, 600)
        assert hub.ended() is Cause.SUCCEEDED
        assert list(hub.deferrals()) == [second.spec.id]
        assert "overlap" in codes(await hub.ask(third.spec.id, GROUP, "up2"))

        await hub.until(lambda: hub.deferrals() == {}, 100)
        assert serves(AFTER, second, policy=SECOND)
        await asyncio.sleep(100)
        assert isinstance(await hub.ask(third.spec.id, GROUP, "up2"), Granted)
        forgive(hub)


@in_virtual_time
async def test_a_service_upgrade_during_an_agent_upgrade_of_a_peer_is_an_overlap() -> None:
    async with unasked(2, SLOW_INSTALL) as hub:
        holder, rest = await installing(hub)
        unserved(hub, holder)
        deploy(hub, AFTER)

        await hub.until(lambda: bool(hub.events("lease.overlapped")), 120)
        emitted = hub.events("lease.overlapped")[0]
        assert (emitted.node, emitted.facts["others"]) == (rest[0].name, {holder.name: "o1/agent"})
        tenure = hub.lease(GROUP).tenure
        assert tenure is not None
        assert (tenure.claim.holder, tenure.claim.kind) == (holder.name, Kind.AGENT)

        await hub.until(lambda: hub.deferrals() == {} and serves(AFTER, rest[0]), 400)
        forgive(hub)


@in_virtual_time
async def test_no_overlap_is_reported_with_a_member_of_which_only_the_agbots_row_is_left() -> None:
    """It has reported success, and the agbot deletes its row later; meanwhile it begins with the next member."""
    hub = Hub(shows_rows=True)
    hub.group(GROUP, "n1", "n2", "n3")
    seed.deployment_policy(hub.exchange, ORG, SECOND, service=f"{ORG}/svc", versions=["1.0.0"])
    await hub.start()
    hub.rows.agents.append(AgentRow(org=ORG, group=GROUP, node="n1", nmp=NMP))
    hub.report("n1", "initiated")
    await asyncio.sleep(IDLE_CYCLE)
    hub.report("n1", "successful")
    hub.rows.services.append(ServiceRow(org=ORG, group=GROUP, node=f"{ORG}/n2", policy=f"{ORG}/{SECOND}"))
    await asyncio.sleep(2 * CYCLE)

    assert hub.lease(GROUP).holder == f"{ORG}/n1"
    assert hub.events("lease.overlapped") == []
    assert "overlap" in codes(await hub.ask("n3", GROUP))
    await hub.stop()


@in_virtual_time
async def test_no_overlap_is_reported_with_a_member_of_which_a_cache_shows_an_old_report() -> None:
    hub = Hub(shows_rows=True)
    hub.group(GROUP, "n1", "n2", "n3")
    seed.deployment_policy(hub.exchange, ORG, SECOND, service=f"{ORG}/svc", versions=["1.0.0"])
    await hub.start()
    assert isinstance(await hub.ask("n1", GROUP), Granted)
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", "n3", seconds=IDLE_CYCLE)
    hub.exchange.faults.add(Fault(kind=FaultKind.STALE, path="/managementStatus$"))
    await hub.client.read(Read(what=What.STATUSES, id=f"{ORG}/n1"))
    hub.report("n1", "successful")
    await hub.live("n1", "n2", "n3", seconds=IDLE_CYCLE)
    hub.rows.services.append(ServiceRow(org=ORG, group=GROUP, node=f"{ORG}/n2", policy=f"{ORG}/{SECOND}"))
    await hub.live("n1", "n2", "n3", seconds=60)

    assert {"lease-held", "overlap"}.issubset(codes(await hub.ask("n3", GROUP)))
    hub.exchange.faults.clear()
    await hub.live("n1", "n2", "n3", seconds=60)
    assert hub.lease(GROUP).holder != f"{ORG}/n1"
    assert hub.events("lease.overlapped") == []
    await hub.stop()
