"""Cursors: how far each sink has confirmed the journal."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agbot.store.contract import JournalQuery, Store, StoreUnavailableError, Writes
from tests.contract.conftest import Place
from tests.contract.values import NOW, entry


async def test_a_sink_that_has_never_confirmed_anything_has_no_cursor(store: Store) -> None:
    await store.save_cursor("mqtt", 7)

    assert await store.cursor("webhook:a") is None


async def test_each_sink_has_a_cursor_of_its_own(store: Store) -> None:
    await store.save_cursor("mqtt", 7)
    await store.save_cursor("webhook:a", 0)
    await store.save_cursor("mqtt", 9)

    assert (await store.cursor("mqtt"), await store.cursor("webhook:a")) == (9, 0)


async def test_a_cursor_never_goes_back(store: Store) -> None:
    await store.save_cursor("mqtt", 9)
    await store.save_cursor("mqtt", 3)

    assert await store.cursor("mqtt") == 9


async def test_a_restarted_daemon_finds_the_cursor(store: Store, place: Place) -> None:
    await store.save_cursor("mqtt", 9)
    await store.close()

    restarted = place.store()
    await restarted.open()
    try:
        assert await restarted.cursor("mqtt") == 9
    finally:
        await restarted.close()


async def test_a_prune_keeps_the_cursor_so_that_what_comes_after_is_still_read_on(store: Store) -> None:
    await store.write(Writes(entries=[entry("a.a"), entry("b.b")]))
    (last, _) = await store.journal(JournalQuery())
    await store.save_cursor("mqtt", last.id)
    await store.prune(NOW + timedelta(days=1))
    await store.write(Writes(entries=[entry("c.c")]))

    cursor = await store.cursor("mqtt")

    assert cursor == last.id
    assert [each.event for each in await store.journal(JournalQuery(after=cursor))] == ["c.c"]


async def test_a_store_that_is_not_open_answers_with_an_error_and_not_with_no_cursor(place: Place) -> None:
    store = place.store()

    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.cursor("mqtt")
    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.save_cursor("mqtt", 1)
    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.last_entry_id()
