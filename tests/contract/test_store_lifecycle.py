"""Opening, closing, the lock, cancelled callers, and what a restarted daemon finds."""

from __future__ import annotations

import asyncio

import pytest

from agbot.rules.lease import Lease
from agbot.rules.records import Turn
from agbot.store.contract import JournalQuery, Lost, Store, StoreLockedError, StoreUnavailableError, Writes
from tests.contract import values
from tests.contract.conftest import Place
from tests.contract.values import GROUP, NOW

FREE = Lease(group=GROUP)


async def test_a_restarted_daemon_finds_everything(store: Store, place: Place) -> None:
    held = values.granted(FREE)
    await store.swap(FREE, held, Writes(put=[values.waiter()], entries=[values.entry()]))
    before, journal = await store.load(), await store.journal(JournalQuery())
    await store.close()

    restarted = place.store()
    await restarted.open()
    try:
        assert await restarted.load() == before
        assert await restarted.journal(JournalQuery()) == journal
        assert await restarted.swap(FREE, held) == Lost(current=held)
    finally:
        await restarted.close()


async def test_a_second_daemon_is_refused_until_the_first_has_gone(store: Store, place: Place) -> None:
    second = place.store()

    with pytest.raises(StoreLockedError, match="in use"):
        await second.open()

    await store.write(Writes(put=[values.turn()]))
    await store.close()
    await second.open()
    assert (await second.load()).of(Turn) == [values.turn()]
    await second.close()


async def test_closing_twice_is_fine(store: Store) -> None:
    await store.close()
    await store.close()

    with pytest.raises(StoreUnavailableError):
        await store.load()


async def test_what_was_closed_before_it_was_ever_opened_can_be_opened(place: Place) -> None:
    store = place.store()
    await store.close()

    await store.open()

    assert (await store.load()).records == []
    await store.close()


async def test_a_closed_store_opens_again(store: Store) -> None:
    await store.write(Writes(put=[values.turn()]))
    await store.close()
    await store.open()

    assert (await store.load()).of(Turn) == [values.turn()]


async def test_a_store_that_is_not_open_answers_with_an_error_and_not_with_a_free_lease(place: Place) -> None:
    store = place.store()

    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.lease(GROUP)
    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.swap(FREE, values.granted(FREE))
    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.write(Writes())
    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.journal(JournalQuery())
    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.prune(NOW)
    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.trim(0)


async def test_a_cancelled_caller_leaves_all_or_nothing_and_no_open_transaction(store: Store) -> None:
    current = await store.lease(GROUP)
    for turns in range(12):
        wanted = values.granted(current)
        call = asyncio.create_task(store.swap(current, wanted, Writes(entries=[values.entry(f"try.{turns}")])))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

        # whether it happened is unknown to the caller, so it reads again
        found = await store.lease(GROUP)
        tried = [entry for entry in await store.journal(JournalQuery()) if entry.event == f"try.{turns}"]
        assert found == (wanted if tried else current)
        if tried:
            current = values.released(wanted)
            assert await store.swap(wanted, current) == current

    assert await store.swap(current, values.granted(current)) == values.granted(current)
