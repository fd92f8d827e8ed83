"""What a yes rests on is read for it, whichever yes it is: the feed within the last second, and what the feed does not report."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from agbot.coordinator.contract import Done
from agbot.coordinator.permission import Granted
from agbot.rules.ids import node_id, policy_id
from agbot.rules.lease import Claim, Kind, release
from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause
from agbot.rules.records import Approval, Hold
from agbot.rules.seen_time import Now
from agbot.sim.agbot_rows import AgentRow
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from agbot.store.contract import Writes
from tests.support.faulty_store import FaultyStore
from tests.support.hub import AGBOT, NMP, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

FEED = ".*/changes$"


async def ready(limits: Limits | None = None) -> Hub:
    """Start a hub with a pair of which n1 is about to ask, everything read, and stop right behind a poll of the feed."""
    hub = Hub(limits=limits or Limits())
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.report("n1", "ha node waiting")
    await hub.live("n1", "n2", seconds=61)
    return hub


@in_virtual_time
async def test_a_revision_published_a_moment_ago_is_not_started_on_the_approval_of_the_one_before() -> None:
    hub = await ready(Limits(approval=True))
    stated = Approval(scope=ORG, kind=Kind.AGENT, subject=policy_id(ORG, NMP), since=hub.clock.now(), by="a", why="b")
    assert isinstance(await hub.coordinator.approve(stated), Done)
    await asyncio.sleep(2.5)
    hub.write_policy()

    assert codes(await hub.ask("n1", "g1")) == ["not-approved"]
    await hub.stop()


@in_virtual_time
async def test_a_revision_published_a_moment_ago_is_a_new_release_also_where_the_former_has_begun() -> None:
    hub = await ready(Limits(approval=True))
    stated = Approval(scope=ORG, kind=Kind.AGENT, subject=policy_id(ORG, NMP), since=hub.clock.now(), by="a", why="b")
    assert isinstance(await hub.coordinator.approve(stated), Done)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "successful")
    await hub.live("n1", "n2", seconds=63)
    hub.write_policy()

    assert codes(await hub.ask("n2", "g1")) == ["not-approved"]
    await hub.stop()


@in_virtual_time
async def test_a_policy_disabled_a_moment_ago_to_stop_a_rollout_is_not_started() -> None:
    hub = await ready()
    hub.write_policy(enabled=False)

    assert codes(await hub.ask("n1", "g1"))[0] == "policy-disabled"
    assert hub.lease("g1").token == 0
    await hub.stop()


@in_virtual_time
async def test_a_policy_deleted_a_moment_ago_is_not_started() -> None:
    hub = await ready()
    hub.admin("DELETE", f"/managementpolicies/{NMP}")

    assert codes(await hub.ask("n1", "g1"))[0] == "unknown-policy"
    await hub.stop()


@in_virtual_time
async def test_a_member_that_joined_a_moment_ago_in_mid_upgrade_is_seen_by_the_grant() -> None:
    hub = await ready()
    seed.node(hub.exchange, ORG, "n3", version="2.31.0")
    hub.report("n3", "initiated")
    hub.admin("POST", "/hagroups/g1/nodes/n3")

    await hub.ask("n1", "g1")

    assert [entry.node for entry in hub.events("deferral.begun")] == [node_id(ORG, "n3")]
    await hub.stop()


@in_virtual_time
@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.STATUS, FaultKind.GARBAGE])
async def test_while_the_feed_cannot_be_read_no_yes_is_given_and_the_exchange_is_named(kind: FaultKind) -> None:
    hub = await ready()
    hub.exchange.faults.add(Fault(kind=kind, path=FEED))

    assert codes(await hub.ask("n1", "g1")) == ["exchange-unavailable"]
    assert hub.lease("g1").token == 0
    await hub.stop()


@in_virtual_time
async def test_a_repeated_yes_rests_on_the_feed_too() -> None:
    hub = await ready()
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    await asyncio.sleep(2)
    hub.write_policy(enabled=False)

    assert codes(await hub.ask("n1", "g1"))[0] == "policy-disabled"
    await hub.stop()


@in_virtual_time
async def test_a_repeated_yes_is_given_only_while_the_store_says_that_the_lease_is_still_the_askers() -> None:
    """Also after so long that the question renews nothing any more."""
    for later in (timedelta(), timedelta(minutes=30)):
        hub = await ready(Limits(max_upgrade_seconds=1200))
        assert isinstance(await hub.ask("n1", "g1"), Granted)
        hub.report("n1", "download started")
        await hub.live("n1", "n2", seconds=later.total_seconds() + 1)
        lease = hub.lease("g1")
        await hub.store.swap(
            lease, release(lease, Cause.FORCED, Now.unblinded(hub.clock.now()))
        )  # behind the coordinator's back
        free = (await hub.store.load()).leases[lease.group]

        answer = await hub.ask("n1", "g1")

        assert free.tenure is None
        assert not isinstance(answer, Granted) or (not answer.repeated and answer.token == lease.token + 1)
        await hub.stop()


@in_virtual_time
async def test_a_deferred_node_gets_its_exempt_yes_on_a_report_that_was_read_for_it() -> None:
    """The feed is frozen, and says nothing of the end of the upgrade that the node came with."""
    hub = Hub()
    hub.group("g1", "n2", "n3")
    seed.node(hub.exchange, ORG, "n1", version="2.31.0")
    hub.report("n1", "initiated")
    await hub.start()
    hub.admin("POST", "/hagroups/g1/nodes/n1")
    await hub.live("n1", "n2", "n3", seconds=15)
    granted = await hub.ask("n1", "g1")
    assert isinstance(granted, Granted)
    assert granted.exempt is not None
    hub.report("n2", "ha node waiting")
    await hub.live("n1", "n2", "n3", seconds=15)
    hub.exchange.faults.add(Fault(kind=FaultKind.FREEZE))
    hub.report("n1", "successful")
    assert isinstance(await hub.ask("n2", "g1"), Granted)

    assert codes(await hub.ask("n1", "g1"))[0] == "lease-held"
    await hub.stop()


@in_virtual_time
async def test_an_exempt_yes_is_not_given_when_the_report_cannot_be_read() -> None:
    hub = Hub()
    hub.group("g1", "n2", "n3")
    seed.node(hub.exchange, ORG, "n1", version="2.31.0")
    hub.report("n1", "initiated")
    await hub.start()
    hub.admin("POST", "/hagroups/g1/nodes/n1")
    await hub.live("n1", "n2", "n3", seconds=15)
    hub.exchange.faults.add(Fault(kind=FaultKind.DROP, path=".*/managementStatus$", caller=f"IBM/{AGBOT}"))

    assert codes(await hub.ask("n1", "g1")) == ["exchange-unavailable"]
    await hub.stop()


@in_virtual_time
async def test_a_node_that_was_made_again_as_a_device_a_moment_ago_is_gated() -> None:
    hub = Hub()
    seed.node(hub.exchange, ORG, "n1", version="2.31.0", node_type="cluster")
    seed.node(hub.exchange, ORG, "n2", version="2.31.0")
    seed.group(hub.exchange, ORG, "g1", ["n1", "n2"])
    await hub.start()
    assert isinstance(await hub.ask("n2", "g1"), Granted)
    exempt = await hub.ask("n1", "g1")
    assert isinstance(exempt, Granted)
    assert exempt.token is None
    hub.admin("DELETE", "/nodes/n1")
    seed.node(hub.exchange, ORG, "n1", version="2.31.0")
    hub.admin("POST", "/hagroups/g1/nodes/n1")

    assert codes(await hub.ask("n1", "g1"))[0] == "lease-held"
    await hub.stop()


@in_virtual_time
async def test_a_lease_is_taken_over_only_from_a_holder_that_was_read_for_it() -> None:
    hub = await ready()
    claim = Claim(holder=node_id(ORG, "n1"), kind=Kind.AGENT, subject=policy_id(ORG, NMP))
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "initiated")
    await hub.live("n2", seconds=1200)
    hub.exchange.faults.add(Fault(kind=FaultKind.DROP, path=".*/nodes/n1$", caller=f"IBM/{AGBOT}"))

    answer = await hub.ask_as_agbot(hub.question("n2", "g1", "dp1", Kind.SERVICE))

    assert not isinstance(answer, Granted)
    assert hub.lease("g1").is_held_for(claim)
    await hub.stop()


class _SlowStore(FaultyStore):
    """Takes a while for each write of records."""

    seconds = 0.0

    async def write(self, writes: Writes) -> None:
        await asyncio.sleep(self.seconds)
        await super().write(writes)


@in_virtual_time
async def test_a_grant_that_waits_for_a_hold_to_be_written_rests_on_what_is_true_after_it() -> None:
    store = _SlowStore()
    hub = Hub(store=store, shows_rows=True)
    hub.group("g1", "n1", "n2", "n3")
    hub.group("g2", "n4", "n5")
    await hub.start()
    hub.report("n1", "ha node waiting")
    await hub.live("n1", "n2", "n3", seconds=60)
    await hub._cancel()  # noqa: SLF001 - the next cycle is seconds away
    store.seconds = 8.0
    hold = Hold(scope=f"{ORG}/g2", since=hub.clock.now(), by="eva", why="the trade fair")
    holding = asyncio.create_task(hub.coordinator.hold(hold))
    await asyncio.sleep(0.1)
    asking = asyncio.create_task(hub.ask("n1", "g1"))
    await asyncio.sleep(2)
    hub.report("n2", "downloaded")
    hub.rows.agents.append(AgentRow(org=ORG, group="g1", node="n2", nmp=NMP))

    assert codes(await asking)[0] == "lease-held"
    await holding
    await hub.stop()


@in_virtual_time
async def test_a_policy_that_is_disabled_while_a_grant_waits_for_a_hold_to_be_written_is_not_started() -> None:
    """Only the feed shows it, and the question read that before it waited."""
    store = _SlowStore()
    hub = Hub(store=store)
    hub.group("g1", "n1", "n2")
    hub.group("g2", "n4", "n5")
    await hub.start()
    hub.report("n1", "ha node waiting")
    await hub.live("n1", "n2", seconds=60)
    await hub._cancel()  # noqa: SLF001 - the next cycle is seconds away
    store.seconds = 8.0
    hold = Hold(scope=f"{ORG}/g2", since=hub.clock.now(), by="eva", why="the trade fair")
    holding = asyncio.create_task(hub.coordinator.hold(hold))
    await asyncio.sleep(0.1)
    asking = asyncio.create_task(hub.ask("n1", "g1"))
    await asyncio.sleep(2)
    hub.write_policy(enabled=False)

    assert codes(await asking)[0] == "policy-disabled"
    await holding
    await hub.stop()
