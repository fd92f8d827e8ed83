"""Another generation of the store under the whole hub: nothing is granted before the look, or before a person's word."""

from __future__ import annotations

from typing import cast

import pytest

from agbot.coordinator.contract import Done, NotDone
from agbot.coordinator.permission import Granted, Refused
from agbot.rules import ids
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from agbot.store import generation
from tests.support.faulty_store import FaultyStore
from tests.support.hub import AGBOT, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

FLOOR = 1_000


async def restored(*members: str) -> Hub:
    """Return a hub that grants in g1, and has just started with a store that is not the one that was used last."""
    hub = Hub()
    hub.group("g1", *members)
    await hub.start()
    await hub.live(*members, seconds=60)
    cast("FaultyStore", hub.store).change_generation("it is an older copy", FLOOR)
    await hub.crash()
    return hub


def agree(hub: Hub, node: str, agreement: str = "") -> None:
    """Let a node run a service under an agreement, as one that reports no containers does."""
    body = {"agreementService": {"orgid": ORG, "pattern": "", "url": "svc"}, "services": [], "state": "Finalized"}
    path = f"/orgs/{ORG}/nodes/{node}/agreements/{agreement or f'a-{node}'}"
    seed.send(hub.exchange, "PUT", path, body, caller=f"{ORG}/{node}")


def upheld(hub: Hub) -> int:
    lease = hub.lease("g1")
    return lease.tenure.progress.upheld_above if lease.tenure is not None else 0


async def resume(hub: Hub) -> Done | NotDone:
    return await hub.coordinator.resume(ids.STORE_SCOPE, subject=None, reason="all at rest", who="ada")


@in_virtual_time
async def test_nothing_is_granted_until_every_organisation_was_read_again_and_then_above_the_floor() -> None:
    hub = await restored("n1", "n2")
    hub.report("n1", "ha node waiting")

    answer = await hub.ask("n1", "g1")
    assert codes(answer)[0] == "store-changed"
    assert "it is an older copy" in cast("Refused", answer).reasons[0].text
    assert not hub.coordinator.overview().ready
    await hub.live("n1", "n2", seconds=60)

    [changed], [settled] = hub.events("store.changed"), hub.events("store.settled")
    assert changed.facts["why"] == "it is an older copy"
    assert (settled.at - changed.at).total_seconds() >= 10
    assert hub.coordinator.overview().ready
    granted = await hub.ask("n1", "g1")
    assert isinstance(granted, Granted)
    assert granted.token == FLOOR + 1
    await hub.stop()


@in_virtual_time
async def test_who_was_granted_by_the_store_before_and_is_under_way_is_found_before_anybody_else_may_go() -> None:
    hub = await restored("n1", "n2", "n3")
    await hub.live("n1", "n2", "n3", seconds=5)
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", "n3", seconds=60)
    assert hub.events("store.settled")

    hub.report("n2", "ha node waiting")
    assert codes(await hub.ask("n2", "g1")) == ["lease-held"]
    lease = hub.lease("g1")
    assert lease.tenure is not None
    assert (lease.tenure.claim.holder, lease.token > FLOOR) == ("o1/n1", True)
    await hub.stop()


@in_virtual_time
async def test_a_person_ends_the_wait_with_a_reason_once() -> None:
    hub = await restored("n1", "n2")
    hub.report("n1", "ha node waiting")
    assert codes(await hub.ask("n1", "g1"))[0] == "store-changed"

    done = await resume(hub)

    assert isinstance(done, Done)
    assert "it is an older copy" in done.text
    [settled] = hub.events("store.settled")
    assert (settled.who, settled.facts["why"]) == ("ada", "all at rest")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    again = await resume(hub)
    assert isinstance(again, NotDone)
    assert not again.not_found
    await hub.stop()


@in_virtual_time
async def test_an_organisation_that_cannot_be_read_keeps_the_wait_up_until_it_can() -> None:
    hub = await restored("n1", "n2")
    down = hub.exchange.faults.add(
        Fault(kind=FaultKind.STATUS, status=500, caller=f"IBM/{AGBOT}", path=f"/orgs/{ORG}/nodes")
    )
    await hub.live("n1", "n2", seconds=120)
    assert not hub.events("store.settled")

    hub.exchange.faults.remove(down)
    await hub.live("n1", "n2", seconds=120)
    assert hub.events("store.settled")
    await hub.stop()


@in_virtual_time
async def test_the_wait_goes_on_after_a_restart() -> None:
    hub = await restored("n1", "n2")
    await hub.live("n1", "n2", seconds=5)
    await hub.crash()
    hub.report("n1", "ha node waiting")

    assert codes(await hub.ask("n1", "g1"))[0] == "store-changed"
    await hub.live("n1", "n2", seconds=5)
    assert not hub.events("store.settled")
    await hub.live("n1", "n2", seconds=60)
    assert len(hub.events("store.settled")) == 1
    await hub.stop()


@in_virtual_time
async def test_a_holder_of_the_restored_store_gets_its_old_yes_again_only_where_nothing_else_speaks_against_it() -> (
    None
):
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.report("n1", "ha node waiting")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    cast("FaultyStore", hub.store).change_generation("it is an older copy", FLOOR)
    await hub.crash()

    assert codes(await hub.ask("n1", "g1"))[0] == "store-changed"
    assert isinstance(await resume(hub), Done)
    again = await hub.ask("n1", "g1")
    assert isinstance(again, Granted)
    assert (again.token, again.repeated) == (1, True)
    assert upheld(hub) == FLOOR, "the guard's triggers may repeat it"

    hub.report("n2", "initiated")  # the store before had ended n1's upgrade and granted this one
    await hub.live("n1", "n2", seconds=10)
    assert not isinstance(await hub.ask("n1", "g1"), Granted)
    assert upheld(hub) == 0
    await hub.stop()


@in_virtual_time
async def test_who_asked_before_the_store_was_replaced_is_not_known_and_the_summary_says_since_when() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await hub.ask("n1", "g1")
    assert hub.coordinator.overview().asked_since is None
    replaced_at = hub.clock.now().replace(microsecond=0)
    floor = generation.floor_above(0, int(replaced_at.timestamp() * 1000))
    cast("FaultyStore", hub.store).change_generation("it is an older copy", floor)
    await hub.crash()
    await hub.live("n1", "n2", seconds=60)

    assert hub.coordinator.overview().asked_since == replaced_at
    await hub.stop()


async def running_services() -> Hub:
    """Start a hub in which both members have run a service for a while."""
    hub = Hub()
    hub.group("g1", "n1", "n2")
    agree(hub, "n1")
    agree(hub, "n2")
    await hub.start()
    await hub.live("n1", "n2", seconds=1200)
    return hub


async def replace_store(hub: Hub) -> int:
    """Let the coordinator start again with an older copy of its store; return the highest token of before."""
    replaced = generation.floor_above(0, int(hub.clock.now().timestamp() * 1000))
    cast("FaultyStore", hub.store).change_generation("it is an older copy", replaced)
    await hub.crash()
    return replaced


@pytest.mark.parametrize(
    "is_new", [False, True], ids=["the old agreement has ended", "no container of the new one runs yet"]
)
@in_virtual_time
async def test_a_service_upgrade_that_the_store_before_has_granted_is_found_before_the_first_grant(
    is_new: bool,
) -> None:
    hub = await running_services()
    seed.send(hub.exchange, "DELETE", f"/orgs/{ORG}/nodes/n1/agreements/a-n1", caller=f"{ORG}/n1")
    replaced = await replace_store(hub)
    if is_new:
        agree(hub, "n1", "b-n1")
    await hub.live("n1", "n2", seconds=60)
    assert hub.events("store.settled")

    hub.report("n2", "ha node waiting")
    assert codes(await hub.ask("n2", "g1"))[0] == "lease-held"
    lease = hub.lease("g1")
    assert lease.tenure is not None
    assert (lease.tenure.claim.holder, lease.tenure.claim.kind, lease.token > replaced) == ("o1/n1", "service", True)
    await hub.stop()


@in_virtual_time
async def test_services_that_run_keep_no_first_grant_of_a_replaced_store_waiting() -> None:
    hub = await running_services()
    await replace_store(hub)
    await hub.live("n1", "n2", seconds=60)

    hub.report("n2", "ha node waiting")
    assert isinstance(await hub.ask("n2", "g1"), Granted)
    await hub.stop()
