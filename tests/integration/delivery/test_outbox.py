"""How a sink reads the journal: from where it has come, in order, once each unless something fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agbot.delivery.outbox import Destination, Outbox, Outlet
from agbot.delivery.payload import event_message
from agbot.delivery.receiver import Kind
from agbot.delivery.sinks import Deliveries
from agbot.events.outage import Outage
from agbot.rules.lease import Lease
from agbot.store.contract import ENTRY_BYTES, Entry, JournalQuery, Lost, Store, StoreUnavailableError, Writes
from agbot.store.sqlite import SqliteStore
from tests.contract import values
from tests.contract.values import ANNA, GROUP, NOW, entry
from tests.integration.delivery.conftest import Journal, delivering
from tests.support.clocks import NOON, HandClock
from tests.support.faulty_store import Failure, FaultyStore
from tests.support.patience import until


@dataclass
class Notebook:
    """A sink that writes down what it is reported."""

    name: str = "notebook"
    kind: Kind = Kind.WEBHOOK
    receiver: str = "notebook.example"
    outage: Outage = field(default_factory=Outage)
    emitted: list[str] = field(default_factory=list)
    facts: list[Mapping[str, object]] = field(default_factory=list)
    may_take: asyncio.Event = field(default_factory=asyncio.Event)
    fails: int = 0

    def __post_init__(self) -> None:
        self.may_take.set()

    async def run(self, outlet: Outlet) -> None:
        while True:
            for each in await outlet.next(3):
                await self.may_take.wait()
                self.emitted.append(each.event)
                self.facts.append(each.facts)
                outlet.confirm(each)


async def test_a_new_sink_begins_at_the_end_of_the_journal_and_hears_everything_from_then_on(journal: Journal) -> None:
    await journal.report(entry("a.a"))
    notebook = Notebook()

    async with delivering(journal, notebook):
        for number in range(10):
            await journal.report(entry(f"b.{number}"))
        await until("all told", lambda: len(notebook.emitted) == 10)

    assert notebook.emitted == [f"b.{number}" for number in range(10)]


async def test_what_is_committed_while_no_one_delivers_is_reported_after_the_next_start(journal: Journal) -> None:
    async with delivering(journal, Notebook()):
        pass
    await journal.report(entry("a.a"), entry("b.b"))
    notebook = Notebook()

    async with delivering(journal, notebook):
        await until("both told", lambda: len(notebook.emitted) == 2)

    assert notebook.emitted == ["a.a", "b.b"]


async def test_what_a_sink_has_confirmed_is_not_reported_again_after_a_restart(journal: Journal) -> None:
    first, second = Notebook(), Notebook()
    async with delivering(journal, first):
        await journal.report(entry("a.a"))
        await until("told", lambda: first.emitted)
        await until("its cursor", lambda: has_cursor(journal, 1))
    async with delivering(journal, second):
        await journal.report(entry("b.b"))
        await until("told", lambda: second.emitted)

    assert (first.emitted, second.emitted) == (["a.a"], ["b.b"])


async def test_what_a_sink_had_taken_when_the_daemon_was_killed_is_reported_again_under_the_same_id(
    either: Journal,
) -> None:
    await away(either, Notebook())
    await either.report(entry("a.a"), entry("b.b"))
    killed, restarted = Notebook(), Notebook()
    for notebook in (killed, restarted):
        outbox = Outbox(either.store, HandClock(), either.hear)
        outlet = outbox.outlet(notebook.name, ABOUT)
        await outbox.begin()
        # and dies before the next call, in which the cursor is written
        for each in await outlet.next(3):
            notebook.emitted.append(event_message(each).id)
            outlet.confirm(each)

    assert len(killed.emitted) == 2
    assert restarted.emitted == killed.emitted


async def has_cursor(journal: Journal, number: int) -> bool:
    return await journal.store.cursor("notebook") == number


async def test_a_sink_that_hangs_holds_up_no_other_and_its_lag_shows(journal: Journal) -> None:
    stuck, fluent = Notebook("stuck"), Notebook("fluent", kind=Kind.MQTT)
    stuck.may_take.clear()

    async with delivering(journal, stuck, fluent) as deliveries:
        await journal.report(*(entry(f"a.{number}") for number in range(8)))
        await until("the other told", lambda: len(fluent.emitted) == 8)
        await until("the lag", lambda: deliveries.lags() == {Kind.MQTT: 0, Kind.WEBHOOK: 8})
        stuck.may_take.set()
        await until("both told", lambda: stuck.emitted == fluent.emitted)
        await until("no lag", lambda: deliveries.lags() == {Kind.MQTT: 0, Kind.WEBHOOK: 0})


def lost(first: int, last: int, sink: Kind = Kind.WEBHOOK) -> dict[str, object]:
    return {"sink": sink.value, "receiver": "notebook.example", "first": first, "last": last}


LOST = "delivery.lost"
ABOUT = Destination(sink="webhook", receiver="hall")


@pytest.fixture(params=["memory", "sqlite"])
async def either(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    """Give a journal of each kind of store."""
    store: Store = FaultyStore() if request.param == "memory" else SqliteStore(tmp_path / "agbot.db")
    await store.open()
    yield Journal(store)
    await store.close()


async def losses(journal: Journal) -> list[Mapping[str, object]]:
    """Return what the journal says was lost, which must be what the daemon has received."""
    written = await journal.store.journal(JournalQuery(after=0, events=(LOST,)))
    assert [(each.at, each.facts) for each in written] == [(each.at, each.facts) for each in journal.lost]
    return [each.facts for each in written]


async def away(journal: Journal, *notebooks: Notebook) -> None:
    """Let sinks be known and then be away."""
    async with delivering(journal, *notebooks):
        pass


async def test_what_left_the_journal_while_a_sink_was_away_is_reported_as_lost_and_the_rest_is_reported(
    either: Journal,
) -> None:
    await away(either, Notebook())
    await either.report(*(entry("old.old", minutes=0) for _ in range(3)), entry("new.new", minutes=9), entry("b.b", 10))
    await either.store.prune(NOW + timedelta(minutes=5))
    notebook = Notebook()

    async with delivering(either, notebook):
        await until("the rest told", lambda: notebook.emitted == ["new.new", "b.b", LOST])

    assert await losses(either) == [lost(1, 3)]
    assert notebook.facts[-1] == lost(1, 3)
    assert either.lost[0].at == NOON


async def test_of_a_sink_that_lost_everything_the_first_news_is_what_it_lost(either: Journal) -> None:
    notebook = Notebook()
    notebook.may_take.clear()
    async with delivering(either, notebook) as deliveries:
        await either.report(*(entry(f"a.{number}") for number in range(5)))
        await until("the lag", lambda: deliveries.lags() == {Kind.WEBHOOK: 5})
        await either.store.prune(NOW + timedelta(days=1))
        notebook.may_take.set()
        await until("nothing left to wait for", lambda: deliveries.lags() == {Kind.WEBHOOK: 0})
        await either.report(entry("b.b"))
        await until("the news", lambda: notebook.emitted[-1:] == ["b.b"])

    in_hand = len(notebook.emitted) - 2
    assert notebook.emitted == [*(f"a.{number}" for number in range(in_hand)), LOST, "b.b"]
    assert await losses(either) == [lost(in_hand + 1, 5)]


async def test_what_left_the_journal_by_its_size_is_reported_as_lost_as_well(either: Journal) -> None:
    await away(either, Notebook())
    await either.report(*(entry(f"a.{number}") for number in range(4)))
    await either.store.trim(2 * (ENTRY_BYTES + len("{}")))
    notebook = Notebook()

    async with delivering(either, notebook):
        await until("the rest told", lambda: notebook.emitted == ["a.2", "a.3", LOST])

    assert await losses(either) == [lost(1, 2)]


async def test_a_loss_in_the_middle_is_reported_as_what_it_is(either: Journal) -> None:
    """A clock that was put back lets an entry be older than the one before it."""
    await away(either, Notebook())
    minutes = [9, 0, 0, 9, 0, 9]
    await either.report(*(entry(f"a.{number}", minutes=minute) for number, minute in enumerate(minutes, start=1)))
    await either.store.prune(NOW + timedelta(minutes=5))
    notebook = Notebook()

    async with delivering(either, notebook):
        await until("the rest told", lambda: notebook.emitted == ["a.1", "a.4", "a.6", LOST, LOST])

    assert await losses(either) == [lost(2, 3), lost(5, 5)]


async def test_each_sink_is_reported_to_have_lost_what_it_has_lost_itself(either: Journal) -> None:
    slow, fluent = Notebook("slow"), Notebook("fluent", kind=Kind.MQTT)
    await away(either, slow, fluent)
    async with delivering(either, fluent):
        await either.report(entry("a.a"), entry("b.b"))
        await until("both told", lambda: len(fluent.emitted) == 2)
    await either.report(entry("c.c"))
    await either.store.prune(NOW + timedelta(days=1))

    async with delivering(either, slow, fluent):
        await until("both told", lambda: len(slow.emitted) == len(fluent.emitted) - 2 == 2)

    found = await losses(either)
    assert sorted(found, key=str) == sorted([lost(1, 3), lost(3, 3, Kind.MQTT)], key=str)
    assert slow.facts == fluent.facts[2:] == found


@pytest.mark.parametrize("restarts", [1, 2])
async def test_a_loss_is_reported_once_however_often_the_daemon_starts(either: Journal, restarts: int) -> None:
    await away(either, Notebook())
    await either.report(entry("a.a"), entry("b.b"), entry("new.new", minutes=9))
    await either.store.prune(NOW + timedelta(minutes=5))
    stuck = Notebook()
    stuck.may_take.clear()  # it takes nothing behind the gap either
    for _ in range(restarts):
        async with delivering(either, stuck):
            await until("the loss", lambda: either.lost)
            await until("the place behind it", lambda: has_cursor(either, 2))
    notebook = Notebook()

    async with delivering(either, notebook):
        await until("the rest told", lambda: notebook.emitted == ["new.new", LOST])

    assert await losses(either) == [lost(1, 2)]


@pytest.mark.parametrize("is_pruned", [False, True], ids=["full", "empty"])
async def test_a_new_sink_has_lost_nothing_whatever_the_journal_has_seen(either: Journal, is_pruned: bool) -> None:
    await either.report(entry("a.a"), entry("b.b"))
    if is_pruned:
        await either.store.prune(NOW + timedelta(days=1))
    notebook = Notebook()

    async with delivering(either, notebook):
        await either.report(entry("c.c"))
        await until("the news", lambda: notebook.emitted == ["c.c"])

    assert await losses(either) == []


async def test_nothing_is_lost_that_a_sink_had_taken_before_it_left_the_journal(either: Journal) -> None:
    notebook = Notebook()
    async with delivering(either, notebook):
        await either.report(entry("a.a"), entry("b.b"))
        await until("both told", lambda: len(notebook.emitted) == 2)
    await either.store.prune(NOW + timedelta(days=1))
    later = Notebook()

    async with delivering(either, later):
        await until("its place", lambda: has_cursor(either, 2))
        await either.report(entry("c.c"))
        await until("the news", lambda: later.emitted == ["c.c"])

    assert await losses(either) == []


async def test_what_was_not_committed_is_reported_to_no_one_and_is_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agbot.delivery.outbox._AFTER_A_FAILURE_SECONDS", 0.01)
    store, notebook = FaultyStore(), Notebook()
    async with on_memory(store, notebook) as journal:
        await journal.upgrade(GROUP, ANNA)
        await until("told", lambda: len(notebook.emitted) == 2)
        store.fail_next(Failure.BEFORE_COMMIT)
        with pytest.raises(StoreUnavailableError):
            await journal.report(entry("never.committed"))
        emitted = Writes(entries=[entry("of.a_loser")])
        assert isinstance(
            await store.swap(values.granted(Lease(group=GROUP)), Lease(group=GROUP, token=9), emitted), Lost
        )
        store.fail_next(Failure.AFTER_COMMIT)
        with pytest.raises(StoreUnavailableError):
            await journal.report(entry("was.committed"))
        journal.wake()
        await until("told what was committed", lambda: len(notebook.emitted) == 3)
        assert await losses(journal) == []

    assert notebook.emitted == ["lease.granted", "lease.released", "was.committed"]


async def test_a_loss_that_cannot_be_written_is_reported_when_it_can_before_anything_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agbot.delivery.outbox._AFTER_A_FAILURE_SECONDS", 0.01)
    store = Scripted()
    await store.open()
    journal = Journal(store)
    await away(journal, Notebook())
    await journal.report(entry("a.a"), entry("new.new", minutes=9))
    await store.prune(NOW + timedelta(minutes=5))
    store.is_full = True
    notebook = Notebook()

    async with delivering(journal, notebook):
        await until("attempts", lambda: store.refused >= 3)
        assert (notebook.emitted, journal.lost) == ([], [])
        store.is_full = False
        await until("the rest", lambda: notebook.emitted == ["new.new", LOST])

    assert await losses(journal) == [lost(1, 1)]
    await store.close()


class Scripted(FaultyStore):
    """A store that can be read and takes no entries while it is full."""

    is_full = False
    refused = 0

    async def write(self, writes: Writes) -> None:
        if self.is_full:
            self.refused += 1
            raise StoreUnavailableError
        await super().write(writes)


@asynccontextmanager
async def on_memory(store: FaultyStore, notebook: Notebook) -> AsyncIterator[Journal]:
    await store.open()
    journal = Journal(store)
    async with delivering(journal, notebook):
        yield journal
    await store.close()


async def test_a_journal_that_cannot_be_read_is_reported_once_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agbot.delivery.outbox._AFTER_A_FAILURE_SECONDS", 0.01)
    store, notebook = FaultyStore(), Notebook()
    async with on_memory(store, notebook) as journal:
        await journal.report(entry("a.a"))
        await until("told", lambda: notebook.emitted)
        with capture_logs() as log:
            await journal.report(entry("b.b"))
            store.fail_next(Failure.BEFORE_COMMIT, calls=3)
            await until("told", lambda: len(notebook.emitted) == 2)
            await until("over", lambda: any(line["event"] == "outbox.recovered" for line in log))

    assert notebook.emitted == ["a.a", "b.b"]
    assert [line["event"] for line in log] == ["outbox.failed", "outbox.recovered"]


async def test_a_cursor_that_could_not_be_written_is_covered_by_the_next_one() -> None:
    store, notebook = FaultyStore(), Notebook()
    outbox = Outbox(store, HandClock(), Journal(store).hear, poll_seconds=0.01)
    await store.open()
    outlet = outbox.outlet(notebook.name, ABOUT)
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


async def test_a_bug_in_a_sink_is_reported_with_its_traceback_and_the_sink_begins_again(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agbot.delivery.sinks._AFTER_A_BUG_SECONDS", 0.01)
    faulty = Faulty(fails=2)
    with capture_logs() as log:
        async with delivering(journal, faulty):
            await journal.report(entry("a.a"))
            await until("told", lambda: faulty.emitted)

    assert [(line["event"], line["log_level"]) for line in log] == [("delivery.failed", "error")] * 2


async def test_without_sinks_nothing_is_written_to_the_store() -> None:
    store = FaultyStore()  # not open: any call would raise
    deliveries = Deliveries(Outbox(store, HandClock(), Journal(store).hear), ())
    await deliveries.begin()
    running = asyncio.create_task(deliveries.run())
    deliveries.wake()
    await asyncio.sleep(0)
    running.cancel()
    outcomes: Sequence[object] = await asyncio.gather(running, return_exceptions=True)

    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert deliveries.lags() == {}
