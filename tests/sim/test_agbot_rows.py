"""The simulated agbot's own tables: when a row is written and deleted, and how one gets stuck, as the real agbot's do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from agbot.sim.agbot_account import AgbotSpec
from agbot.sim.agbot_rows import ServiceRow
from agbot.sim.exchange import Write
from agbot.sim.fleet import Fleet, quick
from agbot.sim.habits import Fate, Outcome
from agbot.sim.leftovers import leave_behind
from agbot.sim.machine import Asks
from agbot.sim.node import SimNode
from agbot.sim.plain_http import Received
from tests.sim.gates import ORG, always_yes, fleet_of
from tests.support.virtual_time import in_virtual_time

_POLICY = f"{ORG}/dp"
_REAL = AgbotSpec(asks=False)


@asynccontextmanager
async def _deployed(members: int = 2, agbot: AgbotSpec = _REAL) -> AsyncIterator[tuple[Fleet, list[SimNode]]]:
    """Give a group whose members run version 1.0.0."""
    async with fleet_of(always_yes, agbot=agbot) as fleet:
        fleet.add_agbot()
        nodes = await fleet.add_group(ORG, "g", members)
        fleet.deploy(ORG, "dp", "svc1", "1.0.0")
        for node in nodes:
            await fleet.agbot.adopt(node, _POLICY)
        await fleet.clock.sleep(30.0)
        yield fleet, nodes


def _runs(node: SimNode, version: str) -> bool:
    return any(one.service.version == version and one.state == "running" for one in node.services.instances.values())


def _holders(fleet: Fleet) -> list[str]:
    return [row.node for row in fleet.rows.services]


async def _one_row(fleet: Fleet) -> str:
    assert await fleet.until(lambda: bool(_holders(fleet)), within_seconds=60)
    (holder,) = _holders(fleet)
    return holder


@pytest.mark.parametrize("agbot", [_REAL, AgbotSpec(asks=True)])
@in_virtual_time
async def test_a_row_is_written_before_the_agreement_is_cancelled_and_deleted_when_the_new_one_runs(
    agbot: AgbotSpec,
) -> None:
    at_the_cancellation: list[list[str]] = []
    when_running: list[bool] = []
    async with _deployed(1, agbot) as (fleet, (node,)):

        def see(write: Write) -> None:
            if (write.resource, write.operation) == ("agbotagreements", "deleted"):
                at_the_cancellation.append(_holders(fleet))

        fleet.exchange.subscribe(see)
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        assert await fleet.until(lambda: _runs(node, "1.0.1"), within_seconds=200)
        when_running.append(bool(_holders(fleet)))
        assert await fleet.until(lambda: not _holders(fleet), within_seconds=60)

    assert at_the_cancellation == [[node.name]]
    assert when_running == [True]


@in_virtual_time
async def test_the_local_api_shows_a_service_row_with_qualified_names() -> None:
    async with _deployed(1) as (fleet, (node,)):
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        await _one_row(fleet)
        shown = fleet.local_api().handle(Received(method="GET", path=f"/ha/upgradingwlu/{ORG}/g")).body

    assert shown == f'[{{"groupName":"g","orgId":"{ORG}","policyName":"{_POLICY}","nodeId":"{node.name}"}}]\n'


@in_virtual_time
async def test_rows_let_one_member_at_a_time_go() -> None:
    async with _deployed(3) as (fleet, nodes):
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        assert await fleet.until(lambda: all(_runs(node, "1.0.1") for node in nodes), within_seconds=900)

    assert fleet.observer.max_concurrent == 1


@in_virtual_time
async def test_w1_the_row_of_a_member_that_died_stays_and_holds_up_the_other() -> None:
    async with _deployed() as (fleet, _):
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        holder = fleet.nodes[await _one_row(fleet)]
        holder.die()
        await fleet.clock.sleep(3600.0)
        assert _holders(fleet) == [holder.name]
        holder.come_back()
        assert await fleet.until(lambda: holder.name not in _holders(fleet), within_seconds=600)


@in_virtual_time
async def test_w2_a_policy_published_again_in_the_middle_leaves_a_row_that_waits_for_itself() -> None:
    async with _deployed() as (fleet, nodes):
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        holder = await _one_row(fleet)
        agreements = fleet.agbot.ledger.agreements
        assert await fleet.until(
            lambda: any(one.final and one.service.version == "1.0.1" for one in agreements.values()), within_seconds=120
        )
        fleet.deploy(ORG, "dp", "svc1", "1.0.2")
        await fleet.clock.sleep(1800.0)
        assert _holders(fleet) == [holder]
        assert _runs(fleet.nodes[holder], "1.0.1")

        fleet.local_api().handle(Received(method="DELETE", path=f"/ha/upgradingwlu/{ORG}/g"))
        assert await fleet.until(lambda: all(_runs(node, "1.0.2") for node in nodes), within_seconds=900)


@in_virtual_time
async def test_w3_a_member_that_fell_back_keeps_its_row_and_the_repaired_release_reaches_no_one() -> None:
    async with _deployed() as (fleet, nodes):
        for node in nodes:
            node.services.outcomes["1.0.1"] = Outcome.NEVER_STARTS
        fleet.deploy(ORG, "dp", "svc1", "1.0.1", "1.0.0")
        holder = await _one_row(fleet)
        assert await fleet.until(lambda: _runs(fleet.nodes[holder], "1.0.0"), within_seconds=900)
        await fleet.clock.sleep(300.0)
        assert _holders(fleet) == [holder]

        fleet.deploy(ORG, "dp", "svc1", "1.0.2", "1.0.0")
        await fleet.clock.sleep(1800.0)
        assert _holders(fleet) == [holder]
        assert not any(_runs(node, "1.0.2") for node in nodes)


@in_virtual_time
async def test_members_of_two_policies_go_down_at_once_for_each_has_a_row_of_its_own() -> None:
    async with _deployed() as (fleet, nodes):
        fleet.deploy(ORG, "dp2", "svc2", "1.0.0")
        for node in nodes:
            await fleet.agbot.adopt(node, f"{ORG}/dp2")
        await fleet.clock.sleep(30.0)
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        fleet.deploy(ORG, "dp2", "svc2", "1.0.1")
        assert await fleet.until(lambda: len(fleet.rows.services) == 2, within_seconds=60)

    assert {row.policy for row in fleet.rows.services} == {_POLICY, f"{ORG}/dp2"}


@in_virtual_time
async def test_a_group_that_is_deleted_loses_its_rows_and_a_member_that_leaves_its_own() -> None:
    async with _deployed() as (fleet, _):
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        holder = await _one_row(fleet)
        fleet.nodes[holder].die()
        fleet.leave(ORG, "g", holder.partition("/")[2])
        assert await fleet.until(lambda: holder not in _holders(fleet), within_seconds=30)
        fleet.delete_group(ORG, "g")
        assert await fleet.until(lambda: not _holders(fleet), within_seconds=30)


@in_virtual_time
async def test_w15_a_group_that_is_created_again_between_two_polls_keeps_its_rows_until_the_agbot_restarts() -> None:
    async with fleet_of(always_yes, agbot=_REAL) as fleet:
        agbot = fleet.add_agbot()
        await agbot.has_started()
        scene = leave_behind(fleet.exchange, fleet.rows, ORG, "w15")
        left = scene.agent()
        await fleet.clock.sleep(30.0)
        assert (_holders(fleet), fleet.rows.agents) == ([f"{ORG}/{scene.first}"], [left])
        agbot.stop()
        agbot.start()
        await fleet.clock.sleep(1.0)

        assert (_holders(fleet), fleet.rows.agents) == ([], [left])


@in_virtual_time
async def test_a_second_agbot_on_the_same_database_waits_for_the_row_of_the_first() -> None:
    async with fleet_of(always_yes, agbot=_REAL) as fleet:
        fleet.add_agbot()
        second = fleet.second_agbot()
        nodes = await fleet.add_group(ORG, "g", 2)
        fleet.deploy(ORG, "dp", "svc1", "1.0.0")
        for agbot, node in zip((fleet.agbot, second), nodes, strict=True):
            await agbot.adopt(node, _POLICY)
        await fleet.clock.sleep(30.0)
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        assert await fleet.until(lambda: all(_runs(node, "1.0.1") for node in nodes), within_seconds=600)

    assert fleet.observer.max_concurrent == 1


@asynccontextmanager
async def _bypassing(members: int = 2) -> AsyncIterator[tuple[Fleet, list[SimNode]]]:
    """Give a group whose agents ask the agbot itself, which a policy for them has just been published to."""
    slow = replace(quick(), cron_seconds=600.0, cron_phase=(0.9, 1.0))
    async with fleet_of(always_yes, agbot=_REAL, habits=slow) as fleet:
        fleet.add_agbot()
        nodes = [await fleet.add_node(ORG, f"n{number}", asks=Asks.AGBOT) for number in range(members)]
        fleet.create_group(ORG, "g", [node.spec.id for node in nodes])
        fleet.publish(ORG, "up", "2.32.0")
        assert await fleet.until(lambda: bool(fleet.rows.agents), within_seconds=300)
        yield fleet, nodes


@in_virtual_time
async def test_agents_that_ask_the_agbot_go_one_at_a_time_by_its_table() -> None:
    async with _bypassing(3) as (fleet, nodes):
        (row,) = fleet.rows.agents
        assert (row.org, row.group, row.nmp) == (ORG, "g", "up")
        assert await fleet.until(lambda: all(node.version == "2.32.0" for node in nodes), within_seconds=7200)

    assert fleet.observer.max_concurrent == 1


@in_virtual_time
async def test_a1_the_row_of_a_node_that_died_keeps_its_peer_waiting_forever() -> None:
    async with _bypassing() as (fleet, nodes):
        fleet.nodes[f"{ORG}/{fleet.rows.agents[0].node}"].die()
        await fleet.clock.sleep(7200.0)

        assert len(fleet.rows.agents) == 1
        assert all(node.version == "2.31.0" for node in nodes)


@pytest.mark.parametrize("lost", ["node", "policy"])
@in_virtual_time
async def test_a2_a3_the_row_of_a_node_or_policy_that_is_deleted_stays(lost: str) -> None:
    async with _bypassing() as (fleet, _):
        before = list(fleet.rows.agents)
        if lost == "node":
            fleet.delete_node(fleet.nodes[f"{ORG}/{before[0].node}"])
        else:
            fleet.delete_nmp(ORG, "up")
        await fleet.clock.sleep(3600.0)

        assert fleet.rows.agents == before


@in_virtual_time
async def test_a5_a_change_of_the_group_takes_the_agent_row_if_there_is_a_service_row() -> None:
    async with _bypassing() as (fleet, nodes):
        await fleet.add_node(ORG, "late")
        fleet.join(ORG, "g", "late")
        await fleet.clock.sleep(20.0)
        assert fleet.rows.agents
        fleet.rows.claim_service(ServiceRow(org=ORG, group="g", policy="x", node=nodes[0].name))
        fleet.leave(ORG, "g", "late")
        await fleet.clock.sleep(20.0)

        assert fleet.rows.agents == []
        assert fleet.rows.services


@in_virtual_time
async def test_a6_a_failure_frees_the_row_before_the_rollback_has_begun() -> None:
    async with _bypassing() as (fleet, nodes):
        for node in nodes:
            node.fate = Fate.ROLLS_BACK
            node.habits = replace(node.habits, failed_shows_seconds=(200.0, 200.0))
        assert await fleet.until(lambda: fleet.observer.max_concurrent > 1, within_seconds=3600)


@in_virtual_time
async def test_an_agent_that_knows_of_no_group_asks_no_one() -> None:
    async with fleet_of() as fleet:
        node = await fleet.add_node(ORG, "n", asks=Asks.NO_ONE)
        fleet.create_group(ORG, "g", ["n"])
        fleet.publish(ORG, "up", "2.32.0")
        assert await fleet.until(lambda: node.version == "2.32.0", within_seconds=900)

    assert not fleet.observer.turns.grants
    assert fleet.rows.agents == []
