"""An agbot that asks nobody upgrades a group behind the guard, with a coordinator beside it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from agbot.coordinator.contract import Done
from agbot.guard.link import Unjudged
from agbot.rules.ids import node_id
from agbot.rules.reasons import Cause
from agbot.rules.records import Hold
from agbot.settings import windows
from agbot.sim.actions import Act
from agbot.sim.agbot_rows import AgentRow, ServiceRow
from agbot.sim.faults import Fault, FaultKind
from agbot.sim.habits import Outcome
from tests.membership.living import COORDINATOR, GROUP, Living
from tests.observed.upgrading import AFTER, SLOW_START, deploy, members, others, serves
from tests.support.examples import some
from tests.support.guarded import Guarded
from tests.support.guarded_living import guarded_living
from tests.support.hub import NEW, ORG
from tests.support.virtual_time import in_virtual_time

LONG = 1200.0
SLOW = 5.0
"""How long a slow read takes."""


async def hold(living: Living, scope: str, seconds: float | None = None) -> None:
    now = living.clock.now()
    until = now + timedelta(seconds=seconds) if seconds else None
    assert isinstance(
        await living.coordinator.hold(Hold(scope=scope, since=now, by="ada", why="audit", until=until)), Done
    )


@in_virtual_time
async def test_a_service_upgrade_goes_through_the_group_one_member_at_a_time(hub: Guarded) -> None:
    hub.install()
    async with guarded_living(hub, 3) as living:
        deploy(living, AFTER)
        await living.until(lambda: serves(AFTER, *members(living)), LONG)
        granted = await living.journal("lease.granted", "guard.granted")
        assert [entry.token for entry in granted] == [1, 2, 3]
        assert {entry.node for entry in granted} == {node.name for node in members(living)}
        assert await living.journal("lease.overlapped", "lease.observed") == []
        assert {entry.facts["code"] for entry in await living.journal("guard.refused")} >= {"not-judged", "lease-held"}


@in_virtual_time
async def test_agents_that_ask_the_agbot_upgrade_one_at_a_time_and_its_rows_do_not_keep_them(hub: Guarded) -> None:
    hub.install()
    async with guarded_living(hub, 3) as living:
        living.publish()
        await living.until(lambda: living.runs(NEW, *members(living)), 2400)
        assert [entry.token for entry in await living.journal("lease.granted", "guard.granted")] == [1, 2, 3]
        assert await living.journal("gateway.bypassed", "lease.overlapped") == []


@in_virtual_time
async def test_an_agent_waits_for_the_service_upgrade_of_a_peer(hub: Guarded) -> None:
    """A10."""
    hub.install()
    async with guarded_living(hub, 2, SLOW_START) as living:
        deploy(living, AFTER)
        await living.until(lambda: living.holder() is not None, LONG)
        holder = living.holder()
        (peer,) = others(living, *([holder] if holder else []))
        asked = AgentRow(org=ORG, group=GROUP, node=peer.spec.id, nmp="agent")
        living.fleet.publish(ORG, "agent", NEW)
        assert not living.rows.claim_agent(asked)
        await asyncio.sleep(5)
        assert "the guard has kept it waiting since" in living.explains(peer)
        living.fleet.observer.excuse(peer.name)


@in_virtual_time
async def test_a_grant_from_a_time_without_a_coordinator_is_taken_in_and_ends_on_evidence(hub: Guarded) -> None:
    hub.install()
    async with guarded_living(hub, 3, unjudged=Unjudged(services="go")) as living:
        await living._cancel()  # noqa: SLF001 - the coordinator is gone
        hub.read("UPDATE agbot_ha.guard_setting SET judged_until = now(), services_without_leader = 'go'")
        deploy(living, AFTER)
        await living.until(lambda: bool(living.rows.services), LONG)
        granted_at = living.clock.now()
        await asyncio.sleep(300)
        lease = hub.lease(f"{ORG}/{GROUP}")
        assert lease is not None
        assert lease[:2] == (1, "held")
        assert sum(serves(AFTER, node) for node in members(living)) == 1
        age = (living.clock.now() - granted_at).total_seconds()
        hub.read("UPDATE agbot_ha.guard_outbox SET at = now() - make_interval(secs => %s)", age)
        await living.store.close()
        slow = living.exchange.faults.add(
            Fault(kind=FaultKind.LATENCY, seconds=SLOW, caller=COORDINATOR, path="/agreements$")
        )
        living._connect()  # noqa: SLF001 - another one starts
        await living.start()
        await living.until(lambda: bool(living.events("guard.granted")))
        living.exchange.faults.remove(slow)
        await living.until(lambda: serves(AFTER, *members(living)), LONG)
        (taken,) = await living.journal("guard.granted")
        assert (taken.token, taken.node) == (1, lease[2])
        late = datetime.fromisoformat(str(taken.facts["begun_at"])) - granted_at
        assert late.total_seconds() < SLOW, "what the coordinator reads meanwhile is no part of it"
        assert [cause for _, cause in await living.causes()][:2] == ["succeeded", "succeeded"]


@in_virtual_time
async def test_a_hold_keeps_the_agbot_waiting_also_when_no_coordinator_runs(hub: Guarded) -> None:
    hub.install()
    async with guarded_living(hub, 2, unjudged=Unjudged(services="go")) as living:
        await hold(living, ORG)
        deploy(living, AFTER)
        await asyncio.sleep(60)
        assert "paused" in {entry.facts["code"] for entry in await living.journal("guard.refused")}
        node = members(living)[0]
        assert "on hold by ada: audit" in living.explains(node)
        await living._cancel()  # noqa: SLF001 - the coordinator is gone
        hub.read("UPDATE agbot_ha.guard_setting SET judged_until = now()")
        await asyncio.sleep(300)
        assert living.rows.services == []
        hub.read("UPDATE agbot_ha.guard_gate SET known_until = now()")
        await living.until(lambda: bool(living.rows.services), 60)
        living.emitted.clear()


@pytest.mark.parametrize("outcome", some([Outcome.CRASHES, Outcome.VANISHES], every=2))
@in_virtual_time
async def test_a_release_that_crashes_20_s_after_it_ran_reaches_one_member_and_no_second_one(
    hub: Guarded, outcome: Outcome
) -> None:
    hub.install()
    async with guarded_living(hub, 3) as living:
        began: list[str] = []
        living.fleet.subscribe(lambda action: began.append(action.node) if action.act is Act.DOWN else None)
        for node in members(living):
            node.services.outcomes[AFTER] = outcome
        deploy(living, AFTER)
        await living.until(lambda: living.ended() is not None, LONG)
        await asyncio.sleep(300)
        assert hub.read("SELECT judged_until > now() FROM agbot_ha.guard_setting") == [(True,)], "a coordinator runs"
        assert len(set(began)) == 1
        assert await living.journal("brake.set") != []
        waiting = others(living, living.node(began[0].partition("/")[2]))
        assert all("the guard has kept it waiting since" in living.explains(node) for node in waiting)


@in_virtual_time
async def test_a_row_whose_node_died_is_deleted_and_the_next_member_goes(hub: Guarded) -> None:
    """W1: the agbot itself would keep the group waiting forever."""
    hub.install()
    async with guarded_living(hub, 3, SLOW_START) as living:
        deploy(living, AFTER)
        await living.until(lambda: bool(living.rows.services), LONG)
        holder = living.holder()
        assert holder is not None
        holder.die()
        await living.until(lambda: serves(AFTER, *others(living, holder)), 3 * LONG)
        assert [entry.node for entry in await living.journal("guard.deleted")] == [holder.name]
        assert Cause.SUPERSEDED in [cause for _, cause in await living.causes()] or living.ended() is not None
        living.fleet.observer.excuse(holder.name)


@in_virtual_time
async def test_a_deleted_row_is_logged_although_the_journal_cannot_be_written(hub: Guarded) -> None:
    hub.install()
    async with guarded_living(hub, 3, SLOW_START) as living:
        deploy(living, AFTER)
        await living.until(lambda: bool(living.rows.services), LONG)
        holder = living.holder()
        assert holder is not None
        holder.die()
        hub.read("ALTER TABLE agbot_ha.journal ADD CONSTRAINT is_full CHECK (event <> 'guard.deleted')")
        await living.until(lambda: bool(living.events("guard.deleted")), 3 * LONG)
        hub.read("ALTER TABLE agbot_ha.journal DROP CONSTRAINT is_full")
        assert [entry.node for entry in living.events("guard.deleted")] == [holder.name]
        living.fleet.observer.excuse(holder.name)


@in_virtual_time
async def test_a_cluster_node_and_an_organisation_that_is_not_coordinated_pass_without_a_lease(hub: Guarded) -> None:
    hub.install()
    async with guarded_living(hub, 2) as living:
        cluster = await living.fleet.add_node(ORG, "c1", node_type="cluster")
        living.join(cluster)
        asked = AgentRow(org=ORG, group=GROUP, node="c1", nmp="agent")
        living.publish()
        await living.until(lambda: living.rows.claim_agent(asked), 60)
        assert hub.lease(f"{ORG}/{GROUP}") in {None, (0, "free", None, None, None)} or living.holder() is not cluster
        assert living.coordinator.explain(node_id(ORG, "c1")) is not None
        living.rows.claim_service(ServiceRow(org=ORG, group="other", policy=f"{ORG}/x", node=f"{ORG}/c1"))


@in_virtual_time
async def test_a_closed_window_is_a_gate_until_it_opens_and_keeps_the_agbot_waiting_without_a_coordinator(
    hub: Guarded,
) -> None:
    hub.install()
    async with guarded_living(hub, 2, unjudged=Unjudged(services="go")) as living:
        living.limits = replace(living.limits, windows=(windows.parse("sat 22:00-04:00 UTC"),))
        deploy(living, AFTER)
        await asyncio.sleep(60)
        gates = hub.read(
            "SELECT code, round(extract(epoch FROM known_until - now()) / 3600)::int FROM agbot_ha.guard_gate "
            "WHERE scope = %s AND node = ''",
            f"{ORG}/{GROUP}",
        )
        monday_noon_to_saturday = 5 * 24 + 10
        assert gates == [("outside-window", monday_noon_to_saturday)]
        await living._cancel()  # noqa: SLF001 - the coordinator is gone
        hub.read("UPDATE agbot_ha.guard_setting SET judged_until = now()")
        await asyncio.sleep(300)
        assert living.rows.services == []
