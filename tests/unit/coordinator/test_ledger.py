"""What the ledger makes of a store that it reads later than the first question came."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from datetime import timedelta

import pytest

from agbot.coordinator.memory.ledger import Ledger
from agbot.rules.facts import Ask
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, Kind, Lease, grant, renew, suspect
from agbot.rules.reasons import Cause
from agbot.rules.records import Hold, Turn, Waiter
from agbot.rules.seen_time import Now, SeenTime
from agbot.store.contract import Lost, Stored, StoreUnavailableError, Writes
from tests.support.clocks import NOON
from tests.support.faulty_store import Failure, FaultyStore

GROUP = GroupId("o1/g1")
ASK = Ask(group=GROUP, claim=Claim(holder=NodeId("o1/anna"), kind=Kind.AGENT, subject=PolicyId("o1/up1")))
LONG_AGO = Waiter(ask=ASK, since=SeenTime(NOON - timedelta(hours=1)), asked_at=SeenTime(NOON - timedelta(minutes=1)))
JUST_NOW = Waiter(ask=ASK, since=SeenTime(NOON), asked_at=SeenTime(NOON))


async def test_who_asks_before_the_store_is_read_keeps_its_place() -> None:
    store = FaultyStore()
    await store.open()
    await store.write(Writes(put=[LONG_AGO]))
    ledger = Ledger(store)
    ledger.note(JUST_NOW)
    await ledger.load()
    kept = ledger.waiter(ASK)
    assert kept is not None
    assert (kept.since, kept.asked_at) == (LONG_AGO.since, JUST_NOW.asked_at)


async def test_it_says_how_the_store_has_failed_or_that_it_was_not_read_yet() -> None:
    store = FaultyStore()
    await store.open()
    ledger = Ledger(store)
    assert ledger.distrust == "the lease store has not been read yet"
    await ledger.load()
    store.fail_next(Failure.BEFORE_COMMIT)
    with pytest.raises(StoreUnavailableError):
        await ledger.load()
    failed = "could not write to the memory store: a test made it fail"
    assert ledger.distrust == f"the lease store has not been read since it failed: {failed}"


async def test_a_failed_clearing_out_is_a_failure_of_the_store_like_any_other() -> None:
    store = FaultyStore()
    await store.open()
    ledger = Ledger(store)
    await ledger.load()
    store.fail_next(Failure.BEFORE_COMMIT)
    with pytest.raises(StoreUnavailableError):
        await ledger.prune(timedelta(days=30), Now.unblinded(NOON))
    assert (ledger.is_trusted, bool(ledger.failure)) == (False, True), "it is read anew, and that ends the failure"


async def test_a_turn_of_this_hour_stays_however_long_the_coordinator_was_blind_before() -> None:
    store, now = FaultyStore(), Now(wall=NOON, seen=SeenTime(NOON - timedelta(days=31)))
    await store.open()
    ledger = Ledger(store)
    await ledger.load()
    turn = Turn(group=GROUP, node=NodeId("o1/anna"), until=now.seen - timedelta(hours=1), cause=Cause.SUCCEEDED)
    await ledger.write(Writes(put=[turn]))

    await ledger.prune(timedelta(days=30), now)

    assert ledger.turns[GROUP] == {turn.node: turn}
    assert (await store.load()).of(Turn) == [turn]


async def test_a_lock_lasts_as_long_as_its_swap() -> None:
    store = FaultyStore()
    await store.open()
    ledger = Ledger(store)
    await ledger.load()
    free, claims = Lease(group=GROUP), [ASK.claim, replace(ASK.claim, holder=NodeId("o1/ben"))]
    held = [grant(free, claim, Now.unblinded(NOON), timedelta(hours=1)) for claim in claims]
    outcomes = await asyncio.gather(*(ledger.swap(free, each) for each in held))
    assert [isinstance(each, Lost) for each in outcomes] == [False, True]
    assert not ledger._locks  # noqa: SLF001 - what is kept has no other sign


async def test_a_renewal_leaves_a_lease_alone_that_has_changed_meanwhile() -> None:
    store, hour = FaultyStore(), timedelta(hours=1)
    await store.open()
    ledger = Ledger(store)
    await ledger.load()
    held = grant(Lease(group=GROUP), ASK.claim, Now.unblinded(NOON), hour)
    renewed = renew(held, SeenTime(NOON + hour), hour)
    await ledger.swap(Lease(group=GROUP), held)
    swapping = asyncio.create_task(ledger.swap(held, suspect(held)))
    await asyncio.gather(swapping, ledger.renew([(held, renewed)]))

    assert ledger.lease(GROUP) == suspect(held)
    assert await store.lease(GROUP) == suspect(held)


async def test_a_swap_that_begins_while_dates_are_moved_waits_for_the_new_dates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, hour = FaultyStore(), timedelta(hours=1)
    await store.open()
    ledger = Ledger(store)
    await ledger.load()
    held = grant(Lease(group=GROUP), ASK.claim, Now.unblinded(NOON), hour)
    await ledger.swap(Lease(group=GROUP), held)
    writing, go_on, really = asyncio.Event(), asyncio.Event(), store.write

    async def write(writes: Writes) -> None:
        writing.set()
        await go_on.wait()
        await really(writes)

    monkeypatch.setattr(store, "write", write)
    moving = asyncio.create_task(ledger.move(lambda: (hour, Writes())))
    await writing.wait()
    releasing = asyncio.create_task(ledger.swap(held, suspect(held)))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(moving, releasing)

    assert ledger.lease(GROUP) == suspect(held.moved(hour))


class _Crossing(FaultyStore):
    """Answers a read with what it had at the beginning, although a write has gone through meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.has_read, self.goes_on = asyncio.Event(), asyncio.Event()
        self.goes_on.set()

    async def load(self) -> Stored:
        stored = await super().load()
        self.has_read.set()
        await self.goes_on.wait()
        return stored


@pytest.mark.parametrize("failure", [None, Failure.AFTER_COMMIT])
async def test_what_is_written_while_the_store_is_read_stays_in_memory(failure: Failure | None) -> None:
    store = _Crossing()
    await store.open()
    ledger = Ledger(store)
    await ledger.load()
    store.has_read.clear()
    store.goes_on.clear()
    loading = asyncio.create_task(ledger.load())
    await store.has_read.wait()
    if failure is not None:
        store.fail_next(failure)
    hold = Hold(scope="o1", since=NOON, by="eva", why="the trade fair")
    await asyncio.gather(ledger.write(Writes(put=[hold])), return_exceptions=True)

    store.goes_on.set()
    await loading

    assert ledger.holds == {"o1": hold}


async def test_a_write_that_is_cut_off_before_its_first_step_leaves_nothing_behind(
    recwarn: pytest.WarningsRecorder,
) -> None:
    store = FaultyStore()
    await store.open()
    ledger = Ledger(store)
    await ledger.load()
    hold = Hold(scope="*", since=NOON, by="ada", why="flood", until=None)
    here = asyncio.all_tasks()
    order = asyncio.create_task(ledger.write(Writes(put=[hold])))
    asyncio.get_running_loop().call_soon(lambda: [task.cancel() for task in asyncio.all_tasks() - here])
    with pytest.raises(asyncio.CancelledError):
        await order
    del order
    gc.collect()

    assert ledger.holds == {}
    assert [str(each.message) for each in recwarn] == []
