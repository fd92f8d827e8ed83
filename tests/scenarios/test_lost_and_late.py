"""Two upgrades of different kinds at once, nodes that vanish and return, and services that no one can see."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agbot.rules.reasons import Cause
from agbot.sim.faults import Fault, FaultKind
from agbot.sim.habits import Fate, Outcome
from agbot.sim.links import Kind
from agbot.sim.node import SimNode
from tests.membership.living import SLOW_INSTALL, STEADY
from tests.observed.upgrading import SLOW_START
from tests.scenarios.rollouts import rollout
from tests.support.examples import some, thorough
from tests.support.hub import NEW
from tests.support.virtual_time import in_virtual_time

NEW_SERVICE, FIXED = "1.1.0", "2.32.1"


@thorough
@in_virtual_time
async def test_w5_two_policies_published_at_once_take_turns_and_both_reach_every_member() -> None:
    async with rollout(serves=True, habits=SLOW_START) as hub:
        await hub.serve_all("dp2")
        await asyncio.sleep(30)
        hub.deploy(NEW_SERVICE)
        hub.deploy(NEW_SERVICE, policy="dp2")

        await hub.until(lambda: hub.serve(NEW_SERVICE) and hub.serve(NEW_SERVICE, url="svc-dp2"), 3600)
        assert {one.subject for one in hub.begun(Kind.SERVICE)} == {"o1/dp", "o1/dp2"}
        assert len(hub.begun(Kind.SERVICE)) == 6
        assert hub.fleet.observer.max_concurrent == 1


@thorough
@in_virtual_time
async def test_a10_an_agent_and_a_service_release_at_once_take_turns_and_both_reach_every_member() -> None:
    async with rollout(serves=True, habits=SLOW_INSTALL) as hub:
        hub.publish()
        await hub.until(lambda: bool(hub.went()))
        hub.deploy(NEW_SERVICE)

        await hub.until(lambda: hub.are_at(NEW) and hub.serve(NEW_SERVICE), 3600)
        first = hub.begun(Kind.SERVICE)[0]
        assert all(one.ended_at is not None for one in hub.begun())
        assert first.began_at > hub.begun()[0].began_at
        assert hub.fleet.observer.max_concurrent == 1


@in_virtual_time
async def test_an_offline_peer_that_still_has_an_agreement_does_not_keep_the_new_service_from_the_others() -> None:
    async with rollout(serves=True) as hub:
        dead, *others = hub.members()
        dead.die()
        await asyncio.sleep(420)
        hub.deploy(NEW_SERVICE)

        await hub.until(lambda: hub.serve(NEW_SERVICE, *others), 1500)
        dead.come_back()
        await hub.until(lambda: hub.serve(NEW_SERVICE), 1200)


@in_virtual_time
async def test_w1_a_node_that_dies_in_its_service_upgrade_keeps_no_one_and_is_served_when_it_returns() -> None:
    async with rollout(serves=True, habits=SLOW_START) as hub:
        hub.deploy(NEW_SERVICE)
        await hub.until(lambda: bool(hub.went(Kind.SERVICE)))
        dead = hub.node(hub.went(Kind.SERVICE)[0])
        dead.die()

        others = [node for node in hub.members() if node is not dead]
        await hub.until(lambda: hub.serve(NEW_SERVICE, *others), 2400)
        assert len(hub.events("lease.taken_over")) == 1
        dead.come_back()
        await hub.until(lambda: hub.serve(NEW_SERVICE), 1200)


@thorough
@in_virtual_time
async def test_a_member_that_returns_after_its_lease_was_taken_away_ends_what_it_began_and_all_go_on() -> None:
    """It had the permission and had not begun: it installs when it is back, unasked, while another member has the lease."""
    async with rollout(habits=SLOW_INSTALL) as hub:
        for node in hub.members():
            node.fate = Fate.DIES_DOWNLOADED
        hub.publish()
        await hub.until(lambda: bool(hub.went()))
        lost = hub.node(hub.went()[0])
        await hub.until(lambda: hub.ended() is Cause.EXPIRED, 3000)

        for node in hub.members():
            node.fate = Fate.SUCCEEDS
        hub.publish(FIXED)
        await hub.until(lambda: len(hub.went()) == 2, 900)
        lost.come_back()
        await hub.until(lambda: bool(hub.deferrals()), 60)
        assert list(hub.deferrals()) == [lost.spec.id]

        await hub.until_all(FIXED)


@in_virtual_time
async def test_w3_a_release_that_falls_back_to_the_lower_version_stops_there_and_the_fix_reaches_all() -> None:
    async with rollout(serves=True) as hub:
        for node in hub.members():
            node.services.outcomes[NEW_SERVICE] = Outcome.NEVER_STARTS
        hub.deploy(NEW_SERVICE, "1.0.0")
        await hub.until(lambda: bool(hub.events("brake.set")), 600)
        await asyncio.sleep(600)
        assert len(set(hub.went(Kind.SERVICE))) == 1
        assert hub.serve("1.0.0")

        hub.deploy("1.2.0", "1.0.0")
        await hub.until(lambda: hub.serve("1.2.0"), 1200)


@in_virtual_time
async def test_a_service_that_crashes_after_it_ran_stops_at_the_first_member_and_the_fix_reaches_it_first() -> None:
    async with rollout(serves=True) as hub:
        for node in hub.members():
            node.services.outcomes[NEW_SERVICE] = Outcome.CRASHES
        hub.deploy(NEW_SERVICE)
        await hub.until(lambda: bool(hub.events("brake.set")), 300)
        await asyncio.sleep(300)
        (crashed,) = hub.went(Kind.SERVICE)

        hub.deploy("1.2.0")
        await hub.until(lambda: hub.serve("1.2.0"), 1800)
        assert hub.went(Kind.SERVICE)[1] == crashed
        assert len(hub.events("brake.set")) == 1


@pytest.mark.parametrize("outcome", some([Outcome.CRASHES, Outcome.VANISHES]))
@in_virtual_time
async def test_a_crash_that_its_node_reports_50_s_late_still_stops_the_release_at_the_first_member(
    outcome: Outcome,
) -> None:
    habits = replace(STEADY, crash_noticed_seconds=(50.0, 50.0))
    async with rollout(serves=True, habits=habits) as hub:
        for node in hub.members():
            node.services.outcomes[NEW_SERVICE] = outcome
        hub.deploy(NEW_SERVICE)
        await hub.until(lambda: bool(hub.events("brake.set")), 300)
        await asyncio.sleep(600)

        assert len(set(hub.went(Kind.SERVICE))) == 1
        for node in hub.members():
            node.services.outcomes.clear()


@thorough
@in_virtual_time
async def test_where_no_node_reports_its_containers_the_release_still_reaches_every_member_one_at_a_time() -> None:
    async with rollout(serves=True) as hub:
        hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=404, path="/nodes/[^/]*/status", caller=""))
        hub.deploy(NEW_SERVICE)

        await hub.until(lambda: hub.serve(NEW_SERVICE), 3600)
        assert len(hub.went(Kind.SERVICE)) == 3
        hub.exchange.faults.clear()


@thorough
@in_virtual_time
async def test_a_release_that_kills_each_node_as_it_starts_takes_two_and_stops_for_a_person() -> None:
    """One that falls silent blocks no one (P6).

    Two in a row in the middle of one release are its doing.
    """
    async with rollout({"g1": 4}, serves=True) as hub:
        dead: list[SimNode] = []
        hub.deploy(NEW_SERVICE)

        def has_started(node: SimNode) -> bool:
            return any(one.service.version == NEW_SERVICE for one in node.services.instances.values())

        def next_falls() -> bool:
            holder = hub.holder()
            if holder is not None and holder not in dead and has_started(holder):
                holder.die()
                dead.append(holder)
            return bool(hub.events("brake.set"))

        await hub.until(next_falls, 4000)
        assert len(dead) == 2
        assert [cause for _, cause in await hub.causes()] == ["superseded", "expired"]
        await asyncio.sleep(1200)
        assert len(hub.went(Kind.SERVICE)) == 2

        for node in dead:
            node.come_back()
