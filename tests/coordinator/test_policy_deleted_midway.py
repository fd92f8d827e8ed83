"""A policy that is deleted in the middle of an installation ends the lease, and the others wait for that installation all the same."""

from __future__ import annotations

import asyncio

import pytest

from agbot.coordinator.contract import Granted
from agbot.rules.ids import node_id
from agbot.rules.lease import State
from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause
from agbot.sim.exchange import seed
from tests.support.hub import NEW, NMP, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time


async def cut_off(status: str) -> Hub:
    """Delete the policy under the holder, which has reported this; the other member wants another policy's upgrade."""
    hub = Hub()
    hub.group("g1", "n1", "n2")
    seed.management_policy(hub.exchange, ORG, "up2")
    await hub.start()
    hub.report("n1", "ha node waiting")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", status)
    await hub.live("n1", "n2", seconds=20)
    hub.admin("DELETE", f"/managementpolicies/{NMP}")
    await hub.live("n1", "n2", seconds=60)
    end = hub.lease("g1").last_end
    assert hub.lease("g1").state is State.FREE
    assert end is not None
    assert end.cause is Cause.POLICY_DELETED
    hub.report("n2", "ha node waiting", "up2")
    await asyncio.sleep(3)
    return hub


@in_virtual_time
@pytest.mark.parametrize("status", ["downloaded", "initiated", "rollback started", "failed"])
async def test_others_wait_while_the_node_whose_policy_is_gone_may_still_install(status: str) -> None:
    hub = await cut_off(status)

    answer = await hub.ask("n2", "g1", "up2")

    assert "overlap" in codes(answer)
    assert [entry.node for entry in hub.events("deferral.begun")] == [node_id(ORG, "n1")]
    await hub.stop()


@in_virtual_time
async def test_they_wait_no_longer_than_a_lease_lasts() -> None:
    hub = await cut_off("initiated")

    await hub.live("n1", "n2", seconds=Limits().lease_seconds)

    assert isinstance(await hub.ask("n2", "g1", "up2"), Granted)
    await hub.stop()


@in_virtual_time
async def test_the_nodes_new_agent_version_ends_the_wait() -> None:
    hub = await cut_off("initiated")
    seed.send(
        hub.exchange, "PATCH", f"/orgs/{ORG}/nodes/n1", {"softwareVersions": {"horizon": NEW}}, caller=f"{ORG}/n1"
    )
    await hub.live("n1", "n2", seconds=40)

    assert isinstance(await hub.ask("n2", "g1", "up2"), Granted)
    await hub.stop()


@in_virtual_time
async def test_a_policy_deleted_before_anything_was_stopped_keeps_nobody_waiting() -> None:
    hub = await cut_off("download started")

    assert isinstance(await hub.ask("n2", "g1", "up2"), Granted)
    await hub.stop()


@in_virtual_time
async def test_the_same_name_published_anew_is_no_way_round_for_the_node_that_still_installs() -> None:
    hub = await cut_off("initiated")
    seed.management_policy(hub.exchange, ORG, NMP)

    assert not isinstance(await hub.ask("n1", "g1"), Granted)
    await hub.stop()
