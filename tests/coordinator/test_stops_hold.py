"""Who was reported that a stop is set sees no grant after it that was decided before it, however long the store takes for either."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from agbot.coordinator.contract import Done
from agbot.coordinator.permission import Granted, Refused
from agbot.rules.lease import Lease
from agbot.rules.limits import Limits
from agbot.rules.records import Hold
from agbot.store.contract import NOTHING, JournalQuery, Lost, Writes
from tests.support.faulty_store import FaultyStore
from tests.support.hub import ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time


class UnevenStore(FaultyStore):
    """Takes its time before a swap is committed, or before it confirms a write that it has committed."""

    def __init__(self) -> None:
        super().__init__()
        self.swap_seconds = 0.0
        self.slow_group = ""
        self.confirm_seconds = 0.0

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        await asyncio.sleep(self.swap_seconds if self.slow_group in {"", new.group} else 0.0)
        return await super().swap(expected, new, writes)

    async def write(self, writes: Writes) -> None:
        await super().write(writes)
        await asyncio.sleep(self.confirm_seconds)


async def hub_of(store: FaultyStore, limits: Limits | None = None, groups: int = 1) -> Hub:
    hub = Hub(store=store, limits=limits or Limits())
    nodes = [f"n{number}" for number in range(1, 2 * groups + 1)]
    for number in range(groups):
        hub.group(f"g{number + 1}", *nodes[2 * number : 2 * number + 2])
    await hub.start()
    for node in nodes[::2]:
        hub.report(node, "ha node waiting")
    await hub.live(*nodes, seconds=31)
    return hub


def hold(hub: Hub, scope: str) -> Hold:
    return Hold(scope=scope, since=hub.clock.now(), by="ada", why="a bad release")


async def journal(hub: Hub, *events: str) -> list[str]:
    return [entry.event for entry in await hub.store.journal(JournalQuery(events=events, after=0, limit=100))]


@pytest.mark.parametrize("scope", ["*", ORG, f"{ORG}/g1", f"node:{ORG}/n1"])
@in_virtual_time
async def test_a_hold_is_done_only_behind_the_grants_that_were_decided_before_it(scope: str) -> None:
    store = UnevenStore()
    hub = await hub_of(store)
    store.swap_seconds = 2.0

    asking = asyncio.create_task(hub.ask("n1", "g1"))
    await asyncio.sleep(1)
    done = await hub.coordinator.hold(hold(hub, scope))

    assert isinstance(done, Done)
    assert hub.lease("g1").tenure is not None
    assert await journal(hub, "lease.granted", "hold.set") == ["lease.granted", "hold.set"]
    assert isinstance(await asking, Granted)
    await hub.stop()


@in_virtual_time
async def test_so_is_it_behind_the_grant_of_an_asker_who_has_hung_up() -> None:
    store = UnevenStore()
    hub = await hub_of(store)
    store.swap_seconds = 2.0

    asking = asyncio.create_task(hub.ask("n1", "g1"))
    await asyncio.sleep(1)
    asking.cancel()
    await asyncio.sleep(0)
    await hub.coordinator.hold(hold(hub, "*"))

    assert await journal(hub, "lease.granted", "hold.set") == ["lease.granted", "hold.set"]
    with suppress(asyncio.CancelledError):
        await asking
    await hub.stop()


@in_virtual_time
async def test_no_one_is_granted_while_the_store_has_taken_a_hold_and_not_confirmed_it() -> None:
    store = UnevenStore()
    hub = await hub_of(store)
    store.confirm_seconds = 2.0

    holding = asyncio.create_task(hub.coordinator.hold(hold(hub, "*")))
    await asyncio.sleep(1)
    answer = await hub.ask("n1", "g1")

    assert isinstance(answer, Refused)
    assert codes(answer) == ["paused"]
    assert isinstance(await holding, Done)
    await hub.stop()


@in_virtual_time
async def test_a_brake_on_the_organisation_is_set_behind_the_grants_that_were_decided_before_it() -> None:
    store = UnevenStore()
    hub = await hub_of(store, Limits(org_brake_groups=1), groups=2)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", "n3", "n4", seconds=20)
    store.swap_seconds, store.slow_group = 15.0, f"{ORG}/g2"

    hub.report("n1", "rollback successful")
    asking = asyncio.create_task(hub.ask("n3", "g2"))
    await hub.live("n1", "n2", "n3", "n4", seconds=30, every=5)

    assert await journal(hub, "lease.granted", "brake.set") == ["lease.granted", "lease.granted", "brake.set"]
    assert isinstance(await asking, Granted)
    await hub.stop()


@in_virtual_time
async def test_nothing_is_granted_after_the_daemon_has_stopped_that_was_decided_before() -> None:
    store = UnevenStore()
    hub = await hub_of(store)
    store.swap_seconds = 2.0

    asking = asyncio.create_task(hub.ask("n1", "g1"))
    await asyncio.sleep(1)
    await hub.coordinator.stop()

    assert isinstance(asking.done() and asking.result(), Granted)
    assert hub.lease("g1").token == 1
    await hub.stop()


@in_virtual_time
async def test_a_hold_whose_write_fails_leaves_the_gate_open() -> None:
    hub = await hub_of(FaultyStore())
    assert isinstance(hub.store, FaultyStore)
    hub.store.crash()
    with suppress(Exception):
        await hub.coordinator.hold(hold(hub, "*"))
    await hub.store.open()
    await hub.live("n1", "n2", seconds=31)

    assert isinstance(await hub.ask("n1", "g1"), Granted)
    await hub.stop()
