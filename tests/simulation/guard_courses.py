"""Courses of events of a guarded hub that a fault needs and that chance seldom brings about."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from agbot.sim.fleet import Fleet
from agbot.sim.links import Kind
from agbot.sim.node import SimNode
from tests.simulation.guard_deeds import Deeds
from tests.simulation.guard_site import Site
from tests.simulation.stage import ORG

_LONGEST_WAIT_SECONDS = 300.0

Course = Callable[[Site, Fleet, Deeds], Awaitable[None]]


async def dies_with_its_service_down(site: Site, fleet: Fleet, deeds: Deeds) -> None:
    """A member dies when its new agreement is final and no container runs yet, and the coordinator is started again.

    Its agent is not silent for long enough to count, neither before the start nor for a minute after
    it.
    """

    def is_starting(node: SimNode) -> bool:
        agreements = fleet.agbot.ledger.agreements.values()
        is_final = any(
            each.final and each.service.version == deeds.service for each in agreements if each.node == node.name
        )
        return is_final and node.services.is_starting

    deeds.publish()
    await fleet.until(lambda: any(map(is_starting, fleet.nodes.values())), within_seconds=_LONGEST_WAIT_SECONDS)
    for node in [node for node in fleet.nodes.values() if is_starting(node)][:1]:
        await asyncio.sleep(3.0)  # the agreement has been read
        node.die()
        await asyncio.sleep(site.limits.heartbeat_stale_seconds - 15.0)
        site.end(site.programs[-1])
        site.start()
        await asyncio.sleep(site.limits.lease_seconds)


async def dies_in_its_service_upgrade(_site: Site, fleet: Fleet, deeds: Deeds) -> None:
    """A member dies in its service upgrade, and the agbot's row of it stays."""

    def in_upgrade() -> list[SimNode]:
        return [fleet.nodes[one.node] for one in fleet.observer.under_way() if one.kind is Kind.SERVICE]

    deeds.publish()
    await fleet.until(lambda: bool(in_upgrade()), within_seconds=_LONGEST_WAIT_SECONDS)
    in_upgrade()[0].die()


async def a_replica_is_promoted_before_its_holder_begins(site: Site, fleet: Fleet, deeds: Deeds) -> None:
    """A replica is promoted that has every commit, when a lease is held and the agbot has not tried again yet."""

    def waits_for_the_agbot() -> bool:
        lease = site.hub.lease(f"{ORG}/g0")
        return lease is not None and lease[1] == "held" and not fleet.observer.under_way(f"{ORG}/g0")

    deeds.publish()
    await fleet.until(waits_for_the_agbot, within_seconds=_LONGEST_WAIT_SECONDS)
    site.keep_copy()
    site.promote()
    await asyncio.sleep(site.limits.lease_seconds)


async def a_replica_is_promoted_that_lacks_the_grant(site: Site, fleet: Fleet, deeds: Deeds) -> None:
    """The last commits are lost: those of the first grants, whose upgrades are under way."""
    await asyncio.sleep(30.0)
    site.keep_copy()
    deeds.publish()
    await fleet.until(lambda: bool(fleet.observer.under_way()), within_seconds=_LONGEST_WAIT_SECONDS)
    site.promote()
    await asyncio.sleep(site.limits.lease_seconds)
