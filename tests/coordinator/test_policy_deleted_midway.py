"""An installation that can be reported no more ends the lease, and the others wait for it all the same.

That is so when its policy is deleted or disabled in the middle of it, and when its node
unregisters.
"""

from __future__ import annotations

import asyncio

import pytest

from agbot.coordinator.permission import Granted
from agbot.rules.ids import node_id
from agbot.rules.lease import State, Tenure
from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause
from agbot.sim.exchange import seed
from tests.defects.test_service_upgrade_defects import POLICY, agree, begin, trio
from tests.support.hub import NEW, NMP, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time


async def cut_off(status: str) -> Hub:
    """Delete the policy under the holder, which has reported this.

    The other member wants another policy's upgrade.
    """
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
@pytest.mark.parametrize(
    "status",
    ["downloaded", "initiated", "rollback started", "failed", "a status of the next release", "ha node waiting"],
)
async def test_others_wait_while_the_node_whose_policy_is_gone_may_still_install(status: str) -> None:
    hub = await cut_off(status)

    answer = await hub.ask("n2", "g1", "up2")

    assert "overlap" in codes(answer)
    assert [entry.node for entry in hub.events("deferral.begun")] == [node_id(ORG, "n1")]
    await hub.stop()


@in_virtual_time
@pytest.mark.parametrize("is_reported_again", [False, True])
async def test_what_can_be_reported_no_more_is_reported_to_overlap_only_where_it_is_reported_again(
    is_reported_again: bool,
) -> None:
    hub = await cut_off("initiated")
    if is_reported_again:
        seed.management_policy(hub.exchange, ORG, NMP)
        hub.report("n1", "initiated")
        await hub.live("n1", "n2", seconds=20)
    hub.report("n2", "initiated", "up2")
    await hub.live("n1", "n2", seconds=20)

    assert [entry.node for entry in hub.events("lease.observed")] == [node_id(ORG, "n2")]
    assert len(hub.events("lease.overlapped")) == int(is_reported_again)
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
async def test_a_policy_deleted_before_anything_was_stopped_keeps_no_one_waiting() -> None:
    hub = await cut_off("download started")

    assert isinstance(await hub.ask("n2", "g1", "up2"), Granted)
    await hub.stop()


@in_virtual_time
async def test_the_same_name_published_again_is_no_way_round_for_the_node_that_still_installs() -> None:
    hub = await cut_off("initiated")
    seed.management_policy(hub.exchange, ORG, NMP)

    assert not isinstance(await hub.ask("n1", "g1"), Granted)
    await hub.stop()


async def joined(status: str = "initiated") -> Hub:
    """Let n2 join n1 with its own upgrade at this status, and delete that upgrade's policy."""
    hub = Hub()
    hub.group("g1", "n1")
    hub.group("g2", "n2")
    seed.management_policy(hub.exchange, ORG, "up2")
    hub.report("n2", status)
    await hub.start()
    await hub.live("n1", "n2", seconds=20)
    hub.admin("DELETE", "/hagroups/g2/nodes/n2")
    hub.admin("POST", "/hagroups/g1/nodes/n2")
    await hub.live("n1", "n2", seconds=20)
    assert [entry.node for entry in hub.events("deferral.begun")] == [node_id(ORG, "n2")]
    hub.admin("DELETE", f"/managementpolicies/{NMP}")
    await hub.live("n1", "n2", seconds=60)
    hub.report("n1", "ha node waiting", "up2")
    return hub


@in_virtual_time
async def test_a_member_that_joined_with_its_upgrade_is_no_available_peer_while_that_may_go_on_unreported() -> None:
    hub = await joined()

    assert codes(await hub.ask("n1", "g1", "up2")) == ["peers-unavailable"]
    await hub.crash()
    await hub.live("n1", "n2", seconds=20)
    assert codes(await hub.ask("n1", "g1", "up2")) == ["peers-unavailable"]
    await hub.live("n1", "n2", seconds=Limits().lease_seconds)
    assert isinstance(await hub.ask("n1", "g1", "up2"), Granted)
    assert len(hub.events("deferral.ended")) == 1
    await hub.stop()


@in_virtual_time
async def test_its_new_agent_version_ends_that() -> None:
    hub = await joined()
    version = {"softwareVersions": {"horizon": NEW}}
    seed.send(hub.exchange, "PATCH", f"/orgs/{ORG}/nodes/n2", version, caller=f"{ORG}/n2")
    await hub.live("n1", "n2", seconds=40)

    assert isinstance(await hub.ask("n1", "g1", "up2"), Granted)
    await hub.stop()


@in_virtual_time
async def test_others_wait_for_an_overlap_too_that_is_not_reported_any_more() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2", "n3", "n4")
    for policy in ("up2", "up3"):
        seed.management_policy(hub.exchange, ORG, policy)
    await hub.start()
    everyone = ("n1", "n2", "n3", "n4")
    hub.report("n1", "ha node waiting", "up2")
    assert isinstance(await hub.ask("n1", "g1", "up2"), Granted)
    hub.report("n1", "initiated", "up2")
    hub.report("n2", "initiated")
    await hub.live(*everyone, seconds=20)
    assert [entry.node for entry in hub.events("lease.overlapped")] == [node_id(ORG, "n2")]

    hub.admin("DELETE", f"/managementpolicies/{NMP}")
    hub.report("n1", "successful", "up2")
    await hub.live(*everyone, seconds=60)
    assert hub.lease("g1").state is State.FREE
    hub.report("n3", "ha node waiting", "up3")

    assert codes(await hub.ask("n3", "g1", "up3")) == ["overlap"]
    await hub.stop()


async def holding(status: str, *others: str) -> Hub:
    """Let n1 hold the lease of its group and report this."""
    hub = Hub()
    hub.group("g1", "n1", "n2", *others)
    seed.management_policy(hub.exchange, ORG, "up2")
    await hub.start()
    hub.report("n1", "ha node waiting")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", status)
    await hub.live("n1", "n2", *others, seconds=20)
    return hub


@in_virtual_time
async def test_an_unknown_status_is_remembered_over_a_restart_and_extends_no_lease() -> None:
    hub = await holding("initiated")
    expires_at = _hold(hub).expires_at
    hub.report("n1", "a status of the next release")
    await asyncio.sleep(5)
    assert _hold(hub).expires_at == expires_at
    await hub.crash()
    assert _hold(hub).progress.status == "a status of the next release"

    hub.admin("DELETE", f"/managementpolicies/{NMP}")
    await hub.live("n1", "n2", seconds=60)

    assert hub.lease("g1").state is State.FREE
    assert "overlap" in codes(await hub.ask("n2", "g1", "up2"))
    await hub.stop()


def _hold(hub: Hub) -> Tenure:
    tenure = hub.lease("g1").tenure
    assert tenure is not None
    return tenure


@in_virtual_time
async def test_a_yes_after_which_nothing_was_reported_before_the_policy_went_may_be_an_installation() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    seed.management_policy(hub.exchange, ORG, "up2")
    await hub.start()
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.admin("DELETE", f"/managementpolicies/{NMP}")
    await hub.live("n1", "n2", seconds=60)

    assert hub.lease("g1").state is State.FREE
    assert "overlap" in codes(await hub.ask("n2", "g1", "up2"))
    await hub.stop()


@in_virtual_time
async def test_others_wait_for_an_installation_whose_policy_was_disabled_and_whose_status_was_dropped() -> None:
    hub = await holding("initiated")
    publish(hub, enabled=False)
    seed.send(hub.exchange, "DELETE", f"/orgs/{ORG}/nodes/n1/managementStatus/{NMP}", caller=f"{ORG}/n1")
    await hub.live("n1", "n2", seconds=60)

    assert _cause(hub) is Cause.POLICY_DELETED
    assert "overlap" in codes(await hub.ask("n2", "g1", "up2"))
    await hub.stop()


@in_virtual_time
@pytest.mark.parametrize("stated", ["waiting", "ha node waiting"])
async def test_a_policy_that_matches_again_does_not_end_the_wait_for_the_installation_of_before(stated: str) -> None:
    hub = await holding("initiated")
    publish(hub, enabled=False)
    seed.send(hub.exchange, "DELETE", f"/orgs/{ORG}/nodes/n1/managementStatus/{NMP}", caller=f"{ORG}/n1")
    await hub.live("n1", "n2", seconds=60)
    publish(hub, enabled=True)
    hub.report("n1", stated)
    await hub.live("n1", "n2", seconds=60)

    assert "overlap" in codes(await hub.ask("n2", "g1", "up2"))
    await hub.stop()


def publish(hub: Hub, *, enabled: bool) -> None:
    policy = {
        "label": NMP,
        "description": "",
        "properties": [],
        "constraints": [],
        "enabled": enabled,
        "start": "now",
        "startWindow": 0,
        "agentUpgradePolicy": {"manifest": "IBM/m", "allowDowngrade": False},
    }
    hub.admin("PUT", f"/managementpolicies/{NMP}", policy)


def _cause(hub: Hub) -> Cause | None:
    end = hub.lease("g1").last_end
    return end.cause if end is not None else None


def unregister(hub: Hub, node: str) -> None:
    seed.send(hub.exchange, "DELETE", f"/orgs/{ORG}/nodes/{node}/managementStatus/{NMP}", caller=f"{ORG}/{node}")
    seed.send(hub.exchange, "PATCH", f"/orgs/{ORG}/nodes/{node}", {"publicKey": ""}, caller=f"{ORG}/{node}")


@in_virtual_time
async def test_others_wait_for_the_installation_of_a_node_that_has_unregistered_and_no_longer_than_a_lease() -> None:
    hub = await holding("initiated", "n3")
    unregister(hub, "n1")
    await hub.live("n2", "n3", seconds=30)
    assert _cause(hub) is Cause.UNREGISTERED

    assert codes(await hub.ask("n2", "g1", "up2"))[0] == "overlap"
    await hub.live("n2", "n3", seconds=Limits().lease_seconds + 5)

    assert isinstance(await hub.ask("n2", "g1", "up2"), Granted)
    await hub.stop()


@in_virtual_time
async def test_a_node_that_registers_again_in_the_middle_of_its_installation_is_still_waited_for() -> None:
    hub = await holding("initiated", "n3")
    unregister(hub, "n1")
    await hub.live("n2", "n3", seconds=30)
    seed.send(hub.exchange, "PATCH", f"/orgs/{ORG}/nodes/n1", {"publicKey": "key"}, caller=f"{ORG}/n1")
    await hub.live("n1", "n2", "n3", seconds=30)

    assert codes(await hub.ask("n2", "g1", "up2"))[0] == "overlap"
    await hub.stop()


@in_virtual_time
async def test_no_one_waits_for_a_node_that_left_the_group_and_its_new_group_does_not_count_on_it() -> None:
    hub = await holding("initiated", "n3")
    hub.group("g2", "m1")
    hub.admin("DELETE", "/hagroups/g1/nodes/n1")
    hub.admin("POST", "/hagroups/g2/nodes/n1", {})
    await hub.live("n1", "n2", "n3", "m1", seconds=30)

    assert _cause(hub) is Cause.LEFT_GROUP
    assert isinstance(await hub.ask("n2", "g1", "up2"), Granted)
    assert codes(await hub.ask("m1", "g2", "up2")) == ["peers-unavailable"]
    await hub.stop()


@in_virtual_time
async def test_others_wait_for_a_service_whose_deployment_policy_was_deleted_in_the_middle_of_its_upgrade() -> None:
    hub = await trio()
    await begin(hub)
    hub.admin("DELETE", f"/business/policies/{POLICY}")
    await hub.live("s1", "s2", "s3", seconds=60)
    assert hub.lease("gs").state is State.FREE

    assert "overlap" in codes(await hub.ask("s2", "gs"))
    agree(hub, "s1", "s1-new", "1.0.1")
    await hub.live("s1", "s2", "s3", seconds=30)

    assert isinstance(await hub.ask("s2", "gs"), Granted)
    await hub.stop()


@in_virtual_time
async def test_a_service_of_a_node_that_has_unregistered_keeps_no_one_waiting() -> None:
    hub = await trio()
    await begin(hub)
    seed.send(hub.exchange, "PATCH", f"/orgs/{ORG}/nodes/s1", {"publicKey": ""}, caller=f"{ORG}/s1")
    await hub.live("s2", "s3", seconds=60)
    end = hub.lease("gs").last_end

    assert end is not None
    assert end.cause is Cause.UNREGISTERED
    assert "overlap" not in codes(await hub.ask("s2", "gs"))
    assert hub.events("deferral.begun") == []
    await hub.stop()
