"""The simulated agbot has agreements with nodes that match a policy, and with no others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agbot.sim.agbot_account import AgbotSpec
from agbot.sim.exchange import Write
from agbot.sim.fleet import Fleet
from agbot.sim.matching import matches
from agbot.sim.node import SimNode
from tests.sim.gates import ORG, always_yes, fleet_of
from tests.support.virtual_time import in_virtual_time

_GS, _GE = ("labgroup == gs",), ("labgroup == ge",)


@asynccontextmanager
async def _two_policies() -> AsyncIterator[tuple[Fleet, SimNode]]:
    """Give a member with `labgroup == gs`, and two policies for the service that it runs, of which it matches one."""
    async with fleet_of(always_yes, agbot=AgbotSpec(asks=False)) as fleet:
        fleet.add_agbot()
        node = await fleet.add_node(ORG, "n", properties={"labgroup": "gs"})
        fleet.create_group(ORG, "g", ["n"])
        fleet.deploy(ORG, "ours", "svc", "1.0.0", constraints=_GS)
        fleet.deploy(ORG, "theirs", "svc", "1.0.0", constraints=_GE)
        assert await fleet.agbot.adopt(node, f"{ORG}/ours")
        await fleet.clock.sleep(30.0)
        yield fleet, node


def _versions(node: SimNode) -> list[str]:
    return [one.service.version for one in node.services.instances.values() if one.state == "running"]


@pytest.mark.parametrize(
    ("constraints", "is_meant"),
    [((), True), (_GS, True), (_GE, False), (('labgroup == "gs"',), True), ((*_GS, "place == lab"), False)],
)
def test_every_constraint_must_hold(constraints: tuple[str, ...], is_meant: bool) -> None:
    assert matches(constraints, {"labgroup": "gs", "place": "field"}) is is_meant


@in_virtual_time
async def test_a_node_shows_its_properties_in_its_policy() -> None:
    async with _two_policies() as (fleet, _):
        policy = fleet.exchange.world.node_policy[ORG, "n"]

    assert policy["properties"] == [{"name": "labgroup", "value": "gs"}]


@in_virtual_time
async def test_no_agreement_is_made_with_a_node_that_does_not_match() -> None:
    async with _two_policies() as (fleet, node):
        assert not await fleet.agbot.adopt(node, f"{ORG}/theirs")

    assert {one.policy for one in fleet.agbot.ledger.agreements.values()} == {f"{ORG}/ours"}


@in_virtual_time
async def test_a_new_version_of_a_policy_that_the_node_does_not_match_changes_nothing() -> None:
    written: list[Write] = []
    async with _two_policies() as (fleet, node):
        fleet.exchange.subscribe(lambda write: written.append(write) if write.resource.endswith("agreements") else None)
        fleet.deploy(ORG, "theirs", "svc", "2.0.0", constraints=_GE)
        await fleet.clock.sleep(300.0)

        assert _versions(node) == ["1.0.0"]
        assert fleet.rows.services == []
        assert written == []


@in_virtual_time
async def test_both_policies_change_and_the_row_names_the_one_that_the_node_matches() -> None:
    async with _two_policies() as (fleet, node):
        fleet.deploy(ORG, "theirs", "svc", "2.0.0", constraints=_GE)
        fleet.deploy(ORG, "ours", "svc", "1.1.0", constraints=_GS)
        assert await fleet.until(lambda: bool(fleet.rows.services), within_seconds=60)
        assert [row.policy for row in fleet.rows.services] == [f"{ORG}/ours"]
        assert await fleet.until(lambda: _versions(node) == ["1.1.0"], within_seconds=120)


@pytest.mark.parametrize("changes", ["policy", "node"])
@in_virtual_time
async def test_who_matches_another_policy_of_the_service_now_goes_over_to_it_without_a_row(changes: str) -> None:
    async with _two_policies() as (fleet, node):
        fleet.deploy(ORG, "theirs", "svc", "2.0.0", constraints=_GE)
        await fleet.clock.sleep(30.0)
        if changes == "policy":
            fleet.deploy(ORG, "ours", "svc", "1.0.0", constraints=("labgroup == nobody",))
            fleet.deploy(ORG, "theirs", "svc", "2.0.0", constraints=_GS)
        else:
            await node.show_properties({"labgroup": "ge"})
        rows: list[object] = []
        for _ in range(120):
            rows.extend(fleet.rows.services)
            await fleet.clock.sleep(1.0)

        assert _versions(node) == ["2.0.0"]
        assert rows == []


@in_virtual_time
async def test_a_policy_that_is_deleted_takes_the_service_away_from_everybody_at_once() -> None:
    async with _two_policies() as (fleet, node):
        fleet.exchange.call("DELETE", f"/orgs/{ORG}/business/policies/ours", caller=f"{ORG}/admin")
        assert await fleet.until(lambda: _versions(node) == [], within_seconds=60)

    assert fleet.rows.services == []
