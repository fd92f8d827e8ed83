"""A node joins while a service upgrade of it runs, of which no one asked here: it is deferred until its new version runs.

What an agbot identity is shown of it: the feed reports that an agreement of the node has ended, the
node then has none, later a new one, and its status shows when the containers run.
"""

from __future__ import annotations

import asyncio

from agbot.rules.lease import Kind, State
from agbot.rules.reasons import Cause
from agbot.sim.faults import Fault, FaultKind
from tests.membership.living import COORDINATOR, GROUP, IDLE_CYCLE, OTHER, TURN, living
from tests.membership.serving import (
    AFTER,
    LOOK,
    agreements,
    deploy,
    ends,
    joined_in_the_middle,
    serves,
    serving,
    until_down,
)
from tests.support.hub import NEW, OLD, ORG, codes
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_node_that_joins_while_its_service_is_down_is_deferred_until_the_new_one_runs() -> None:
    async with living(1, has_agbot=True) as hub:
        late = await joined_in_the_middle(hub)

        assert [(each.node, each.facts) for each in await hub.journal("deferral.begun")] == [
            (late.name, {"kind": "service", "status": "no agreement"})
        ]
        assert hub.explains(late) == (
            "o1/late was in the middle of the upgrade of its service when it joined o1/g1; its membership is not "
            "enforced until that upgrade has ended (no agreement when first seen)."
        )
        assert hub.seen(late).deferred_for == "the upgrade of its service"
        assert hub.seen(late).available is False

        await hub.until(lambda: serves(late, AFTER), 300)
        assert await ends(hub) == []
        await asyncio.sleep(LOOK)
        assert await ends(hub) == ["it runs o1/svc 1.1.0"]
        assert hub.deferrals() == {}
        assert hub.seen(late).available
        assert hub.lease(GROUP).token == 0


@in_virtual_time
async def test_it_is_no_available_peer_meanwhile_and_begins_no_agent_upgrade() -> None:
    async with living(1, has_agbot=True) as hub:
        late, peer = await joined_in_the_middle(hub), hub.node("g1-1")
        hub.publish()

        await hub.until(lambda: "the only other member is not available" in hub.explains(peer), 150)
        assert f"{late.name} (it joined during the upgrade of its service, which has not ended" in hub.explains(peer)
        await hub.until(lambda: "has to finish the upgrade of its service first" in hub.explains(late), 10)
        assert (peer.version, late.version) == (OLD, OLD)
        assert not serves(late, AFTER)

        await hub.until(lambda: hub.runs(NEW, peer, late), 2 * TURN)
        assert [each.node for each in await hub.journal("lease.granted")] == [peer.name, late.name]


@in_virtual_time
async def test_the_deferral_of_a_service_survives_a_crash() -> None:
    """What the feed has reported is forgotten then; what was made of it is in the store."""
    async with living(1, has_agbot=True) as hub:
        late = await joined_in_the_middle(hub)

        await hub.crash()

        assert "not enforced" in hub.explains(late)
        await hub.until(lambda: serves(late, AFTER), 300)
        await asyncio.sleep(LOOK)
        assert await ends(hub) == ["it runs o1/svc 1.1.0"]


@in_virtual_time
async def test_a_node_that_joins_before_it_has_received_that_its_agreement_is_cancelled_is_deferred_as_well() -> None:
    async with living(1, has_agbot=True) as hub:
        late = await serving(hub)
        deploy(hub, AFTER)
        await hub.until(lambda: not hub.fleet.agbot.ledger.agreements, 60)
        assert agreements(hub, late) == 1

        hub.join(late)
        await until_down(hub, late)
        await asyncio.sleep(IDLE_CYCLE)

        assert list(hub.deferrals()) == ["late"]


@in_virtual_time
async def test_its_very_next_question_finds_it_deferred_before_the_feed_reports_of_the_join() -> None:
    async with living(1, has_agbot=True) as hub:
        late = await serving(hub)
        hub.publish()
        deploy(hub, AFTER)
        await until_down(hub, late)
        await asyncio.sleep(IDLE_CYCLE)
        hub.freeze()
        hub.join(late)

        assert codes(await hub.ask("late", GROUP, "agent"))[0] == "deferred"
        assert len(await hub.journal("deferral.begun")) == 1
        hub.exchange.faults.clear()


@in_virtual_time
async def test_a_frozen_feed_shows_it_late_but_not_never() -> None:
    async with living(1, has_agbot=True) as hub:
        late = await serving(hub)
        frozen = hub.freeze()
        deploy(hub, AFTER)
        await until_down(hub, late)
        hub.join(late)
        await asyncio.sleep(60)
        assert hub.deferrals() == {}

        hub.exchange.faults.remove(frozen)
        await asyncio.sleep(IDLE_CYCLE)

        assert list(hub.deferrals()) == ["late"]


@in_virtual_time
async def test_a_peer_that_asks_before_the_group_was_read_again_counts_it_out_already() -> None:
    """Whoever asks has everything read that bears on those who have joined."""
    async with living(1, has_agbot=True) as hub:
        late = await serving(hub)
        hub.publish()
        deploy(hub, AFTER)
        await until_down(hub, late)
        broken = hub.exchange.faults.add(
            Fault(kind=FaultKind.STATUS, status=500, path="/hagroups/", caller=COORDINATOR)
        )
        hub.join(late)
        await asyncio.sleep(IDLE_CYCLE)
        hub.exchange.faults.remove(broken)

        assert codes(await hub.ask("g1-1", GROUP, "agent")) == ["peers-unavailable"]
        assert list(hub.deferrals()) == ["late"]


@in_virtual_time
async def test_its_next_service_upgrade_is_gated_like_everybody_elses() -> None:
    async with living(1, has_agbot=True) as hub:
        late = await joined_in_the_middle(hub)
        await hub.until(lambda: serves(late, AFTER), 300)

        deploy(hub, "1.2.0")
        await hub.until(lambda: serves(late, "1.2.0"), 400)
        await hub.until(hub.is_free)

        assert [(each.node, each.token) for each in await hub.journal("lease.granted")] == [(late.name, 1)]
        assert await hub.causes() == [("late", "succeeded")]
        assert await hub.journal("lease.exempted") == []


@in_virtual_time
async def test_an_agbot_that_asks_for_the_service_that_is_down_waits_for_the_end_of_that_upgrade() -> None:
    async with living(1, has_agbot=True) as hub:
        await joined_in_the_middle(hub)

        answer = await hub.ask_as_agbot(hub.question("late", GROUP, "dp", Kind.SERVICE))

        assert codes(answer) == ["deferred"]
        assert hub.lease(GROUP).state is State.FREE
        assert await hub.journal("lease.exempted") == []


@in_virtual_time
async def test_a_member_whose_service_upgrade_was_asked_for_in_another_group_is_deferred_when_it_is_moved() -> None:
    async with living(1, has_agbot=True) as hub:
        late = await serving(hub)
        peer = (await hub.fleet.add_group(ORG, OTHER, 1))[0]
        hub.join(late, OTHER)
        deploy(hub, AFTER)
        await until_down(hub, late)
        assert hub.holder(OTHER) is late

        hub.leave(late, OTHER)
        hub.join(late)
        await asyncio.sleep(IDLE_CYCLE)

        assert hub.ended(OTHER) is Cause.LEFT_GROUP
        assert list(hub.deferrals()) == ["late"]
        assert hub.lease(GROUP).token == 0
        await hub.until(lambda: serves(late, AFTER), 300)
        await asyncio.sleep(LOOK)
        assert await ends(hub) == ["it runs o1/svc 1.1.0"]
        assert await hub.causes(OTHER) == [("late", "left-group")]
        assert peer.down_for is None
