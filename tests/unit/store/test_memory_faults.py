"""The faults that the memory store plays on request."""

from __future__ import annotations

import asyncio

import pytest

from agbot.rules.lease import Lease
from agbot.rules.records import Turn
from agbot.store.contract import JournalQuery, Lost, StoreUnavailableError, Writes
from tests.contract import values
from tests.contract.values import GROUP
from tests.support.faulty_store import Failure, FaultyStore

FREE = Lease(group=GROUP)
HELD = values.granted(FREE)


@pytest.fixture
async def store() -> FaultyStore:
    opened = FaultyStore()
    await opened.open()
    return opened


async def test_a_failure_before_the_commit_writes_nothing(store: FaultyStore) -> None:
    store.fail_next(Failure.BEFORE_COMMIT)

    with pytest.raises(StoreUnavailableError):
        await store.swap(FREE, HELD, Writes(entries=[values.entry()]))

    assert await store.lease(GROUP) == FREE
    assert await store.journal(JournalQuery()) == []


async def test_a_failure_after_the_commit_has_written_and_reading_again_shows_it(store: FaultyStore) -> None:
    store.fail_next(Failure.AFTER_COMMIT)

    with pytest.raises(StoreUnavailableError):
        await store.swap(FREE, HELD, Writes(entries=[values.entry()]))

    assert await store.lease(GROUP) == HELD
    assert await store.swap(FREE, HELD) == Lost(current=HELD)
    assert len(await store.journal(JournalQuery())) == 1


async def test_as_many_calls_fail_as_were_asked_for(store: FaultyStore) -> None:
    store.fail_next(Failure.BEFORE_COMMIT, calls=2)
    store.fail_next(Failure.AFTER_COMMIT)

    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            await store.write(Writes(put=[values.turn()]))

    assert (await store.load()).of(Turn) == [values.turn()]


async def test_a_healed_store_fails_no_more(store: FaultyStore) -> None:
    store.fail_next(Failure.BEFORE_COMMIT, calls=1000)
    store.heal()

    assert await store.swap(FREE, HELD) == HELD


async def test_after_a_crash_the_next_daemon_opens_it_and_finds_what_was_committed(store: FaultyStore) -> None:
    await store.swap(FREE, HELD)
    under_way = asyncio.create_task(store.swap(HELD, values.released(HELD)))
    await asyncio.sleep(0)

    store.crash()
    await asyncio.wait([under_way])
    await store.open()

    assert isinstance(under_way.exception(), StoreUnavailableError)
    assert await store.lease(GROUP) == HELD


async def test_other_tasks_run_between_a_call_and_its_answer(store: FaultyStore) -> None:
    first = asyncio.create_task(store.swap(FREE, HELD))
    second = asyncio.create_task(store.swap(FREE, values.granted(FREE, values.BERT)))

    assert list(await asyncio.gather(first, second)) == [HELD, Lost(current=HELD)]
