"""How an observed service upgrade ends that does not simply succeed."""

from __future__ import annotations

import asyncio

from agbot.coordinator.contract import Done
from agbot.rules.ids import policy_id
from agbot.rules.lease import State
from agbot.rules.reasons import Cause
from agbot.sim.faults import Fault, FaultKind
from agbot.sim.habits import Outcome
from tests.membership.living import AGENT, CYCLE, GROUP
from tests.observed.upgrading import (
    AFTER,
    BEFORE,
    LATEST,
    POLICY,
    SLOW_START,
    deploy,
    members,
    others,
    serves,
    unasked,
    until_observed,
)
from tests.support.examples import thorough
from tests.support.hub import ORG, codes
from tests.support.virtual_time import in_virtual_time


@thorough
@in_virtual_time
async def test_a_node_that_dies_after_its_agreement_was_cancelled_makes_the_lease_suspect_and_then_expired() -> None:
    """W1: the agbot's own row kept the group stuck until the node was back."""
    async with unasked() as hub:
        deploy(hub, AFTER)
        holder = await until_observed(hub)
        holder.die()

        await hub.until(lambda: hub.lease(GROUP).state is State.SUSPECT, 700)
        await hub.until(hub.is_free, 1900)

        assert hub.ended() is Cause.EXPIRED
        assert await hub.journal("brake.set") == [], "an offline peer never blocks a service (P6)"


@in_virtual_time
async def test_a_bound_service_of_a_peer_takes_the_suspect_lease_of_the_dead_over_and_is_no_overlap() -> None:
    async with unasked() as hub:
        deploy(hub, AFTER)
        holder = await until_observed(hub)
        holder.die()
        peer = others(hub, holder)[0]
        await hub.until(lambda: hub.lease(GROUP).state is State.SUSPECT, 700)

        hub.fleet.rows.delete_services(ORG, GROUP)  # a person deletes the agbot's row (W1)
        await hub.until(lambda: hub.holder() is peer, 60)
        await hub.until(lambda: serves(AFTER, peer) and hub.is_free(), 120)

        assert await hub.causes() == [(holder.spec.id, "superseded"), (peer.spec.id, "succeeded")]
        assert [entry.token for entry in await hub.journal("lease.observed")] == [1, 2]
        assert await hub.journal("lease.overlapped") == [], "the agbot lists the former one no more"
        hub.fleet.observer.violations.clear()


@in_virtual_time
async def test_a_policy_published_twice_ends_each_upgrade_as_what_it_was() -> None:
    """W2: the agbot was stuck until its row was deleted by hand."""
    async with unasked(2, SLOW_START) as hub:
        deploy(hub, AFTER)
        holder = await until_observed(hub)
        await hub.until(lambda: any(one.service.version == AFTER for one in holder.services.instances.values()), 60)
        deploy(hub, LATEST)
        await hub.until(lambda: serves(AFTER, holder), 300)
        await asyncio.sleep(60)
        hub.fleet.rows.delete_services(ORG, GROUP)

        await hub.until(lambda: serves(LATEST, *members(hub)), 1500)
        await hub.until(hub.is_free, 60)

        assert {cause for _, cause in await hub.causes()} == {"succeeded"}
        assert (await hub.causes())[0] == (holder.spec.id, "succeeded")
        assert await hub.journal("lease.overlapped", "brake.set") == []


@in_virtual_time
async def test_a_fall_back_to_the_lower_version_is_a_failure_with_a_brake_and_its_row_is_stuck() -> None:
    """W3: the agbot never released its row."""
    async with unasked() as hub:
        for node in members(hub):
            node.services.outcomes[AFTER] = Outcome.NEVER_STARTS
        deploy(hub, AFTER, BEFORE)
        holder = await until_observed(hub)

        await hub.until(lambda: bool(hub.events("lease.released")), 400)

        released = hub.events("lease.released")[0]
        assert (released.node, released.facts["cause"]) == (holder.name, "failed")
        assert released.facts["why"] == f"{holder.name} runs o1/svc-dp {BEFORE}, not {AFTER}"
        assert [entry.subject for entry in await hub.journal("brake.set")][:1] == ["o1/dp"]
        await hub.until(lambda: bool(hub.events("agbot.stuck")), 1000)
        emitted = hub.events("agbot.stuck")[0]
        assert (emitted.node, emitted.facts["defect"]) == (holder.name, "W3")
        assert hub.is_free()


@in_virtual_time
async def test_containers_that_never_start_keep_the_lease_and_everybody_else() -> None:
    async with unasked() as hub:
        for node in members(hub):
            node.services.outcomes[AFTER] = Outcome.NEVER_STARTS
        deploy(hub, AFTER)
        holder = await until_observed(hub)
        peer = others(hub, holder)[0]

        await hub.live(seconds=900)
        hub.publish()
        await asyncio.sleep(100)

        assert hub.holder() is holder
        assert hub.lease(GROUP).state is State.HELD
        assert serves(BEFORE, peer)
        assert codes(await hub.ask(peer.spec.id, GROUP, AGENT))[0] == "lease-held"


@in_virtual_time
async def test_containers_that_crash_after_they_ran_set_the_brake_although_the_agbot_went_on() -> None:
    async with unasked(3) as hub:
        for node in members(hub):
            node.services.outcomes[AFTER] = Outcome.CRASHES
        deploy(hub, AFTER)

        await hub.until(lambda: bool(hub.events("brake.set")), 180)

        emitted = hub.events("brake.set")[0]
        assert emitted.token is not None
        begun = [each.node for each in hub.events("lease.observed")]
        assert (emitted.subject, emitted.node) == ("o1/dp", begun[emitted.token - 1])
        assert emitted.facts["why"] == f"o1/svc-dp {AFTER} on {emitted.node}: exited"


@in_virtual_time
async def test_a_node_that_reports_no_status_ends_by_a_final_agreement_and_the_release_says_that_this_is_weaker() -> (
    None
):
    async with unasked(1) as hub:
        node = members(hub)[0]
        silent = Fault(kind=FaultKind.STATUS, status=404, path=f"/nodes/{node.spec.id}/status", caller="")
        hub.exchange.faults.add(silent)
        deploy(hub, AFTER)
        await until_observed(hub)
        await hub.until(lambda: serves(AFTER, node), 60)

        await hub.live(seconds=550)
        assert hub.holder() is node
        await hub.until(hub.is_free, 120)

        assert hub.ended() is Cause.SUCCEEDED
        end = hub.lease(GROUP).last_end
        assert end is not None
        assert end.detail.endswith("has been final for 600 s and no container is reported: a weaker proof")
        hub.exchange.faults.clear()


@in_virtual_time
async def test_a_cancellation_for_good_while_a_policy_changes_is_taken_back_in_ten_minutes_without_a_brake() -> None:
    """It looks exactly like the begin of an upgrade where no one knows what the node had before."""
    async with unasked(shows_rows=False) as hub:
        deploy(hub, AFTER, policy="elsewhere")
        await asyncio.sleep(CYCLE)
        node = members(hub)[0]
        node.services.instances.clear()
        hub.admin("DELETE", f"/nodes/{node.spec.id}/agreements")
        await until_observed(hub)

        await hub.live(seconds=590)
        assert hub.holder() is node
        await hub.until(hub.is_free, 60)

        assert hub.ended() is Cause.UNCONFIRMED
        assert await hub.journal("brake.set") == []


@in_virtual_time
async def test_a_crash_whose_brake_a_person_has_lifted_sets_it_no_second_time_after_a_restart() -> None:
    async with unasked(3) as hub:
        for node in members(hub):
            node.services.outcomes[AFTER] = Outcome.CRASHES
        deploy(hub, AFTER)
        await hub.until(lambda: bool(hub.events("brake.set")), 180)
        hub.fleet.agbot.stop()
        subject = policy_id(ORG, POLICY)
        lifted = await hub.coordinator.resume("*", subject=subject, reason="a fault of the site", who="eva")
        assert isinstance(lifted, Done)
        await asyncio.sleep(30)
        assert len(hub.events("brake.set")) == 1

        await hub.crash()
        await asyncio.sleep(120)

        assert len(hub.events("brake.set")) == 1
