"""The incumbent's defects in agent upgrades, by their number in the reference of the agbot's HA mechanism, each answered.

The whole hub runs here on a virtual clock: the simulated Exchange, the real client, feed, picture,
rules and store contract.
"""

from __future__ import annotations

import asyncio

import pytest

from agbot.coordinator.permission import Granted, Refused
from agbot.exchange.errors import ExchangeError
from agbot.rules.lease import Kind, State
from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.support.hub import AGBOT, NEW, NMP, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

CYCLE = 3.0
"""Seconds after which a busy coordinator has taken a change in: the busy poll is 2 s."""


async def pair() -> Hub:
    """Start a hub with a group of two, both waiting for permission."""
    hub = Hub()
    hub.group("g1", "n1", "n2")
    for node in ("n1", "n2"):
        hub.report(node, "ha node waiting")
    await hub.start()
    return hub


async def upgrading(hub: Hub, node: str = "n1", *, status: str = "initiated") -> int:
    """Let a node be granted and begin; return its token."""
    answer = await hub.ask(node, "g1")
    assert isinstance(answer, Granted)
    assert answer.token is not None
    hub.report(node, "downloaded")
    await asyncio.sleep(CYCLE)
    hub.report(node, status)
    await asyncio.sleep(CYCLE)
    return answer.token


def end_of(hub: Hub, group: str = "g1") -> Cause | None:
    end = hub.lease(group).last_end
    return end.cause if end else None


@in_virtual_time
async def test_a1_a_dead_holder_does_not_hold_the_group_forever() -> None:
    hub = await pair()
    await upgrading(hub)

    await hub.live("n2", seconds=700)
    assert hub.lease("g1").state is State.SUSPECT
    assert "lease-suspect" in codes(await hub.ask("n2", "g1"))

    await hub.live("n2", seconds=1300)
    assert end_of(hub) is Cause.EXPIRED
    assert "brake" in codes(await hub.ask("n2", "g1"))


@in_virtual_time
async def test_a2_a_holder_deleted_from_the_exchange_releases_within_one_cycle() -> None:
    hub = await pair()
    await upgrading(hub)

    hub.admin("DELETE", "/nodes/n1")
    await asyncio.sleep(CYCLE)

    assert end_of(hub) is Cause.NODE_DELETED


@in_virtual_time
async def test_a3_a_deleted_policy_releases_within_one_cycle() -> None:
    hub = await pair()
    await upgrading(hub)

    hub.admin("DELETE", f"/managementpolicies/{NMP}")
    await asyncio.sleep(CYCLE)

    assert end_of(hub) is Cause.POLICY_DELETED


@in_virtual_time
async def test_a3_a_policy_that_is_disabled_and_dropped_by_its_node_releases() -> None:
    hub = await pair()
    await upgrading(hub)

    policy = {
        "label": NMP,
        "description": "",
        "properties": [],
        "constraints": [],
        "enabled": False,
        "start": "now",
        "startWindow": 0,
        "agentUpgradePolicy": {"manifest": "IBM/m", "allowDowngrade": False},
    }
    hub.admin("PUT", f"/managementpolicies/{NMP}", policy)
    hub.admin("DELETE", f"/nodes/n1/managementStatus/{NMP}")
    await asyncio.sleep(CYCLE)

    assert end_of(hub) is Cause.POLICY_DELETED


@in_virtual_time
async def test_a3_a_holder_that_unregisters_releases_within_one_cycle() -> None:
    hub = await pair()
    await upgrading(hub)

    seed.send(hub.exchange, "DELETE", f"/orgs/{ORG}/nodes/n1/managementStatus/{NMP}", caller=f"{ORG}/n1")
    seed.send(hub.exchange, "PATCH", f"/orgs/{ORG}/nodes/n1", {"publicKey": ""}, caller=f"{ORG}/n1")
    await asyncio.sleep(CYCLE)

    assert end_of(hub) is Cause.UNREGISTERED


@in_virtual_time
async def test_a3_a_status_deleted_by_itself_proves_nothing_and_keeps_the_lease() -> None:
    hub = await pair()
    await upgrading(hub)

    hub.admin("DELETE", f"/nodes/n1/managementStatus/{NMP}")
    await hub.live("n1", "n2", seconds=300)

    assert hub.lease("g1").state is State.HELD


@in_virtual_time
async def test_a4_a_late_release_of_an_earlier_holder_frees_nothing_else() -> None:
    hub = await pair()
    token = await upgrading(hub)
    hub.report("n1", "successful")
    await asyncio.sleep(CYCLE)
    hub.heartbeat("n1")
    await asyncio.sleep(CYCLE)
    assert isinstance(await hub.ask("n2", "g1"), Granted)

    late = await hub.coordinator.release(hub.lease("g1").group, token=token, reason="late", who="somebody")

    assert "not" in late.text
    tenure = hub.lease("g1").tenure
    assert tenure is not None
    assert tenure.claim.holder == f"{ORG}/n2"


@in_virtual_time
async def test_a5_a_changed_group_keeps_the_lease_of_a_holder_that_is_still_a_member() -> None:
    hub = await pair()
    token = await upgrading(hub)
    seed.node(hub.exchange, ORG, "n3")

    hub.admin("POST", "/hagroups/g1/nodes/n3")
    await asyncio.sleep(CYCLE)

    assert hub.lease("g1").state is State.HELD
    assert hub.lease("g1").token == token
    assert "lease-held" in codes(await hub.ask("n3", "g1"))


@in_virtual_time
async def test_a6_failed_for_a_moment_before_the_rollback_keeps_the_lease() -> None:
    hub = await pair()
    await upgrading(hub)

    hub.report("n1", "failed")
    await asyncio.sleep(30)
    assert hub.lease("g1").state is State.HELD
    hub.report("n1", "rollback started")
    await hub.live("n1", "n2", seconds=200)
    assert hub.lease("g1").state is State.HELD
    hub.report("n1", "rollback successful")
    await asyncio.sleep(CYCLE)

    assert end_of(hub) is Cause.FAILED


@in_virtual_time
async def test_a6_a_reset_in_the_middle_of_an_install_keeps_the_lease() -> None:
    hub = await pair()
    await upgrading(hub)

    hub.report("n1", "reset")
    hub.report("n1", "waiting")
    await hub.live("n1", "n2", seconds=300)

    assert hub.lease("g1").state is State.HELD


@in_virtual_time
async def test_a6_a_reset_that_still_stands_after_its_grace_releases() -> None:
    hub = await pair()
    await upgrading(hub, status="downloaded")

    hub.report("n1", "waiting")
    await hub.live("n1", "n2", seconds=300)
    assert hub.lease("g1").state is State.HELD
    await hub.live("n1", "n2", seconds=370)

    assert end_of(hub) is Cause.RESET


@in_virtual_time
async def test_a6_an_install_that_a_frozen_feed_has_hidden_is_not_overlooked_when_the_node_is_put_back() -> None:
    hub = await pair()
    await upgrading(hub, status="downloaded")
    frozen = hub.exchange.faults.add(Fault(kind=FaultKind.FREEZE))
    hub.report("n1", "initiated")
    hub.report("n1", "waiting")
    await hub.live("n1", "n2", seconds=90)
    hub.exchange.faults.remove(frozen)
    await hub.live("n1", "n2", seconds=60)

    assert hub.lease("g1").state is State.HELD


@in_virtual_time
async def test_a7_a_lost_final_status_ends_by_the_version_that_the_node_runs() -> None:
    hub = await pair()
    hub.limits = Limits(max_upgrade_seconds=1200)
    await upgrading(hub)

    versions = {"softwareVersions": {"horizon": NEW}}
    seed.send(hub.exchange, "PATCH", f"/orgs/{ORG}/nodes/n1", versions, caller=f"{ORG}/n1")
    await hub.live("n1", "n2", seconds=2400)

    assert [entry.event for entry in hub.emitted if entry.event == "lease.suspected"] == ["lease.suspected"]
    assert end_of(hub) is Cause.SUCCEEDED


@in_virtual_time
async def test_a8_a_claim_for_a_policy_that_does_not_exist_is_refused_and_leaves_nothing_behind() -> None:
    hub = await pair()
    answer = await hub.ask("n1", "g1", "no-such-policy")

    assert isinstance(answer, Refused)
    assert answer.is_final
    assert codes(answer)[0] == "unknown-policy"
    assert hub.lease("g1").token == 0
    assert isinstance(await hub.ask("n2", "g1"), Granted)


@in_virtual_time
async def test_a8_a_claim_that_the_nodes_own_status_never_confirms_is_taken_back() -> None:
    hub = await pair()
    seed.management_policy(hub.exchange, ORG, "bogus")
    assert isinstance(await hub.ask("n1", "g1", "bogus"), Granted)

    for _minute in range(4):
        await hub.live("n1", "n2", seconds=59)
        await hub.ask("n1", "g1", "bogus")

    assert end_of(hub) is Cause.UNCONFIRMED
    assert hub.events("brake.set") == []


@in_virtual_time
async def test_a8_a_claim_is_not_taken_back_while_the_exchange_cannot_be_read_nor_at_once_when_it_can() -> None:
    """The node could not report either: its install may run."""
    hub = await pair()
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    outage = hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=503))
    await hub.live(seconds=400)
    assert hub.lease("g1").state is State.HELD

    hub.exchange.faults.remove(outage)
    await hub.live("n1", "n2", seconds=30)
    assert hub.lease("g1").state is State.HELD
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", seconds=200)
    assert hub.lease("g1").state is State.HELD

    hub.report("n1", "successful")
    await hub.live("n1", "n2", seconds=30)
    assert end_of(hub) is Cause.SUCCEEDED


@in_virtual_time
async def test_a8_after_an_unconfirmed_claim_the_others_go_first() -> None:
    hub = await pair()
    seed.management_policy(hub.exchange, ORG, "bogus")
    await hub.ask("n1", "g1", "bogus")
    await hub.live("n1", "n2", seconds=150)
    await hub.ask("n2", "g1")
    await hub.live("n1", "n2", seconds=35)
    assert end_of(hub) is Cause.UNCONFIRMED

    again = await hub.ask("n1", "g1", "bogus")

    assert codes(again) == ["turn"]
    assert isinstance(await hub.ask("n2", "g1"), Granted)


@in_virtual_time
async def test_a9_a_node_that_joins_in_the_middle_of_its_upgrade_is_seen_and_deferred() -> None:
    hub = await pair()
    seed.node(hub.exchange, ORG, "n3")
    hub.report("n3", "initiated")
    hub.admin("POST", "/hagroups/g1/nodes/n3")
    hub.limits = Limits(min_available=2)
    await asyncio.sleep(12)

    explanation = hub.coordinator.explain(hub.question("n3", "g1").node)
    assert explanation is not None
    assert "not enforced" in explanation.answer
    assert codes(await hub.ask("n1", "g1")) == ["peers-unavailable"]

    hub.report("n3", "successful")
    await asyncio.sleep(12)
    assert [entry.node for entry in hub.events("deferral.ended")] == [f"{ORG}/n3"]
    assert isinstance(await hub.ask("n1", "g1"), Granted)


@in_virtual_time
async def test_a10_an_agent_upgrade_and_a_service_upgrade_share_one_lease() -> None:
    hub = await pair()
    seed.deployment_policy(hub.exchange, ORG, "dp", service="svc", versions=["1.0.1"])
    question = hub.question("n2", "g1", "dp", Kind.SERVICE)
    await upgrading(hub)

    refused = await hub.ask_as_agbot(question)
    assert codes(refused)[0] == "lease-held"

    hub.report("n1", "successful")
    await asyncio.sleep(CYCLE)
    hub.heartbeat("n1")
    await asyncio.sleep(35)
    assert isinstance(await hub.ask_as_agbot(question), Granted)
    assert "lease-held" in codes(await hub.ask("n1", "g1"))


@in_virtual_time
async def test_a11_no_one_goes_while_too_few_others_are_alive() -> None:
    hub = await pair()
    await hub.live("n1", seconds=400)

    assert codes(await hub.ask("n1", "g1")) == ["peers-unavailable"]

    hub.heartbeat("n2")
    await asyncio.sleep(35)
    assert isinstance(await hub.ask("n1", "g1"), Granted)


@in_virtual_time
async def test_a11_the_next_goes_only_after_the_upgraded_member_is_seen_alive() -> None:
    hub = await pair()
    await upgrading(hub)
    hub.report("n1", "successful")
    await asyncio.sleep(CYCLE)
    assert codes(await hub.ask("n2", "g1")) == ["soaking"]

    hub.heartbeat("n1")
    await asyncio.sleep(CYCLE)
    assert isinstance(await hub.ask("n2", "g1"), Granted)


@in_virtual_time
async def test_a12_no_one_is_served_twice_while_another_waits() -> None:
    hub = await pair()
    await upgrading(hub)
    await hub.ask("n2", "g1")
    seed.management_policy(hub.exchange, ORG, "up2")
    hub.report("n1", "successful")
    await asyncio.sleep(CYCLE)
    hub.heartbeat("n1")
    hub.report("n1", "ha node waiting", "up2")
    await asyncio.sleep(CYCLE)

    assert codes(await hub.ask("n1", "g1", "up2")) == ["turn"]
    assert isinstance(await hub.ask("n2", "g1"), Granted)


@in_virtual_time
async def test_a12_the_lease_is_free_within_five_seconds_of_the_end_at_default_settings() -> None:
    hub = await pair()
    await upgrading(hub)

    hub.report("n1", "successful")
    await asyncio.sleep(5)

    assert end_of(hub) is Cause.SUCCEEDED


@in_virtual_time
async def test_a14_a_member_is_gated_by_its_very_next_question_after_it_joined() -> None:
    hub = await pair()
    await upgrading(hub)
    seed.node(hub.exchange, ORG, "n3")
    hub.admin("POST", "/hagroups/g1/nodes/n3")

    assert "lease-held" in codes(await hub.ask("n3", "g1"))


@in_virtual_time
async def test_a14_a_node_that_has_just_left_is_not_granted_the_old_groups_lease() -> None:
    hub = await pair()
    hub.admin("DELETE", "/hagroups/g1/nodes/n1")

    answer = await hub.ask("n1", "g1")

    assert codes(answer) == ["not-a-member"]
    assert hub.lease("g1").token == 0


@in_virtual_time
async def test_a15_credentials_that_are_not_the_nodes_cost_one_read_and_no_storm() -> None:
    hub = await pair()
    before = hub.transport.requests["GET", "/orgs/{org}/nodes/{node}"]

    with pytest.raises(ExchangeError):
        await hub.ask("ghost", "g1")

    assert hub.transport.requests["GET", "/orgs/{org}/nodes/{node}"] - before == 1


@in_virtual_time
async def test_a17_a_lease_is_reviewed_again_after_a_restart() -> None:
    hub = await pair()
    await upgrading(hub)
    hub.report("n1", "successful")

    await hub.crash()
    await asyncio.sleep(CYCLE)

    assert end_of(hub) is Cause.SUCCEEDED


@in_virtual_time
async def test_the_own_identity_is_not_the_agbots() -> None:
    """Reading the feed counts as a heartbeat of who reads."""
    hub = await pair()
    agbots = hub.exchange.call("GET", f"/orgs/IBM/agbots/{AGBOT}", caller="root/root").json()["agbots"]

    assert agbots[f"IBM/{AGBOT}"]["lastHeartbeat"]
