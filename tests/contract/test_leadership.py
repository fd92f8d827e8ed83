"""A store that several coordinators share lets one of them write, and refuses all that led before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from agbot.rules.leadership import Candidate
from agbot.rules.lease import Lease
from agbot.store.contract import Entry, JournalQuery, NotLeadingError, Store, Writes
from agbot.store.leadership import SharedStore
from tests.contract import shared, values
from tests.contract.shared import SharedPlace
from tests.contract.values import ANNA, BERT, GROUP, NOW

ONE = Candidate(name="one", run="r1", gateway_url="http://one:8083", console_url="http://one:8084", version="1")
TWO = Candidate(name="two", run="r2", gateway_url="http://two:8083")
TTL = 8.0
FREE = Lease(group=GROUP)


@pytest.fixture(params=sorted(shared.PLACES))
def place(request: pytest.FixtureRequest) -> SharedPlace:
    return shared.PLACES[request.param](request)


@pytest.fixture
async def first(place: SharedPlace) -> AsyncIterator[SharedStore]:
    store = place.store()
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def second(place: SharedPlace, first: SharedStore) -> AsyncIterator[SharedStore]:
    store = place.store()
    await store.open()
    yield store
    await store.close()


async def test_no_one_leads_a_new_store(first: SharedStore) -> None:
    assert await first.current() is None
    assert await first.announced() == []


async def test_the_first_to_ask_leads_and_the_others_read_who_it_is_and_where(
    first: SharedStore, second: SharedStore
) -> None:
    taken = await first.take(ONE, TTL)
    seen = await second.take(TWO, TTL)
    assert (taken.name, taken.run, taken.epoch) == ("one", "r1", 1)
    assert (seen.name, seen.run, seen.epoch, seen.since) == ("one", "r1", 1, taken.since)
    assert (seen.gateway_url, seen.console_url) == (ONE.gateway_url, ONE.console_url)
    assert 0 < seen.left_seconds <= TTL


async def test_a_renewed_leadership_is_not_taken_and_an_expired_one_is_with_a_higher_epoch(
    place: SharedPlace, first: SharedStore, second: SharedStore
) -> None:
    await first.take(ONE, TTL)
    await place.let_pass(TTL - 1)
    assert await first.renew(1, TTL)
    await place.let_pass(TTL - 1)
    assert (await second.take(TWO, TTL)).name == "one"
    await place.let_pass(2)
    assert (await second.take(TWO, TTL)).epoch == 2
    assert not await first.renew(1, TTL)
    current = await first.current()
    assert current is not None
    assert current.name == "two"


async def test_an_expired_leadership_that_no_one_has_taken_is_renewed(place: SharedPlace, first: SharedStore) -> None:
    await first.take(ONE, TTL)
    await place.let_pass(10 * TTL)
    assert await first.renew(1, TTL)
    current = await first.current()
    assert current is not None
    assert current.is_valid


async def test_the_same_run_takes_it_again_after_a_lost_answer(first: SharedStore) -> None:
    await first.take(ONE, TTL)
    assert (await first.take(ONE, TTL)).epoch == 2


async def test_a_leadership_that_was_given_up_is_set_apart_from_one_that_has_expired(
    place: SharedPlace, first: SharedStore
) -> None:
    async def is_given_up() -> bool:
        current = await first.current()
        assert current is not None
        return current.is_given_up

    await first.take(ONE, TTL)
    assert not await is_given_up()
    await place.let_pass(TTL + 1)
    assert not await is_given_up(), "it has expired"
    await first.give_up(1)
    assert await is_given_up()
    await place.let_pass(TTL)
    assert await is_given_up()
    assert await first.renew(1, TTL)
    assert not await is_given_up()


async def test_a_leadership_that_is_given_up_is_taken_at_once(first: SharedStore, second: SharedStore) -> None:
    await first.take(ONE, TTL)
    assert await first.give_up(1)
    assert not await first.give_up(99)
    assert (await second.take(TWO, TTL)).name == "two"
    assert not await first.give_up(1)
    assert (await second.take(TWO, TTL)).name == "two"


async def test_a_leadership_that_is_handed_over_waits_for_its_heir_but_not_for_long(
    place: SharedPlace, first: SharedStore, second: SharedStore
) -> None:
    three = Candidate(name="three", run="r3")
    await first.take(ONE, TTL)
    await first.give_up(1, reserved_for="two", reserved_seconds=5)
    left = await second.take(three, TTL)
    assert (left.name, left.is_valid, left.reserved_for) == ("one", False, "two")
    assert left.is_given_up
    await place.let_pass(6)
    assert (await second.take(three, TTL)).name == "three"


async def test_the_heir_takes_what_was_handed_over(first: SharedStore, second: SharedStore) -> None:
    await first.take(ONE, TTL)
    await first.give_up(1, reserved_for="two", reserved_seconds=5)
    taken = await second.take(TWO, TTL)
    assert (taken.name, taken.epoch, taken.reserved_for) == ("two", 2, "")


async def test_coordinators_are_listed_with_the_time_since_they_were_last_seen(
    place: SharedPlace, first: SharedStore, second: SharedStore
) -> None:
    await second.announce(TWO)
    await place.let_pass(4)
    await first.announce(ONE)
    listed = await second.announced()
    assert [each.candidate for each in listed] == [ONE, TWO]
    assert [round(each.silent_seconds) for each in listed] == [0, 4]


async def test_a_coordinator_that_was_silent_for_days_is_forgotten(place: SharedPlace, first: SharedStore) -> None:
    await first.announce(TWO)
    await place.let_pass(2 * 86_400)
    await first.announce(ONE)
    assert [each.candidate.name for each in await first.announced()] == ["one"]


WRITES: dict[str, Callable[[Store], Awaitable[object]]] = {
    "grant": lambda store: store.swap(FREE, values.granted(FREE)),
    "records": lambda store: store.write(Writes(put=[values.brake()], entries=[values.entry()])),
    "cursor": lambda store: store.save_cursor("mqtt", 3),
    "prune": lambda store: store.prune(NOW + timedelta(days=999)),
    "trim": lambda store: store.trim(1),
    "settle": lambda store: store.settle(Entry(at=NOW, event="store.settled")),
}


@pytest.mark.parametrize("write", sorted(WRITES))
async def test_what_has_led_before_writes_nothing_any_more(
    write: str, place: SharedPlace, first: SharedStore, second: SharedStore
) -> None:
    old = first.under((await first.take(ONE, TTL)).epoch)
    await old.write(Writes(entries=[values.entry()]))
    await place.let_pass(TTL + 1)
    new = second.under((await second.take(TWO, TTL)).epoch)
    before = (await new.load(), await new.journal(JournalQuery(after=0)), await new.cursor("mqtt"))
    with pytest.raises(NotLeadingError, match="epoch 1"):
        await WRITES[write](old)
    assert (await new.load(), await new.journal(JournalQuery(after=0)), await new.cursor("mqtt")) == before
    await WRITES[write](new)


@pytest.mark.parametrize("look", [lambda store: store.check(), lambda store: store.trim(10**9)], ids=["check", "trim"])
async def test_what_has_led_before_finds_that_out_where_nothing_is_to_be_written(
    look: Callable[[Store], Awaitable[object]], place: SharedPlace, first: SharedStore, second: SharedStore
) -> None:
    """Whoever needs no lease is answered after a check alone."""
    old = first.under((await first.take(ONE, TTL)).epoch)
    await look(old)
    await place.let_pass(TTL + 1)
    await second.take(TWO, TTL)

    with pytest.raises(NotLeadingError):
        await look(old)


async def test_a_term_that_was_over_before_its_store_was_used_writes_nothing(
    place: SharedPlace, first: SharedStore, second: SharedStore
) -> None:
    epoch = (await first.take(ONE, TTL)).epoch
    await place.let_pass(TTL + 1)
    new = second.under((await second.take(TWO, TTL)).epoch)

    with pytest.raises(NotLeadingError):
        await first.under(epoch).write(Writes(put=[values.brake()]))

    assert (await new.load()).records == []


async def test_an_expired_leader_finishes_its_writes_while_no_other_leads(
    place: SharedPlace, first: SharedStore
) -> None:
    store = first.under((await first.take(ONE, TTL)).epoch)
    await place.let_pass(10 * TTL)
    lease = values.granted(FREE)
    assert await store.swap(FREE, lease) == lease


async def test_the_next_leader_finds_every_write_of_the_last_one(
    place: SharedPlace, first: SharedStore, second: SharedStore
) -> None:
    old = first.under((await first.take(ONE, TTL)).epoch)
    lease = values.granted(FREE, ANNA)
    await old.swap(FREE, lease, Writes(put=[values.waiter(BERT)], entries=[values.entry()]))
    await place.let_pass(TTL + 1)
    new = second.under((await second.take(TWO, TTL)).epoch)
    stored = await new.load()
    assert stored.leases == {GROUP: lease}
    assert stored.records == [values.waiter(BERT)]


async def test_one_that_withdraws_is_forgotten_and_only_by_its_own_run(first: SharedStore, second: SharedStore) -> None:
    await first.announce(ONE)
    await second.announce(TWO)
    await second.withdraw(replace(ONE, run="r9"))
    assert [each.candidate for each in await second.announced()] == [ONE, TWO]
    await first.withdraw(ONE)
    assert [each.candidate for each in await second.announced()] == [TWO]
