"""How the page reads the journal: piece by piece, and nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from agbot.console.page.chronicler import Chronicler
from agbot.coordinator.operations import Operations
from agbot.rules.ids import GroupId, NodeId
from agbot.store.contract import Entry, JournalQuery, Writes
from agbot.store.memory import MemoryStore
from tests.support.virtual_time import in_virtual_time
from tests.unit.console.test_chronicle import BEGUN, GROUP, granted, released

MANY = 1200


@dataclass
class Journal:
    """The journal of a coordinator, and what was asked of it."""

    store: MemoryStore = field(default_factory=MemoryStore)
    asked: list[JournalQuery] = field(default_factory=list)

    async def journal(self, query: JournalQuery) -> Sequence[Entry]:
        self.asked.append(query)
        return await self.store.journal(query)

    def passed_over(self) -> list[int]:
        """Return how many entries each read of the chronicle passed over."""
        spans = [each.before - each.after - 1 for each in self.asked if each.before and each.after is not None]
        self.asked.clear()
        return spans

    async def add(self, *entries: Entry) -> None:
        await self.store.write(Writes(entries=list(entries)))


def wait(number: int) -> Entry:
    facts: dict[str, Any] = {"reasons": [], "since": BEGUN.isoformat()}
    return Entry(at=BEGUN, event="wait.changed", group=GroupId(f"o1/g{number}"), node=NodeId("o1/n"), facts=facts)


@in_virtual_time
async def test_of_a_journal_full_of_waits_each_entry_is_passed_over_once_and_few_at_a_time() -> None:
    journal = Journal()
    await journal.store.open()
    chronicler = Chronicler(cast("Operations", journal))
    assert (await chronicler.current()).rollouts == {}

    await journal.add(granted(0, 1), *map(wait, range(MANY)), released(0, 1))
    [record] = (await chronicler.current()).rollouts.values()
    assert len(record.of(GROUP)) == 1
    assert journal.passed_over() == [500, 500, MANY + 2 - 1000]

    await journal.add(*map(wait, range(3)))
    await chronicler.current()
    assert journal.passed_over() == [3]
    await chronicler.current()
    assert journal.passed_over() == []


@in_virtual_time
async def test_a_store_that_an_older_copy_has_replaced_is_read_from_its_beginning() -> None:
    """The ids of the copy are lower: nothing that happens in it would be read until they are as high again."""
    journal = Journal()
    await journal.store.open()
    await journal.add(granted(0, 1), *map(wait, range(20)), released(0, 1))
    chronicler = Chronicler(cast("Operations", journal))
    assert list(next(iter((await chronicler.current()).rollouts.values())).of(GROUP))

    journal.store = MemoryStore()
    await journal.store.open()
    await journal.add(granted(0, 1))

    [record] = (await chronicler.current()).rollouts.values()
    assert (len(record.begun), dict(record.of(GROUP))) == (1, {})
