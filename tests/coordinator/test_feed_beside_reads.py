"""The change feed is read at its own pace: it waits for no other read of a cycle."""

from __future__ import annotations

import asyncio

from agbot.coordinator.permission import Granted
from agbot.sim.faults import Fault, FaultKind
from tests.support.hub import AGBOT, ORG, Hub
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


@in_virtual_time
async def test_an_organisation_whose_read_outlasts_a_cycle_is_named_by_a_later_one() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await asyncio.sleep(15)  # until the sentence of the start is gone
    slow = Fault(kind=FaultKind.LATENCY, seconds=5, path=f"/orgs/{ORG}/nodes", caller=f"IBM/{AGBOT}")
    hub.exchange.faults.add(slow)
    hub.coordinator._organisations.read_all_again()  # noqa: SLF001 - as at a resync

    sentences = set[str]()
    for _ in range(60):
        await asyncio.sleep(0.5)
        sentences.add(hub.coordinator.overview().sentence)

    assert sum("as a whole" in each and ORG in each for each in sentences) == 1, sentences
    await hub.stop()
