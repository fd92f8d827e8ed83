"""The change feed is read at its own pace: it waits for no other read of a cycle."""

from __future__ import annotations

import asyncio

from agbot.coordinator.permission import Granted
from agbot.sim.faults import Fault, FaultKind
from tests.support.hub import AGBOT, Hub
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_reads_that_take_long_do_not_let_the_view_grow_old() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.report("n1", "ha node waiting")
    await hub.live("n1", "n2", seconds=61)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    slow = Fault(kind=FaultKind.LATENCY, seconds=9, path=r".*/(nodes|managementStatus)(/.*)?$", caller=f"IBM/{AGBOT}")
    hub.exchange.faults.add(slow)

    ages: list[float] = []
    for _ in range(120):
        await asyncio.sleep(1.0)
        age = hub.coordinator.overview().view_age_seconds
        assert age is not None
        ages.append(age)

    assert max(ages) <= 5.0
    await hub.stop()
