"""An Exchange that was restored from a backup, and a feed that stands still: what they show is old, and proves nothing."""

from __future__ import annotations

from agbot.coordinator.contract import Granted
from agbot.rules.lease import State
from agbot.sim.faults import Fault, FaultKind
from tests.clocks.blindness import bad, held, upgrading
from tests.support.hub import codes
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_the_heartbeats_of_a_backup_make_nobody_silent() -> None:
    hub = await upgrading()
    copy = hub.exchange.backup()
    await hub.live("n1", "n2", "n3", seconds=3000)

    hub.exchange.restore(copy)
    await hub.live(seconds=50)
    assert codes(await hub.ask("n2", "g1"))[0] == "lease-held"
    await hub.live("n1", "n2", "n3", seconds=600)

    assert held(hub).token == 1
    assert bad(hub) == []


@in_virtual_time
async def test_a_holder_that_died_with_the_exchange_is_found_out_all_the_same() -> None:
    hub = await upgrading()
    copy = hub.exchange.backup()
    await hub.live("n1", "n2", "n3", seconds=1000)

    hub.exchange.restore(copy)
    await hub.live("n2", "n3", seconds=5000)

    assert hub.lease("g1").state is State.FREE


@in_virtual_time
async def test_a_feed_that_stood_still_for_an_hour_ends_nothing_and_lets_nobody_go() -> None:
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
