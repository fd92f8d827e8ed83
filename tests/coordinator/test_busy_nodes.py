"""A busy node, over the whole hub on a virtual clock."""

from __future__ import annotations

import asyncio

from agbot.coordinator.permission import Granted
from agbot.rules.busy import NotNow
from agbot.rules.ids import node_id
from agbot.rules.limits import Limits
from tests.support.faulty_store import Failure, FaultyStore
from tests.support.hub import ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

N1 = node_id(ORG, "n1")


async def started(limits: Limits | None = None) -> Hub:
    """A hub with a group of two whose first member is about to ask."""
    hub = Hub(limits=limits or Limits())
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.report("n1", "ha node waiting")
    return hub


@in_virtual_time
async def test_its_agent_upgrade_waits_until_it_is_ready_over_a_restart_and_explain_shows_its_text() -> None:
    hub = await started()
    hub.coordinator.note_busy(N1, NotNow(for_seconds=600, reason="a batch runs"))
    await hub.live("n1", "n2", seconds=12)
    assert codes(await hub.ask("n1", "g1")) == ["node-busy"]
    await hub.crash()
    await hub.live("n1", "n2", seconds=60)
    assert codes(await hub.ask("n1", "g1")) == ["node-busy"]
    explained = hub.coordinator.explain(N1)
    assert explained is not None
    assert explained.answer.endswith(": a batch runs.")
    assert explained.earliest is not None
    assert explained.at_latest, "the node may be ready before"
    assert [each.rule for each in explained.rules if each.at_latest] == ["not-busy"]

    hub.coordinator.note_busy(N1, None)
    await hub.live("n1", "n2", seconds=12)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    assert [entry.node for entry in hub.events("busy.begun")] == [N1]
    assert [entry.facts["why"] for entry in hub.events("busy.ended")] == ["it has stated so"]
    await hub.stop()


@in_virtual_time
async def test_one_that_is_always_busy_is_ignored_after_the_bound_which_a_restart_does_not_begin_again() -> None:
    hub = await started(Limits(max_busy_seconds=900))
    for minute in range(14):
        hub.coordinator.note_busy(N1, NotNow(for_seconds=300))
        await hub.live("n1", "n2", seconds=60)
        assert codes(await hub.ask("n1", "g1")) == ["node-busy"], minute
        if minute == 7:
            await hub.crash()
    assert hub.events("busy.ignored") == []
    hub.coordinator.note_busy(N1, NotNow(for_seconds=300))
    await hub.live("n1", "n2", seconds=70)

    assert isinstance(await hub.ask("n1", "g1"), Granted)
    (ignored,) = hub.events("busy.ignored")
    assert ignored.node == N1
    assert len(hub.events("busy.begun")) == 1, "a later time alone is no event"
    await hub.stop()


@in_virtual_time
async def test_its_time_ends_by_itself() -> None:
    hub = await started()
    hub.coordinator.note_busy(N1, NotNow(for_seconds=60))
    await hub.live("n1", "n2", seconds=75)

    assert isinstance(await hub.ask("n1", "g1"), Granted)
    assert [entry.facts["why"] for entry in hub.events("busy.ended")] == ["its time is over"]
    await hub.stop()


@in_virtual_time
async def test_a_word_that_the_store_could_not_take_is_written_when_it_can() -> None:
    store = FaultyStore()
    hub = Hub(store=store)
    hub.group("g1", "n1", "n2")
    await hub.start()
    store.fail_next(Failure.BEFORE_COMMIT, 20)
    hub.coordinator.note_busy(N1, NotNow(for_seconds=600))
    await asyncio.sleep(30)
    store.heal()
    await hub.live("n1", "n2", seconds=40)
    hub.report("n1", "ha node waiting")

    assert codes(await hub.ask("n1", "g1")) == ["node-busy"]
    await hub.stop()
