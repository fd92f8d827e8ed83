"""A first refusal is decided once, and written once: what it costs where thousands of members begin to ask."""

from __future__ import annotations

import asyncio

import pytest

from agbot.coordinator.questions import asking
from agbot.rules.decide import Decision, decide
from agbot.rules.facts import Ask
from agbot.rules.lease import Lease
from agbot.rules.rule import Case
from agbot.store.contract import NOTHING, Lost, Writes
from agbot.store.memory import MemoryStore
from tests.support.hub import Hub, codes
from tests.support.virtual_time import in_virtual_time


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[Ask]:
    """Every question that the rules have been asked."""
    asks: list[Ask] = []

    def noted(case: Case) -> Decision:
        asks.append(case.ask)
        return decide(case)

    monkeypatch.setattr(asking, "decide", noted)
    return asks


class GatedStore(MemoryStore):
    """Waits before each write while its gate is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()

    async def write(self, writes: Writes) -> None:
        await self.gate.wait()
        await super().write(writes)

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        await self.gate.wait()
        return await super().swap(expected, new, writes)


async def upgrading(store: MemoryStore | None = None) -> Hub:
    """A pair of which n1 upgrades, known as a whole."""
    hub = Hub(store=store or MemoryStore())
    hub.group("g1", "n1", "n2")
    await hub.start()
    assert codes(await hub.ask("n1", "g1")) == []
    hub.report("n1", "download started")
    await hub.live("n1", "n2", seconds=10, every=5)
    return hub


@in_virtual_time
async def test_a_first_question_that_needs_no_further_read_is_decided_once(decided: list[Ask]) -> None:
    hub = await upgrading()
    decided.clear()
    assert codes(await hub.ask("n2", "g1")) == ["lease-held"]
    assert len(decided) == 1
    await hub.stop()


@in_virtual_time
async def test_a_question_that_has_waited_for_a_read_is_decided_on_what_was_read(decided: list[Ask]) -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    assert codes(await hub.ask("n2", "g1", "unknown")) == ["unknown-policy"]
    await hub.live("n2", seconds=900)
    hub.heartbeat("n1")  # makes no row: only a read shows it
    decided.clear()
    assert codes(await hub.ask("n2", "g1")) == []
    assert len(decided) > 1
    await hub.stop()


@in_virtual_time
async def test_a_wait_is_journalled_once_though_its_node_asks_again_during_the_write() -> None:
    store = GatedStore()
    hub = await upgrading(store)
    store.gate.clear()
    assert codes(await hub.ask("n2", "g1")) == ["lease-held"]
    await asyncio.sleep(5)  # a cycle has begun to write the waiter
    assert codes(await hub.ask("n2", "g1", is_remembered=True)) == ["lease-held"]
    store.gate.set()
    await hub.live("n1", "n2", seconds=30, every=5)
    assert [entry.node for entry in hub.events("wait.changed")] == ["o1/n2"]
    await hub.stop()
