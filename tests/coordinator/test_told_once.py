"""What happens once is written once although two questions come in the same moment, and a cycle's sentence stays one."""

from __future__ import annotations

import asyncio

from agbot.coordinator.contract import Granted
from agbot.rules.ids import node_id
from agbot.sim.exchange import seed
from agbot.store.contract import Writes
from agbot.store.memory import MemoryStore
from tests.support.hub import ORG, Hub
from tests.support.virtual_time import in_virtual_time


class SlowStore(MemoryStore):
    """Takes a moment for each write, in which others come."""

    async def write(self, writes: Writes) -> None:
        await asyncio.sleep(0.2)
        await super().write(writes)


@in_virtual_time
async def test_a_deferral_that_two_questions_find_in_the_same_moment_is_told_once() -> None:
    hub = Hub(store=SlowStore())
    hub.group("g1", "n1", "n2")
    await hub.start()
    seed.node(hub.exchange, ORG, "n3", version="2.31.0")
    hub.report("n3", "initiated")
    hub.report("n1", "ha node waiting")
    hub.admin("POST", "/hagroups/g1/nodes/n3")

    await asyncio.gather(*(hub.ask(node, "g1") for node in ("n1", "n2", "n3", "n1")))

    assert [entry.node for entry in hub.events("deferral.begun")] == [node_id(ORG, "n3")]
    await hub.stop()


@in_virtual_time
async def test_an_exempt_yes_that_is_asked_for_twice_in_the_same_moment_is_told_once() -> None:
    hub = Hub(store=SlowStore())
    seed.node(hub.exchange, ORG, "n1", version="2.31.0", node_type="cluster")
    seed.group(hub.exchange, ORG, "g1", ["n1"])
    await hub.start()

    answers = await asyncio.gather(*(hub.ask("n1", "g1") for _ in range(3)))
    told = len([entry for entry in hub.told if entry.event.endswith("exempted")])
    await asyncio.sleep(60)
    await hub.ask("n1", "g1")

    assert all(isinstance(answer, Granted) for answer in answers)
    assert told == 1
    assert len([entry for entry in hub.told if entry.event.endswith("exempted")]) == 2
    await hub.stop()


@in_virtual_time
async def test_a_cycle_in_which_much_was_done_still_says_one_sentence() -> None:
    hub = Hub()
    for number in range(40):
        hub.group(f"g{number}", f"a{number}", f"b{number}")
        hub.report(f"a{number}", "ha node waiting")
    await hub.start()
    for number in range(40):
        assert isinstance(await hub.ask(f"a{number}", f"g{number}"), Granted)
    for number in range(40):
        hub.report(f"a{number}", "successful")

    sentences = []
    for _ in range(4):
        await asyncio.sleep(1)
        sentences.append(hub.coordinator.overview().sentence)

    busy = max(sentences, key=len)
    assert "and 35 more" in busy
    assert len(busy) < 600
    await hub.stop()
