"""The generation: one that begins in doubt keeps its floor forever, and its doubt until somebody ends it."""

from __future__ import annotations

import pytest

from agbot.rules import lease as leases
from agbot.rules.lease import Lease
from agbot.rules.seen_time import Now
from agbot.store.contract import Entry, JournalQuery, Store, StoreUnavailableError
from tests.contract import values
from tests.contract.conftest import Place
from tests.contract.values import GROUP, NOW

FREE = Lease(group=GROUP)
SETTLED = Entry(at=NOW, event="store.settled", who="ada", facts={"why": "all at rest"})


async def test_a_new_store_is_in_no_doubt_and_begins_with_token_one(store: Store) -> None:
    generation = (await store.load()).generation

    assert (generation.token_floor, generation.doubt) == (0, "")
    assert await store.swap(FREE, values.granted(FREE)) == values.granted(FREE)


async def test_a_restart_is_no_new_generation(store: Store, place: Place) -> None:
    before = (await store.load()).generation
    await store.close()

    again = place.store()
    await again.open()
    assert (await again.load()).generation == before
    await again.close()


async def test_the_store_that_is_in_use_is_in_place(store: Store) -> None:
    await store.check()
    await store.close()

    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.check()
    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.settle(SETTLED)


async def test_another_generation_takes_no_token_up_to_its_floor_and_every_one_above_it(
    store: Store, place: Place
) -> None:
    await store.close()
    again = await place.changed()
    generation = (await again.load()).generation
    assert generation.doubt

    with pytest.raises(ValueError, match="may have been given before"):
        await again.swap(FREE, values.granted(FREE))
    held = leases.grant(FREE, values.claim(), Now.unblinded(NOW), values.TTL, token_floor=generation.token_floor)
    assert await again.swap(FREE, held) == held
    assert held.token == generation.token_floor + 1
    await again.close()


async def test_a_lease_from_before_keeps_its_token_and_can_be_released_under_it(store: Store, place: Place) -> None:
    held = values.granted(FREE)
    await store.swap(FREE, held)
    await store.close()

    again = await place.changed()
    assert await again.lease(GROUP) == held
    assert await again.swap(held, values.released(held)) == values.released(held)
    await again.close()


async def test_the_end_of_the_doubt_is_journalled_and_outlives_a_restart(store: Store, place: Place) -> None:
    await store.close()
    again = await place.changed()
    before = (await again.load()).generation

    await again.settle(SETTLED)
    await again.close()

    last = place.store()
    await last.open()
    after = (await last.load()).generation
    assert (after.id, after.token_floor, after.doubt) == (before.id, before.token_floor, "")
    [entry] = await last.journal(JournalQuery(limit=1))
    assert (entry.event, entry.who) == ("store.settled", "ada")
    await last.close()
