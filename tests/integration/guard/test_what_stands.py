"""What a coordinator has once said, or has not read, permits nothing later: notes that are gone, restarts, doubts, dates."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from agbot.coordinator.contract import Done
from agbot.coordinator.guarded import gates
from agbot.rules.records import Hold
from agbot.rules.seen_time import Now
from agbot.sim.agbot_rows import AgentRow, ServiceRow
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.support.clocks import NOON
from tests.support.guarded import Guarded
from tests.support.guarded_living import guarded_hub
from tests.support.hub import AGBOT, NMP, ORG
from tests.support.virtual_time import in_virtual_time

CYCLE = 3.0


def agent(node: str) -> AgentRow:
    return AgentRow(org=ORG, group="g1", node=node, nmp=NMP)


@pytest.mark.parametrize("is_enabled", [True, False], ids=["the guard's tables were lost", "the guard was removed"])
@in_virtual_time
async def test_a_lease_whose_note_is_gone_ends_like_any_other(hub: Guarded, is_enabled: bool) -> None:
    hub.install()
    async with guarded_hub(hub) as (living, agbot):
        living.group("g1", "n1", "n2")
        await living.live("n1", "n2", seconds=15)
        await living._cancel()  # noqa: SLF001 - no coordinator runs
        hub.read("UPDATE agbot_ha.guard_setting SET judged_until = now(), agents_without_leader = 'go'")
        assert agbot.claim_agent(agent("n1"))
        hub.read("DELETE FROM agbot_ha.guard_outbox")
        # the database's clock is not virtual
        granted_at = f"{living.clock.now():%Y-%m-%dT%H:%M:%S.%fZ}"
        hub.read("UPDATE agbot_ha.lease SET granted_at = %s WHERE state = 'held'", granted_at)
        living.guard = living.guard if is_enabled else None
        await living.away(5)
        living.report("n1", "initiated")
        await living.live("n1", "n2", seconds=60)
        assert hub.lease(f"{ORG}/g1") == (1, "held", f"{ORG}/n1", "agent", f"{ORG}/{NMP}")

        living.report("n1", "successful")
        await living.live("n1", "n2", seconds=90)

        assert hub.lease(f"{ORG}/g1") == (1, "free", None, None, None)


@in_virtual_time
async def test_after_a_restart_the_lease_waits_for_a_member_that_tries_again(hub: Guarded) -> None:
    """A member that has tried before may have given up, or be gone, and would keep the others waiting."""
    hub.install()
    async with guarded_hub(hub) as (living, agbot):
        living.group("g1", "n1", "n2")
        await living.live("n1", "n2", seconds=15)
        hold = Hold(scope=ORG, since=living.clock.now(), by="ada", why="a moment")
        assert isinstance(await living.coordinator.hold(hold), Done)
        assert not agbot.claim_agent(agent("n1"))
        await living.live("n1", "n2", seconds=15)
        await living.away(5)
        await living.live("n1", "n2", seconds=15)
        assert isinstance(await living.coordinator.resume(ORG, subject=None, reason="over", who="ada"), Done)
        await living.live("n1", "n2", seconds=30)

        assert hub.lease(f"{ORG}/g1") in {None, (0, "free", None, None, None)}
        assert not agbot.claim_agent(agent("n1"))
        await living.live("n1", "n2", seconds=15)
        assert agbot.claim_agent(agent("n1"))


@in_virtual_time
async def test_nothing_passes_by_what_was_known_before_a_doubt(hub: Guarded) -> None:
    hub.install()
    async with guarded_hub(hub) as (living, agbot):
        living.group("g1", "n1", "n2")
        living.group("g2", "late")
        living.report("late", "initiated")
        await living.live("n1", "n2", "late", seconds=15)
        living.admin("DELETE", "/hagroups/g2/nodes/late")
        living.admin("POST", "/hagroups/g1/nodes/late")
        await living.live("n1", "n2", "late", seconds=15)
        assert not agbot.claim_agent(agent("late"))
        await asyncio.sleep(3 * CYCLE)
        ((known,),) = hub.read(
            "SELECT extract(epoch FROM known_until - now())::float8 FROM agbot_ha.guard_gate WHERE verdict = 'pass'"
        )
        assert 0 < known <= 30, "without a coordinator no one sees that its upgrade has ended"

        handle = living.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=503, caller=AGBOT))
        await living.live("n1", "n2", "late", seconds=90)
        assert hub.read("SELECT code FROM agbot_ha.guard_gate WHERE verdict = 'pass'") == []
        assert not agbot.claim_agent(agent("late"))
        living.exchange.faults.remove(handle)


@in_virtual_time
async def test_an_organisation_that_is_served_from_now_on_passes_no_longer(
    hub: Guarded,
) -> None:
    hub.install()
    async with guarded_hub(hub, served_by="IBM/real") as (living, agbot):
        seed.agbot(living.exchange, "IBM", "real")
        living.group("g1", "n1", "n2")
        await living.live("n1", "n2", seconds=30)
        assert not agbot.claim_agent(agent("n1"))
        await living.live("n1", "n2", seconds=15)
        assert agbot.claim_agent(agent("n1"))
        agbot.delete_agents(ORG, "g1")

        body = {"businessPolOrgid": ORG, "businessPol": "*", "nodeOrgid": ORG}
        seed.send(living.exchange, "POST", "/orgs/IBM/agbots/real/businesspols", body, caller="IBM/real")
        await living.live("n1", "n2", seconds=30)
        assert not agbot.claim_agent(agent("n1")), "it has no lease"
        await living.live("n1", "n2", seconds=15)
        assert agbot.claim_agent(agent("n1"))
        assert agbot.claim_service(ServiceRow(org=ORG, group="g1", policy=f"{ORG}/dp", node=f"{ORG}/n2")) is False
        assert hub.lease(f"{ORG}/g1") == (1, "held", f"{ORG}/n1", "agent", f"{ORG}/{NMP}")


@in_virtual_time
async def test_the_holder_of_a_lease_that_a_promoted_replica_still_has_begins_once_the_fleet_was_read(
    hub: Guarded,
) -> None:
    hub.install()
    async with guarded_hub(hub) as (living, agbot):
        living.group("g1", "n1", "n2")
        await living.live("n1", "n2", seconds=15)
        assert not agbot.claim_agent(agent("n1"))
        await living.live("n1", "n2", seconds=15)
        held = (1, "held", f"{ORG}/n1", "agent", f"{ORG}/{NMP}")
        assert hub.lease(f"{ORG}/g1") == held
        hub.read("UPDATE agbot_ha.generation SET home = 'server/0000000F/1/2'")
        await living.away(5)
        await living.live("n1", "n2", seconds=5)
        assert not agbot.claim_agent(agent("n1")), "another member may be upgrading, which this database does not know"
        await living.live("n1", "n2", seconds=60)
        assert living.events("store.settled")

        assert not agbot.claim_agent(agent("n2"))
        assert agbot.claim_agent(agent("n1"))
        assert hub.lease(f"{ORG}/g1") == held, "it is the same grant"


@in_virtual_time
async def test_what_goes_on_beside_the_lease_keeps_the_group_without_a_coordinator(hub: Guarded) -> None:
    hub.install()
    async with guarded_hub(hub) as (living, agbot):
        living.group("g1", "n1", "n2", "n3")
        await living.live("n1", "n2", "n3", seconds=15)
        living.report("n1", "initiated")
        await living.live("n1", "n2", "n3", seconds=15)
        living.report("n2", "initiated")
        await living.live("n1", "n2", "n3", seconds=15)
        living.report("n1", "successful")
        await living.live("n1", "n2", "n3", seconds=60)
        lease = hub.lease(f"{ORG}/g1")
        assert lease is not None
        assert lease[1] == "free"
        await living._cancel()  # noqa: SLF001 - no coordinator runs
        hub.read("UPDATE agbot_ha.guard_setting SET judged_until = now(), agents_without_leader = 'go'")

        assert not agbot.claim_agent(agent("n3"))
        assert hub.outcomes()[-1][-1] == "overlap"


def test_a_hold_is_written_as_known_for_a_while_although_a_wrong_date_is_behind_its_end() -> None:
    hold = Hold(scope=ORG, since=NOON, until=NOON + timedelta(days=14), by="ada", why="audit")
    wrong = Now.unblinded(NOON + timedelta(days=30))

    assert gates._of_hold(hold, wrong).known_seconds == 60.0  # noqa: SLF001 - what is written of one hold
