"""A brake whose group or policy was deleted goes away.

One answer that misses the group is no evidence.
"""

from __future__ import annotations

import asyncio

import pytest

from agbot.coordinator.permission import Granted
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.support.hub import NMP, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time


async def braked() -> Hub:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.report("n1", "ha node waiting")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "rollback successful")
    await hub.live("n1", "n2", seconds=20)
    assert hub.coordinator.overview().brakes == 1
    return hub


@pytest.mark.parametrize("restarts", [False, True])
@in_virtual_time
async def test_the_brake_of_a_deleted_group_is_lifted_and_reported(*, restarts: bool) -> None:
    hub = await braked()
    hub.admin("DELETE", "/hagroups/g1")
    if restarts:
        await hub.crash()
    await hub.live("n1", "n2", seconds=180)

    assert hub.coordinator.overview().brakes == 0
    assert [entry.facts["why"] for entry in hub.events("brake.lifted")] == ["the group was deleted"]
    await hub.stop()


@in_virtual_time
async def test_the_brake_of_a_policy_that_was_deleted_while_the_daemon_was_away_is_lifted() -> None:
    hub = await braked()
    hub.admin("DELETE", f"/managementpolicies/{NMP}")
    await hub.crash()
    await hub.live("n1", "n2", seconds=180)

    assert hub.coordinator.overview().brakes == 0
    assert [entry.facts["why"] for entry in hub.events("brake.lifted")] == ["the policy was deleted"]
    await hub.stop()


@pytest.mark.parametrize("restarts", [False, True])
@in_virtual_time
async def test_a_group_that_is_missing_for_a_moment_keeps_its_brake(*, restarts: bool) -> None:
    hub = await braked()
    hub.exchange.faults.add(Fault(kind=FaultKind.ABSENT, path=f"/orgs/{ORG}/hagroups"))
    hub.exchange.faults.add(Fault(kind=FaultKind.NO_GROUP))
    if restarts:
        await hub.crash()
    hub.coordinator._organisations.read_all_again()  # noqa: SLF001 - as at a resync
    await asyncio.sleep(7)
    hub.exchange.faults.clear()
    await hub.live("n1", "n2", seconds=180)

    assert hub.coordinator.overview().brakes == 1
    hub.report("n2", "ha node waiting")
    assert codes(await hub.ask("n2", "g1")) == ["brake"]
    await hub.stop()


@in_virtual_time
async def test_a_group_that_is_there_again_after_it_was_deleted_has_no_brake() -> None:
    hub = await braked()
    hub.admin("DELETE", "/hagroups/g1")
    await hub.live("n1", "n2", seconds=180)
    seed.group(hub.exchange, ORG, "g1", ["n1", "n2"])
    hub.report("n2", "ha node waiting")
    await hub.live("n1", "n2", seconds=70)

    assert isinstance(await hub.ask("n2", "g1"), Granted)
    await hub.stop()
