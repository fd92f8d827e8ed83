"""How a sink reads the journal: from where it has come, in order, once each unless something fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from agbot.events.delivery import Deliveries, Kind
from agbot.events.outbox import Outbox, Outlet
from agbot.store.contract import Entry
from agbot.store.memory import Failure, MemoryStore
from tests.acceptance.programs import until
from tests.contract.values import NOW, entry
from tests.integration.events.conftest import Journal, delivering


@dataclass
class Notebook:
    """A sink that writes down what it is told."""

    name: str = "notebook"
    kind: Kind = Kind.WEBHOOK
    told: list[str] = field(default_factory=list)
    may_take: asyncio.Event = field(default_factory=asyncio.Event)
    fails: int = 0

    def __post_init__(self) -> None:
        self.may_take.set()

    async def run(self, outlet: Outlet) -> None:
        while True:
            for each in await outlet.next(3):
                await self.may_take.wait()
                self.told.append(each.event)
                outlet.confirm(each)


async def test_a_new_sink_begins_at_the_end_of_the_journal_and_hears_everything_from_then_on(journal: Journal) -> None:
    await journal.tell(entry("a.a"))
    notebook = Notebook()

    async with delivering(journal, notebook):
        for number in range(10):
            await journal.tell(entry(f"b.{number}"))
        await until("all told", lambda: len(notebook.told) == 10)

    assert notebook.told == [f"b.{number}" for number in range(10)]


async def test_what_is_committed_while_nobody_delivers_is_told_after_the_next_start(journal: Journal) -> None:
    async with delivering(journal, Notebook()):
        pass
    await journal.tell(entry("a.a"), entry("b.b"))
    notebook = Notebook()

    async with delivering(journal, notebook):
        await until("both told", lambda: len(notebook.told) == 2)

    assert notebook.told == ["a.a", "b.b"]


async def test_what_a_sink_has_confirmed_is_not_told_again_after_a_restart(journal: Journal) -> None:
    first, second = Notebook(), Notebook()
    async with delivering(journal, first):
        await journal.tell(entry("a.a"))
        await until("told", lambda: first.told)
        await until("its cursor", lambda: has_cursor(journal, 1))
    async with delivering(journal, second):
        await journal.tell(entry("b.b"))
        await until("told", lambda: second.told)

    assert (first.told, second.told) == (["a.a"], ["b.b"])


async def has_cursor(journal: Journal, number: int) -> bool:
    return await journal.store.cursor("notebook") == number


async def test_a_sink_that_hangs_holds_up_no_other_and_its_lag_shows(journal: Journal) -> None:
    stuck, fluent = Notebook("stuck"), Notebook("fluent", kind=Kind.MQTT)
    stuck.may_take.clear()

    async with delivering(journal, stuck, fluent) as deliveries:
        await journal.tell(*(entry(f"a.{number}") for number in range(8)))
        await until("the other told", lambda: len(fluent.told) == 8)
        await until("the lag", lambda: deliveries.lags() == {Kind.MQTT: 0, Kind.WEBHOOK: 8})
        stuck.may_take.set()
        await until("both told", lambda: stuck.told == fluent.told)
        await until("no lag", lambda: deliveries.lags() == {Kind.MQTT: 0, Kind.WEBHOOK: 0})


async def test_what_grew_too_old_while_a_sink_was_away_is_gone_and_the_rest_is_told(journal: Journal) -> None:
    async with delivering(journal, Notebook()):
        pass
    await journal.tell(entry("old.old", minutes=0), entry("new.new", minutes=9))
    await journal.store.prune(NOW + timedelta(minutes=5))
    notebook = Notebook()

    async with delivering(journal, notebook):
        await until("the rest told", lambda: notebook.told)

    assert notebook.told == ["new.new"]


async def test_a_sink_of_which_everything_grew_too_old_waits_for_news(journal: Journal) -> None:
    notebook = Notebook()
    notebook.may_take.clear()
    async with delivering(journal, notebook) as deliveries:
        await journal.tell(*(entry(f"a.{number}") for number in range(5)))
        await until("the lag", lambda: deliveries.lags() == {Kind.WEBHOOK: 5})
        await journal.store.prune(NOW + timedelta(days=1))
        notebook.may_take.set()
        await until("nothing left to wait for", lambda: deliveries.lags() == {Kind.WEBHOOK: 0})
        await journal.tell(entry("b.b"))
        await until("the news", lambda: notebook.told[-1:] == ["b.b"])


@asynccontextmanager
async def on_memory(store: MemoryStore, notebook: Notebook) -> AsyncIterator[Journal]:
    await store.open()
    journal = Journal(store)
    async with delivering(journal, notebook):
        yield journal
    await store.close()


async def test_a_journal_that_cannot_be_read_is_told_once_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agbot.events.outbox._AFTER_A_FAILURE_SECONDS", 0.01)
    store, notebook = MemoryStore(), Notebook()
    async with on_memory(store, notebook) as journal:
        await journal.tell(entry("a.a"))
        await until("told", lambda: notebook.told)
        with capture_logs() as log:
            await journal.tell(entry("b.b"))
            store.fail_next(Failure.BEFORE_COMMIT, calls=3)
            await until("told", lambda: len(notebook.told) == 2)
            await until("over", lambda: any(line["event"] == "outbox.recovered" for line in log))

    assert notebook.told == ["a.a", "b.b"]
    assert [line["event"] for line in log] == ["outbox.failed", "outbox.recovered"]


async def test_a_cursor_that_could_not_be_written_is_covered_by_the_next_one() -> None:
    store, notebook = MemoryStore(), Notebook()
    outbox = Outbox(store, poll_seconds=0.01)
    await store.open()
    outlet = outbox.outlet(notebook.name)
    await outbox.begin()
    outlet.confirm(Entry(at=NOW, event="a.a", id=4))
    store.fail_next(Failure.BEFORE_COMMIT)

    assert await outlet.next(1) == ()
    assert await store.cursor(notebook.name) == 0
    assert await outlet.next(1) == ()
    assert await store.cursor(notebook.name) == 4
    await store.close()


class Faulty(Notebook):
    """A sink with a bug."""

    async def run(self, outlet: Outlet) -> None:
        if self.fails:
            self.fails -= 1
            raise ZeroDivisionError
        await super().run(outlet)


async def test_a_bug_in_a_sink_is_told_with_its_traceback_and_the_sink_begins_anew(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agbot.events.delivery._AFTER_A_BUG_SECONDS", 0.01)
    faulty = Faulty(fails=2)
    with capture_logs() as log:
        async with delivering(journal, faulty):
            await journal.tell(entry("a.a"))
            await until("told", lambda: faulty.told)

    assert [(line["event"], line["log_level"]) for line in log] == [("delivery.failed", "error")] * 2


async def test_without_sinks_nothing_is_written_to_the_store() -> None:
    store = MemoryStore()  # not open: any call would raise
    deliveries = Deliveries(store, ())
    await deliveries.begin()
    running = asyncio.create_task(deliveries.run())
    deliveries.wake()
    await asyncio.sleep(0)
    running.cancel()
    outcomes: Sequence[object] = await asyncio.gather(running, return_exceptions=True)

    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert deliveries.lags() == {}
