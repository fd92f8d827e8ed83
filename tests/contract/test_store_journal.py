"""The journal: appended in order, read by filters, pruned by age and by size."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings

from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Lease
from agbot.rules.records import Turn, Waiter
from agbot.rules.seen_time import SeenTime
from agbot.store import texts
from agbot.store.contract import ENTRY_BYTES, Entry, JournalQuery, Lost, Store, Writes
from tests.contract import values
from tests.contract.conftest import Place
from tests.contract.values import ANNA, BERT, GROUP, NOW, OTHER_GROUP, entry
from tests.support.examples import examples, some

ALL = JournalQuery(after=0, limit=10_000)


async def events(store: Store, query: JournalQuery) -> list[str]:
    return [found.event for found in await store.journal(query)]


async def test_entries_keep_their_order_and_get_rising_ids(store: Store) -> None:
    await store.write(Writes(entries=[entry("a.a"), entry("b.b")]))
    await store.swap(Lease(group=GROUP), values.granted(Lease(group=GROUP)), Writes(entries=[entry("c.c")]))
    await store.write(Writes(entries=[entry("d.d", minutes=-5)]))

    found = await store.journal(ALL)

    assert [each.event for each in found] == ["a.a", "b.b", "c.c", "d.d"]
    ids = [each.id for each in found]
    assert ids == sorted(set(ids))
    assert ids[0] > 0


async def test_an_entry_comes_back_as_it_was_written_with_its_id(store: Store) -> None:
    written = replace(
        entry(), facts={"reasons": ["turn", "soaking"], "left": 3, "share": 0.5, "until": None}, who="ola"
    )

    await store.write(Writes(entries=[written]))

    (found,) = await store.journal(ALL)
    assert replace(found, id=0) == written


async def test_an_id_that_the_caller_gives_is_ignored(store: Store) -> None:
    await store.write(Writes(entries=[replace(entry("a.a"), id=500), replace(entry("b.b"), id=1)]))

    first, second = await store.journal(ALL)

    assert (first.event, second.event) == ("a.a", "b.b")
    assert first.id < second.id < 500


@pytest.mark.parametrize(
    ("query", "expected"),
    some(
        [
            (JournalQuery(), ["e.e", "d.d", "c.c", "b.b", "a.a"]),
            (JournalQuery(limit=2), ["e.e", "d.d"]),
            (JournalQuery(limit=0), []),
            (JournalQuery(limit=-1), []),
            (JournalQuery(group=GROUP), ["e.e", "b.b", "a.a"]),
            (JournalQuery(node=ANNA), ["d.d", "a.a"]),
            (JournalQuery(group=GROUP, node=BERT), ["b.b"]),
            (JournalQuery(since=NOW + timedelta(minutes=2)), ["e.e", "d.d", "c.c"]),
            (JournalQuery(since=NOW + timedelta(minutes=2), group=GROUP, limit=1), ["e.e"]),
            (JournalQuery(after=0), ["a.a", "b.b", "c.c", "d.d", "e.e"]),
            (JournalQuery(after=0, limit=2), ["a.a", "b.b"]),
            (JournalQuery(after=0, group=GROUP, limit=2), ["a.a", "b.b"]),
            (JournalQuery(node=BERT, group=OTHER_GROUP), []),
            (JournalQuery(events=("b.b", "e.e", "x.x")), ["e.e", "b.b"]),
            (JournalQuery(events=("a.a", "b.b"), node=ANNA), ["a.a"]),
            (JournalQuery(before=4), ["c.c", "b.b", "a.a"]),
            (JournalQuery(before=4, limit=2), ["c.c", "b.b"]),
            (JournalQuery(before=4, after=1), ["b.b", "c.c"]),
        ]
    ),
)
async def test_a_query_narrows_the_journal(store: Store, query: JournalQuery, expected: list[str]) -> None:
    entries = [
        entry("a.a", 0, GROUP, ANNA),
        entry("b.b", 1, GROUP, BERT),
        entry("c.c", 2, OTHER_GROUP, None),
        entry("d.d", 3, None, ANNA),
        entry("e.e", 4, GROUP, None),
    ]
    await store.write(Writes(entries=entries))

    assert await events(store, query) == expected


async def test_an_organisation_s_entries_are_those_of_its_groups_and_nodes_and_the_holds_that_cover_it(
    store: Store,
) -> None:
    held = [replace(entry(f"hold.{scope}", 0, None, None), facts={"scope": scope}) for scope in ("*", "acme", "acm")]
    elsewhere = [entry("a.a", 0, GroupId("acm/e"), ANNA), entry("b.b", 0, None, NodeId("acme2/n"))]
    mine = [entry("c.c", 0, GROUP, None), entry("d.d", 0, None, ANNA)]
    nobodys = entry("e.e", 0, None, None)
    await store.write(Writes(entries=[*held, *elsewhere, *mine, nobodys]))

    assert await events(store, JournalQuery(org="acme", after=0)) == ["hold.*", "hold.acme", "c.c", "d.d"]
    assert await events(store, JournalQuery(org="acm", after=0)) == ["hold.*", "hold.acm", "a.a"]
    assert await events(store, JournalQuery(org="acme", node=ANNA)) == ["d.d"]


async def test_reading_back_from_the_oldest_id_neither_skips_nor_repeats(store: Store) -> None:
    await store.write(Writes(entries=[entry(f"e.{number}") for number in range(7)]))

    seen: list[Entry] = []
    while page := await store.journal(JournalQuery(before=seen[-1].id if seen else None, limit=3)):
        seen.extend(page)

    assert [each.event for each in seen] == [f"e.{number}" for number in reversed(range(7))]


async def test_reading_on_from_the_last_id_neither_skips_nor_repeats(store: Store) -> None:
    await store.write(Writes(entries=[entry(f"e.{number}") for number in range(7)]))

    seen: list[Entry] = []
    while page := await store.journal(JournalQuery(after=seen[-1].id if seen else 0, limit=3)):
        seen.extend(page)

    assert [each.event for each in seen] == [f"e.{number}" for number in range(7)]


async def test_entries_of_one_write_stay_together_when_many_write_at_once(store: Store) -> None:
    pairs = [Writes(entries=[entry(f"a.{number}"), entry(f"b.{number}")]) for number in range(50)]

    await asyncio.gather(*(store.write(pair) for pair in pairs))

    found = await events(store, ALL)
    assert len(found) == 100
    assert all(found[index][2:] == found[index + 1][2:] for index in range(0, 100, 2))


async def test_a_prune_removes_what_is_older_and_reports_how_many_entries_went(store: Store) -> None:
    await store.write(Writes(entries=[entry("a.a", 0), entry("b.b", 1), entry("c.c", 2)]))
    await store.write(Writes(put=[values.turn(ANNA, 0), values.turn(BERT, 1), values.waiter()]))
    await store.swap(Lease(group=GROUP), values.granted(Lease(group=GROUP)))

    assert await store.prune(NOW + timedelta(minutes=1), turns=SeenTime(NOW + timedelta(minutes=1))) == 1

    stored = await store.load()
    assert await events(store, ALL) == ["b.b", "c.c"]
    assert stored.of(Turn) == [values.turn(BERT, 1)]
    assert stored.of(Waiter) == [values.waiter()]
    assert list(stored.leases) == [GROUP]


def bulky(event: str, text: str) -> Entry:
    return replace(entry(event), facts={"text": text} if text else {})


@pytest.mark.parametrize(("spare", "kept"), [(0, 3), (-1, 2), (100, 3), (255, 3), (256 + 2, 4)])
async def test_a_trim_keeps_the_newest_entries_that_fit_and_reports_how_many_went(
    store: Store, spare: int, kept: int
) -> None:
    written = [bulky("a.a", ""), bulky("b.b", "größe"), bulky("c.c", "x" * 500), bulky("d.d", "")]
    await store.write(Writes(entries=written, put=[values.turn(ANNA, 0)]))
    fits = sum(ENTRY_BYTES + len(texts.json_text(each.facts).encode()) for each in written[1:])

    assert await store.trim(fits + spare) == 4 - kept

    assert await events(store, ALL) == ["a.a", "b.b", "c.c", "d.d"][4 - kept :]
    assert (await store.load()).of(Turn) == [values.turn(ANNA, 0)]
    assert await store.trim(fits + spare) == 0


@pytest.mark.parametrize("kept", [0, 1, 499, 500, 501, 1000, 1233])
async def test_a_long_journal_is_trimmed_to_the_entry(store: Store, kept: int) -> None:
    """Longer than what a store measures or deletes at once."""
    await store.write(Writes(entries=[bulky(f"e.{number}", "") for number in range(1234)]))

    assert await store.trim(kept * (ENTRY_BYTES + len("{}"))) == 1234 - kept

    assert await events(store, ALL) == [f"e.{number}" for number in range(1234 - kept, 1234)]


async def test_what_is_written_while_a_journal_is_trimmed_stays(store: Store) -> None:
    await store.write(Writes(entries=[bulky(f"e.{number}", "") for number in range(1600)]))

    await asyncio.gather(
        store.trim(0), *(store.write(Writes(entries=[entry(f"new.{number}")])) for number in range(20))
    )

    left = await events(store, ALL)
    assert set(left) <= {f"new.{number}" for number in range(20)}
    assert left == [f"new.{number}" for number in range(20 - len(left), 20)]


async def test_an_empty_journal_is_trimmed_to_nothing(store: Store) -> None:
    assert await store.trim(0) == 0


async def test_an_id_is_never_used_again_not_even_after_everything_was_pruned(store: Store) -> None:
    await store.write(Writes(entries=[entry("a.a"), entry("b.b")]))
    last = max(found.id for found in await store.journal(ALL))
    assert await store.prune(NOW + timedelta(days=1)) == 2

    await store.write(Writes(entries=[entry("c.c")]))

    (found,) = await store.journal(ALL)
    assert found.id > last


async def test_the_last_id_is_that_of_the_newest_entry_also_when_it_is_gone(store: Store, place: Place) -> None:
    assert await store.last_entry_id() == 0
    await store.write(Writes(entries=[entry("a.a"), entry("b.b")]))
    await store.swap(Lease(group=GROUP), values.granted(Lease(group=GROUP)), Writes(entries=[entry("c.c")]))
    assert await store.last_entry_id() == max(found.id for found in await store.journal(ALL)) == 3

    await store.prune(NOW + timedelta(days=1))
    assert await store.last_entry_id() == 3
    await store.close()
    again = place.store()
    await again.open()
    try:
        assert await again.last_entry_id() == 3
    finally:
        await again.close()


async def test_ids_have_no_gap_whatever_was_lost_or_refused_in_between(store: Store) -> None:
    """Or a missing one would not say that its entry has been pruned."""
    free = Lease(group=GROUP)
    held = values.granted(free)
    await store.swap(free, held, Writes(entries=[entry("a.a"), entry("b.b")]))
    assert isinstance(await store.swap(free, held, Writes(entries=[entry("of.a_loser")])), Lost)
    with pytest.raises(ValueError, match="zone"):
        await store.write(Writes(entries=[entry("c.c"), replace(entry("no.zone"), at=NOW.replace(tzinfo=None))]))
    writes = [
        store.write(Writes(entries=[entry(f"d.{number}")]))
        if number % 2
        else store.swap(free, held, Writes(entries=[entry("of.a_loser")]))
        for number in range(20)
    ]
    await asyncio.gather(*writes)
    await store.prune(NOW - timedelta(days=1))
    await store.write(Writes(entries=[entry("e.e")]))

    assert [found.id for found in await store.journal(ALL)] == list(range(1, 14))


@settings(
    max_examples=examples(100),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(written=values.entries)
async def test_every_entry_comes_back_as_it_was_written(store: Store, written: Entry) -> None:
    await store.write(Writes(entries=[written]))

    (found,) = await store.journal(JournalQuery(limit=1))
    assert replace(found, id=0) == replace(written, id=0)
