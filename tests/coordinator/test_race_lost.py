"""A member whose grant is overtaken waits on, as it did before."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from agbot.coordinator.permission import Granted
from agbot.rules.ids import group_id
from agbot.rules.lease import Lease, grant
from agbot.rules.records import Waiter
from agbot.rules.seen_time import Now
from agbot.store.contract import NOTHING, Lost, Writes
from agbot.store.memory import Content, MemoryStore
from tests.support.faulty_store import FaultyStore
from tests.support.hub import ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_waiter_that_loses_the_race_for_the_lease_is_journalled_all_the_same() -> None:
    content = Content()
    hub = Hub(store=FaultyStore(content))
    hub.group("g1", "n1", "n2", "n3")
    await hub.start()
    await hub.live("n1", "n2", "n3", seconds=60)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    await hub._cancel()  # noqa: SLF001 - all of this happens between two cycles
    assert codes(await hub.ask("n2", "g1")) == ["lease-held"]
    await hub.coordinator.release(group_id(ORG, "g1"), token=1, reason="n1 is off", who="eva")
    free = hub.lease("g1")
    taken = grant(free, hub.question("n3", "g1").claim, Now.unblinded(hub.clock.now()), timedelta(hours=1))
    beside = MemoryStore(content)
    await beside.open()
    await beside.swap(free, taken)  # as a trigger of the guard does it

    assert codes(await hub.ask("n2", "g1")) == ["lease-held"]
    await hub.coordinator.cycle()

    assert [entry.node for entry in hub.events("wait.changed")] == [f"{ORG}/n2"]
    assert [waiter.ask.node for waiter in (await hub.store.load()).of(Waiter)] == [f"{ORG}/n2"]
    await hub.stop()


class _SlowGrants(FaultyStore):
    """Takes three seconds for each change of a lease."""

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        await asyncio.sleep(3)
        return await super().swap(expected, new, writes)


@in_virtual_time
async def test_a_waiter_whose_grant_is_on_its_way_is_not_written() -> None:
    hub = Hub(store=_SlowGrants())
    hub.group("g1", "n1", "n2")
    await hub.start()
    await hub.live("n1", "n2", seconds=60)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    await hub._cancel()  # noqa: SLF001 - see above
    assert codes(await hub.ask("n2", "g1")) == ["lease-held"]
    await hub.coordinator.release(group_id(ORG, "g1"), token=1, reason="n1 is off", who="eva")
    granting = asyncio.create_task(hub.ask("n2", "g1"))
    await asyncio.sleep(1)

    await hub.coordinator.cycle()

    assert isinstance(await granting, Granted)
    await hub.coordinator.cycle()
    assert hub.events("wait.changed") == []
    assert (await hub.store.load()).of(Waiter) == []
    await hub.stop()
