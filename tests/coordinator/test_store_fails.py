"""While the store fails nothing is decided, and the Exchange is looked at all the same: what happens meanwhile counts."""

from __future__ import annotations

import asyncio

import pytest

from agbot.coordinator.contract import Done
from agbot.coordinator.permission import Granted
from agbot.rules.ids import group_id, node_id, policy_id
from agbot.rules.lease import Claim, Kind
from agbot.rules.records import Hold
from agbot.sim.agbot_rows import ServiceRow
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from agbot.store.contract import NotLeadingError, Stored, StoreUnavailableError, Writes
from tests.membership.living import CYCLE, IDLE_CYCLE
from tests.observed.upgrading import members, unasked
from tests.support.faulty_store import Failure, FaultyStore, Refusing
from tests.support.hub import AGBOT, ORG, Hub
from tests.support.virtual_time import in_virtual_time


def store_of(hub: Hub) -> FaultyStore:
    assert isinstance(hub.store, FaultyStore)
    return hub.store


async def without_store(hub: Hub, *nodes: str, seconds: float) -> None:
    """Let time pass in which these nodes are alive and every call to the store fails."""
    store_of(hub).fail_next(Failure.BEFORE_COMMIT, calls=1000)
    await hub.live(*nodes, seconds=seconds)
    store_of(hub).heal()


async def upgrading() -> Hub:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    hub.report("n1", "ha node waiting")
    await hub.start()
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "initiated")
    return hub


@pytest.mark.parametrize("seconds", [60, 300])
@in_virtual_time
async def test_a_holder_that_falls_silent_while_the_store_fails_is_waited_for_no_longer(seconds: float) -> None:
    hub = await upgrading()
    seed.deployment_policy(hub.exchange, ORG, "dp1", service="svc", versions=["1.0.0"])
    runs = {"agreementService": {"orgid": ORG, "pattern": "", "url": "svc"}, "services": [], "state": "Finalized"}
    seed.send(hub.exchange, "PUT", f"/orgs/{ORG}/nodes/n2/agreements/a1", runs, caller=f"{ORG}/n2")
    await hub.live("n2", seconds=700 - seconds)

    await without_store(hub, "n2", seconds=seconds)

    await hub.live("n2", seconds=CYCLE)
    assert [entry.node for entry in hub.events("lease.suspected")] == [f"{ORG}/n1"]
    assert isinstance(await hub.ask_as_agbot(hub.question("n2", "g1", "dp1", Kind.SERVICE)), Granted)
    await hub.stop()


@in_virtual_time
async def test_a_holder_that_goes_on_while_the_store_fails_for_longer_than_a_lease_keeps_it() -> None:
    hub = await upgrading()
    await hub.live("n1", "n2", seconds=10)

    await without_store(hub, "n1", "n2", seconds=400)
    hub.report("n1", "initiated", certificate="2")
    await without_store(hub, "n1", "n2", seconds=400)

    await hub.live("n1", "n2", seconds=60)
    claim = Claim(holder=node_id(ORG, "n1"), kind=Kind.AGENT, subject=policy_id(ORG, "up1"))
    assert hub.lease("g1").is_held_for(claim)
    assert hub.events("lease.suspected") == []
    await hub.stop()


@in_virtual_time
async def test_who_is_past_the_gate_and_joins_while_the_store_fails_is_deferred_when_it_is_back() -> None:
    hub = Hub()
    hub.group("g1", "n2", "n3")
    seed.node(hub.exchange, ORG, "n1", version="2.31.0")
    await hub.start()
    await hub.live("n1", "n2", "n3", seconds=15)
    store_of(hub).fail_next(Failure.BEFORE_COMMIT, calls=1000)
    hub.coordinator._situation.ledger.is_trusted = False  # noqa: SLF001 - as a write has left it that failed
    hub.report("n1", "initiated")
    hub.admin("POST", "/hagroups/g1/nodes/n1")
    await hub.live("n1", "n2", "n3", seconds=300)
    store_of(hub).heal()
    await hub.live("n1", "n2", "n3", seconds=IDLE_CYCLE)

    assert [entry.node for entry in hub.events("deferral.begun")] == [f"{ORG}/n1"]
    await hub.stop()


@in_virtual_time
async def test_a_service_that_went_down_is_not_forgotten_because_the_store_failed_just_then() -> None:
    async with unasked(2, shows_rows=False) as hub:
        hub.fleet.agbot.stop()
        node = members(hub)[0]
        await node.services.give_up()
        store_of(hub).fail_next(Failure.BEFORE_COMMIT)
        await hub.until(lambda: bool(hub.events("store.failed")), IDLE_CYCLE)

        await hub.until(lambda: hub.holder() is node, 2 * IDLE_CYCLE)


@in_virtual_time
async def test_neither_is_a_stuck_row_of_the_agbot() -> None:
    hub = Hub(store=Refusing("agbot.stuck"), shows_rows=True)
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.rows.services.append(ServiceRow(org=ORG, group="g1", policy=f"{ORG}/gone", node=f"{ORG}/n1"))
    await hub.live("n1", "n2", seconds=250)

    assert len(hub.events("store.failed")) == 1
    assert [entry.node for entry in hub.events("agbot.stuck")] == [f"{ORG}/n1"]
    await hub.stop()


@in_virtual_time
async def test_nor_that_the_store_is_an_older_copy() -> None:
    hub = Hub(store=Refusing("store.changed"))
    await hub.start()
    store_of(hub).change_generation("it is an older copy", 5)
    await hub.crash()
    await hub.live(seconds=60)

    assert len(hub.events("store.failed")) == 1
    assert [len(hub.events(event)) for event in ("store.changed", "store.settled")] == [1, 1]
    await hub.stop()


@in_virtual_time
async def test_the_sentence_of_a_cycle_names_a_store_and_an_exchange_that_fail_at_once() -> None:
    hub = await upgrading()
    hub.exchange.faults.add(Fault(kind=FaultKind.DROP, caller=f"IBM/{AGBOT}"))

    await without_store(hub, seconds=30)

    assert hub.coordinator.last_cycle is not None
    assert "the lease store fails" in hub.coordinator.last_cycle.sentence
    assert "cannot read the Exchange" in hub.coordinator.last_cycle.sentence
    await hub.stop()


class Fenced(FaultyStore):
    """Refuses everything from some moment on, because another leads."""

    is_over = False

    def _fail_if_over(self) -> None:
        if self.is_over:
            raise NotLeadingError("refused a write of epoch 1: two leads since epoch 2")

    async def check(self) -> None:
        self._fail_if_over()
        await super().check()

    async def load(self) -> Stored:
        self._fail_if_over()
        return await super().load()


@in_virtual_time
async def test_a_refusal_because_another_leads_is_no_failure_of_the_store() -> None:
    store = Fenced()
    hub = Hub(store=store)
    hub.group("g1", "n1", "n2")
    await hub.start()
    store.is_over = True
    await hub.live("n1", "n2", seconds=60.0)
    assert not hub.coordinator.overview().ready
    assert "store.failed" not in [entry.event for entry in hub.emitted]
    await hub.stop()


class Full(FaultyStore):
    """Can be read, and writes nothing, as on a full disk."""

    is_full = False

    async def write(self, writes: Writes) -> None:
        if self.is_full:
            message = "the disk is full"
            raise StoreUnavailableError(message)
        await super().write(writes)


@in_virtual_time
async def test_a_member_that_asks_while_nothing_can_be_written_has_not_never_asked() -> None:
    store = Full()
    hub = Hub(store=store)
    hub.group("g1", "n1", "n2")
    await hub.start()
    store.is_full = True
    hub.report("n1", "ha node waiting")
    await hub.ask("n1", "g1")

    await hub.live("n1", "n2", seconds=60)

    assert hub.coordinator.overview().never_asked_named == (node_id(ORG, "n2"),)
    await hub.stop()


@in_virtual_time
async def test_an_order_to_end_what_a_lost_answer_hides_is_not_answered_with_nothing_to_end() -> None:
    store = FaultyStore()
    hub = Hub(store=store)
    hub.group("g1", "n1", "n2")
    await hub.start()
    await asyncio.sleep(15)
    store.fail_next(Failure.AFTER_COMMIT)
    with pytest.raises(StoreUnavailableError):
        await hub.coordinator.hold(Hold(scope=ORG, since=hub.clock.now(), by="eva", why="the trade fair"))

    with pytest.raises(StoreUnavailableError, match="has not been read since it failed"):
        await hub.coordinator.resume(ORG, subject=None, reason="over", who="eva")
    with pytest.raises(StoreUnavailableError, match="has not been read since it failed"):
        await hub.coordinator.release(group_id(ORG, "g1"), token=None, reason="stuck", who="eva")

    await asyncio.sleep(15)
    assert isinstance(await hub.coordinator.resume(ORG, subject=None, reason="over", who="eva"), Done)
    await hub.stop()
