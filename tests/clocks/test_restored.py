"""An Exchange that was restored from a backup, and a feed that stands still: what they show is old, and proves nothing."""

from __future__ import annotations

import asyncio

import pytest

from agbot.coordinator.permission import Granted
from agbot.fleet.changes import Read, What
from agbot.rules.lease import State
from agbot.sim.faults import Fault, FaultKind
from tests.clocks.blindness import bad, held, upgrading
from tests.support.examples import some, thorough
from tests.support.hub import ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time


@thorough
@in_virtual_time
async def test_the_heartbeats_of_a_backup_make_no_one_silent() -> None:
    hub = await upgrading()
    copy = hub.exchange.backup()
    await hub.live("n1", "n2", "n3", seconds=3000)

    hub.exchange.restore(copy)
    await hub.live(seconds=50)
    assert codes(await hub.ask("n2", "g1"))[0] == "lease-held"
    await hub.live("n1", "n2", "n3", seconds=600)

    assert held(hub).token == 1
    assert bad(hub) == []


@thorough
@in_virtual_time
async def test_a_holder_that_died_with_the_exchange_is_found_out_all_the_same() -> None:
    hub = await upgrading()
    copy = hub.exchange.backup()
    await hub.live("n1", "n2", "n3", seconds=1000)

    hub.exchange.restore(copy)
    await hub.live("n2", "n3", seconds=5000)

    assert hub.lease("g1").state is State.FREE


@thorough
@in_virtual_time
async def test_a_feed_that_stood_still_for_an_hour_ends_nothing_and_lets_no_one_go() -> None:
    hub = await upgrading()
    frozen = hub.exchange.faults.add(Fault(kind=FaultKind.FREEZE))

    await hub.live("n1", "n2", "n3", seconds=3600)
    assert codes(await hub.ask("n2", "g1")) == ["lease-held"]
    hub.exchange.faults.remove(frozen)
    await hub.live("n1", "n2", "n3", seconds=60)

    assert held(hub).token == 1
    assert bad(hub) == []
    hub.report("n1", "successful")
    await hub.live("n1", "n2", "n3", seconds=40)
    assert isinstance(await hub.ask("n2", "g1"), Granted)


@in_virtual_time
async def test_an_end_that_a_backup_shows_again_is_not_that_of_the_present_upgrade() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2", "n3")
    hub.report("n1", "successful")
    await hub.start()
    await hub.live("n1", "n2", "n3", seconds=60)
    copy = hub.exchange.backup()
    hub.report("n1", "ha node waiting")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", "n3", seconds=60)

    hub.exchange.restore(copy)
    await hub.live("n1", "n2", "n3", seconds=120)
    assert held(hub).token == 1
    assert bad(hub) == []

    hub.report("n1", "successful")
    await hub.live("n1", "n2", "n3", seconds=40)
    assert hub.lease("g1").state is State.FREE


@pytest.mark.parametrize("was_moved", some([False, True]), ids=["restored", "the Exchange's clock was set"])
@in_virtual_time
async def test_how_long_a_node_was_silent_is_not_forgotten_with_a_restore(*, was_moved: bool) -> None:
    """P6: who waits for the death of a holder does not begin to wait again."""
    hub = await upgrading()
    copy = hub.exchange.backup()
    await hub.live("n2", "n3", seconds=1500)
    assert hub.lease("g1").state is State.SUSPECT

    if was_moved:
        hub.exchange.faults.add(Fault(kind=FaultKind.CLOCK, seconds=3600.0))
    else:
        hub.exchange.restore(copy)
    await hub.live("n2", "n3", seconds=40)
    assert hub.lease("g1").state is State.SUSPECT
    await hub.live("n2", "n3", seconds=700)

    assert hub.lease("g1").state is State.FREE


@in_virtual_time
async def test_a_holder_that_comes_back_after_a_restore_was_not_silent_all_the_time() -> None:
    hub = await upgrading()
    copy = hub.exchange.backup()
    await hub.live("n2", "n3", seconds=900)

    hub.exchange.restore(copy)
    await asyncio.sleep(30)
    await hub.live("n1", "n2", "n3", seconds=900)

    assert hub.lease("g1").state is State.SUSPECT
    assert bad(hub) == ["lease.suspected"]


@in_virtual_time
async def test_a_feed_that_answers_and_stands_still_is_found_out_and_grants_nothing() -> None:
    hub = await upgrading()
    hub.group("g2", "m1", "m2")
    await hub.live("n1", "n2", "n3", "m1", "m2", seconds=60)
    frozen = hub.exchange.faults.add(Fault(kind=FaultKind.FREEZE))

    hub.report("n1", "rollback started")
    await hub.live("n1", "n2", "n3", "m1", "m2", seconds=200)
    refused = await hub.ask("m1", "g2")
    assert codes(refused) == ["view-stale"]
    assert "stands still" in refused.reasons[0].text  # type: ignore[union-attr]  # a refusal
    assert any("stands still" in text for text in hub.coordinator.overview().not_ready)
    assert held(hub).token == 1

    hub.exchange.faults.remove(frozen)
    await hub.live("n1", "n2", "n3", "m1", "m2", seconds=30)
    assert isinstance(await hub.ask("m1", "g2"), Granted)


@in_virtual_time
async def test_rows_that_come_late_and_a_quiet_hub_are_no_standstill() -> None:
    hub = await upgrading()
    hub.group("g2", "m1", "m2")
    hub.exchange.faults.add(Fault(kind=FaultKind.LATE, path="/changes", rate=1.0, seconds=20.0))

    for status in ("downloaded", "initiated", "rollback started"):
        hub.report("n1", status)
        for _ in range(30):
            await hub.live("n1", "n2", "n3", "m1", "m2", seconds=5)
            assert not any("stands still" in text for text in hub.coordinator.overview().not_ready)


@pytest.mark.parametrize("cached", some(["", "successful", "waiting", "failed"]))
@in_virtual_time
async def test_an_old_report_that_a_cache_shows_is_no_end_while_the_feed_announces_later_ones(cached: str) -> None:
    """The heartbeats and the feed are current, and the reports are those of a moment."""
    hub = Hub()
    hub.group("g1", "n1", "n2", "n3")
    if cached == "successful":
        hub.report("n1", cached)
    await hub.start()
    await hub.live("n1", "n2", "n3", seconds=60)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    if cached in {"waiting", "failed"}:
        hub.report("n1", cached)
    hub.exchange.faults.add(Fault(kind=FaultKind.STALE, path="/managementStatus$"))
    await hub.client.read(Read(what=What.STATUSES, id=f"{ORG}/n1"))

    await hub.live("n1", "n2", "n3", seconds=10)
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", "n3", seconds=1500)

    assert hub.lease("g1").state is State.SUSPECT
    assert not isinstance(await hub.ask("n2", "g1"), Granted)
    hub.exchange.faults.clear()
    hub.report("n1", "successful")
    await hub.live("n1", "n2", "n3", seconds=60)
    assert hub.lease("g1").state is State.FREE
