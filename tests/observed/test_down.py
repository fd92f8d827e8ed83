"""Without the agbot's API nothing is guessed: of a member whose agreement ends it is known that a service of it is down, and no more."""

from __future__ import annotations

import asyncio

import pytest

from agbot.rules.ids import GroupId
from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from agbot.sim.habits import Outcome
from agbot.sim.node import SimNode
from tests.membership.living import CYCLE, GROUP, IDLE_CYCLE, living
from tests.observed.upgrading import AFTER, BRISK, SLOW_START, deploy, members, others, serves, unasked
from tests.support.examples import some
from tests.support.hub import AGBOT, NMP, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_service_upgrade_holds_the_lease_for_a_service_of_the_node_until_it_runs_again() -> None:
    async with unasked(3, SLOW_START, shows_rows=False) as hub:
        deploy(hub, AFTER, policy="never-matched")
        deploy(hub, AFTER)
        await hub.until(lambda: hub.holder() is not None, 60)
        holder = hub.holder()
        assert holder is not None
        tenure = hub.lease(GROUP).tenure
        assert tenure is not None
        assert (tenure.claim.subject, tenure.progress.service) == ("", "o1/svc-dp")
        assert hub.explains(holder).startswith(f"a service of {holder.name} (o1/svc-dp) has been down since")
        peer = others(hub, holder)[0]
        assert codes(await hub.ask(peer.spec.id, GROUP, NMP))[:1] in ([], ["unknown-policy"], ["lease-held"])

        await hub.until(lambda: serves(AFTER, *members(hub)), 900)
        await hub.until(hub.is_free, 60)
        ended = [cause for _, cause in await hub.causes()]
        assert ended == ["succeeded"] * 3
        assert await hub.journal("brake.set") == []
        assert {entry.subject for entry in await hub.journal("lease.observed")} == {None}


@in_virtual_time
async def test_a_loss_for_good_is_held_for_as_long_as_a_lease_lasts_without_verdict_and_brake() -> None:
    async with unasked(2, shows_rows=False) as hub:
        node = members(hub)[0]
        hub.fleet.agbot.stop()
        await node.services.give_up()
        await hub.until(lambda: hub.holder() is node, IDLE_CYCLE)
        await hub.live(seconds=580)
        assert hub.holder() is node

        await hub.until(hub.is_free, 60)
        assert hub.ended() is Cause.UNCONFIRMED
        assert await hub.journal("brake.set", "lease.suspected") == []


@in_virtual_time
async def test_a_loss_that_could_not_be_judged_is_judged_later() -> None:
    def failing(group: GroupId) -> Limits:
        raise ZeroDivisionError(group)

    async with unasked(2, shows_rows=False) as hub:
        node = members(hub)[0]
        hub.fleet.agbot.stop()
        hub.coordinator.set_limits(failing)
        await node.services.give_up()
        await asyncio.sleep(2 * IDLE_CYCLE)
        assert hub.is_free()
        assert "services that are down" in {entry.facts["part"] for entry in hub.events("part.failed")}

        hub.coordinator.set_limits(lambda _: Limits())
        await hub.until(lambda: hub.holder() is node, 2 * IDLE_CYCLE)
        assert hub.coordinator.overview().ready


@in_virtual_time
async def test_a_loss_that_can_never_be_judged_is_given_up_and_no_longer_shown_as_a_failure() -> None:
    def failing(group: GroupId) -> Limits:
        raise ZeroDivisionError(group)

    async with unasked(2, shows_rows=False) as hub:
        hub.fleet.agbot.stop()
        hub.coordinator.set_limits(failing)
        await members(hub)[0].services.give_up()
        await hub.live(seconds=700)
        hub.coordinator.set_limits(lambda _: Limits())
        await asyncio.sleep(2 * IDLE_CYCLE)

        assert hub.is_free()
        assert hub.coordinator.overview().ready


@in_virtual_time
async def test_the_lease_is_never_held_for_a_service_that_no_one_of_the_group_was_known_to_run() -> None:
    hub = Hub()
    hub.group(GROUP, "n1", "n2")
    await hub.start()
    seed.send(
        hub.exchange,
        "PUT",
        f"/orgs/{ORG}/nodes/n1/agreements/a1",
        {"agreementService": {"orgid": ORG, "pattern": "", "url": "svc"}, "services": [], "state": "x"},
        caller=f"{ORG}/n1",
    )
    seed.send(hub.exchange, "DELETE", f"/orgs/{ORG}/nodes/n1/agreements/a1", caller=f"{ORG}/n1")
    await asyncio.sleep(2 * IDLE_CYCLE)

    assert hub.lease(GROUP).token == 0
    await hub.stop()


@in_virtual_time
async def test_with_the_agbot_s_api_a_cancellation_that_is_no_upgrade_takes_nothing() -> None:
    async with unasked(2) as hub:
        hub.fleet.agbot.stop()
        await members(hub)[0].services.give_up()
        await asyncio.sleep(3 * IDLE_CYCLE)

        assert hub.lease(GROUP).token == 0


@in_virtual_time
async def test_a_release_that_crashes_soon_after_it_ran_sets_the_brake_and_is_no_new_upgrade() -> None:
    """The crashed containers are reported for 2 to 4 s only.

    That the agreement is gone is the sign to go by.
    """
    async with unasked(3) as hub:
        deploy(hub, AFTER)
        await hub.until(lambda: any(serves(AFTER, node) for node in members(hub)), 100)
        first = next(node for node in members(hub) if serves(AFTER, node))
        await hub.until(lambda: (first.spec.id, "succeeded") in ended(hub), 60)

        await first.services.give_up()
        await hub.until(lambda: bool(hub.events("brake.set")), 2 * CYCLE)

        emitted = hub.events("brake.set")[0]
        assert (emitted.subject, emitted.node) == (f"{ORG}/dp", first.name)
        assert "has lost its agreement" in str(emitted.facts["why"])
        assert not [entry for entry in hub.events("lease.overlapped") if entry.node == first.name]
        hub.fleet.observer.violations.clear()


@in_virtual_time
async def test_a_release_whose_agreements_vanish_after_it_ran_stops_with_the_member_that_shows_it() -> None:
    async with unasked(3) as hub:
        for node in members(hub):
            node.services.outcomes[AFTER] = Outcome.VANISHES
        deploy(hub, AFTER)
        await hub.until(lambda: bool(hub.events("brake.set")), 200)

        assert hub.events("brake.set")[0].subject == f"{ORG}/dp"
        assert hub.events("lease.overlapped") == []
        hub.fleet.observer.violations.clear()


def ended(hub: Hub) -> list[tuple[str, str]]:
    return [(str(entry.node).partition("/")[2], str(entry.facts["cause"])) for entry in hub.events("lease.released")]


@in_virtual_time
async def test_an_asking_agbot_s_own_upgrade_is_no_other_service_that_is_down() -> None:
    async with living(2, habits=BRISK, has_agbot=True) as hub:
        deploy(hub, "1.0.0")
        for node in members(hub):
            await hub.fleet.agbot.adopt(node, f"{ORG}/dp")
        await asyncio.sleep(IDLE_CYCLE)
        deploy(hub, AFTER)

        await hub.until(lambda: serves(AFTER, *members(hub)) and hub.is_free(), 400)
        assert await hub.journal("lease.observed", "lease.overlapped") == []


@pytest.mark.parametrize("outcome", some([Outcome.CRASHES, Outcome.VANISHES]))
@in_virtual_time
async def test_a_crash_of_which_no_policy_is_known_stops_nothing_and_breaks_no_cycle(outcome: Outcome) -> None:
    async with unasked(3, shows_rows=False) as hub:
        for node in members(hub):
            node.services.outcomes[AFTER] = outcome
        deploy(hub, AFTER)
        await hub.live(seconds=600)

        assert await hub.journal("lease.observed") != []
        assert hub.events("brake.set") == hub.events("part.failed") == []
        hub.fleet.observer.violations.clear()


@in_virtual_time
async def test_of_two_members_that_are_down_the_second_is_explained_without_a_guess_who_began_it() -> None:
    async with unasked(3, shows_rows=False) as hub:
        first, second = members(hub)[:2]
        hub.fleet.agbot.stop()
        await first.services.give_up()
        await second.services.give_up()
        await hub.until(lambda: bool(hub.deferrals()), 2 * IDLE_CYCLE)

        (name,) = hub.deferrals()
        assert hub.explains(hub.node(name)) == (
            f"{ORG}/{name} lost a service ({ORG}/svc-dp) while another upgrade held the lease of {ORG}/{GROUP}: "
            "an agreement of it ended, and it is not known why; the next grant waits until both have ended."
        )


def unreadable(hub: Hub, node: SimNode) -> int:
    """Let the coordinator get nonsense in place of what this node runs."""
    name = node.spec.id
    path = rf".*/nodes/{name}/(agreements|status)$"
    return hub.exchange.faults.add(Fault(kind=FaultKind.GARBAGE, text="[", path=path, caller=f"IBM/{AGBOT}"))


@in_virtual_time
async def test_an_overlap_is_recorded_at_once_and_reported_when_the_other_member_can_be_read() -> None:
    async with unasked(3, shows_rows=False) as hub:
        first, second = members(hub)[:2]
        hub.fleet.agbot.stop()
        await first.services.give_up()
        await hub.until(lambda: hub.holder() is first, IDLE_CYCLE)
        fault = unreadable(hub, first)
        await second.services.give_up()
        await hub.until(lambda: bool(hub.deferrals()), 2 * IDLE_CYCLE)
        await asyncio.sleep(60)
        assert hub.events("lease.overlapped") == []
        assert hub.holder() is first

        hub.exchange.faults.remove(fault)
        await asyncio.sleep(60)
        reported = hub.events("lease.overlapped")
        others_named = {first.name: f"a service of {first.name}"}
        assert [(each.node, each.facts["others"]) for each in reported] == [(second.name, others_named)]


@in_virtual_time
async def test_no_overlap_is_reported_with_a_member_whose_upgrade_had_ended_while_it_could_not_be_read() -> None:
    async with unasked(2, shows_rows=False) as hub:
        deploy(hub, AFTER)
        await hub.until(lambda: hub.holder() is not None, 60)
        holder = hub.holder()
        assert holder is not None
        fault = unreadable(hub, holder)
        await hub.until(lambda: bool(hub.deferrals()), 120)
        await hub.until(lambda: serves(AFTER, *members(hub)), 120)
        hub.exchange.faults.remove(fault)

        await hub.until(lambda: hub.is_free() and not hub.deferrals(), 120)
        assert hub.events("lease.overlapped") == []


@in_virtual_time
async def test_a_member_that_asks_nothing_is_explained_with_what_is_stopped_in_its_group() -> None:
    async with unasked(3) as hub:
        for node in members(hub):
            node.services.outcomes[AFTER] = Outcome.VANISHES
        deploy(hub, AFTER)
        await hub.until(lambda: bool(hub.events("brake.set")), 200)
        await hub.until(hub.is_free, 300)

        failed = hub.events("brake.set")[0].node
        assert f"Stopped in {ORG}/{GROUP}: {ORG}/dp, which failed on {failed} at 2026-" in hub.explains(members(hub)[2])
        hub.fleet.observer.violations.clear()
