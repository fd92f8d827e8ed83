"""The swap: compare and set of a lease with everything that belongs to it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from agbot.rules import lease as leases
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Lease, State
from agbot.rules.reasons import Cause
from agbot.rules.records import Turn, Waiter
from agbot.rules.seen_time import SeenTime
from agbot.store.contract import JournalQuery, Lost, Store, Writes
from agbot.store.records import key_of
from tests.contract import values
from tests.contract.values import ANNA, BERT, GROUP, NOW, OTHER_GROUP, TTL
from tests.support.examples import examples

FREE = Lease(group=GROUP)

same_store = settings(
    max_examples=examples(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
"""The examples share one store on purpose: they are distinguished by their keys, and old content
must not matter."""


async def won(store: Store, expected: Lease, new: Lease, writes: Writes | None = None) -> Lease:
    """Swap, and insist on it."""
    swapped = await store.swap(expected, new, writes or Writes())
    assert swapped == new
    return new


async def test_a_group_that_never_had_a_lease_has_a_free_one_with_token_0(store: Store) -> None:
    assert await store.lease(GROUP) == Lease(group=GROUP, token=0)
    assert (await store.load()).leases == {}


async def test_a_swap_that_finds_what_it_expects_replaces_the_lease(store: Store) -> None:
    held = values.granted(FREE)

    assert await store.swap(FREE, held) == held
    assert await store.lease(GROUP) == held
    assert (await store.load()).leases == {GROUP: held}


async def test_leases_of_different_groups_know_nothing_of_each_other(store: Store) -> None:
    pumps = await won(store, FREE, values.granted(FREE))
    fans = await won(store, Lease(group=OTHER_GROUP), values.granted(Lease(group=OTHER_GROUP), BERT))

    assert (await store.load()).leases == {GROUP: pumps, OTHER_GROUP: fans}


async def test_the_loser_of_a_race_is_reported_what_stands_there_now(store: Store) -> None:
    held = await won(store, FREE, values.granted(FREE))

    lost = await store.swap(FREE, values.granted(FREE, BERT))

    assert lost == Lost(current=held)
    assert await store.lease(GROUP) == held


@pytest.mark.parametrize(
    "stale",
    [
        Lease(group=GROUP, token=1),
        replace(values.granted(FREE), token=2),
        leases.suspect(values.granted(FREE)),
    ],
    ids=["same token, other state", "same state, other token", "suspect is not held"],
)
async def test_token_and_state_are_both_compared(store: Store, stale: Lease) -> None:
    held = await won(store, FREE, values.granted(FREE))

    lost = await store.swap(stale, replace(stale, token=9))

    assert lost == Lost(current=held)


async def test_a_swap_of_a_lease_that_is_not_there_is_lost_unless_it_expects_a_free_one_with_token_0(
    store: Store,
) -> None:
    held = values.granted(FREE)

    assert await store.swap(held, values.released(held)) == Lost(current=FREE)
    assert await store.swap(Lease(group=GROUP, token=4), Lease(group=GROUP, token=5)) == Lost(current=FREE)
    assert (await store.load()).leases == {}


async def test_only_token_and_state_are_compared(store: Store) -> None:
    held = await won(store, FREE, values.granted(FREE))
    renewed = leases.renew(held, SeenTime(NOW + TTL), TTL)
    await won(store, held, renewed)

    assert await store.swap(held, values.released(held)) == values.released(held)


async def test_a_late_release_frees_nothing_else(store: Store) -> None:
    first = await won(store, FREE, values.granted(FREE))
    free = await won(store, first, values.released(first))
    second = await won(store, free, values.granted(free, BERT))

    late = await store.swap(first, values.released(first, Cause.FAILED))

    assert late == Lost(current=second)
    assert await store.lease(GROUP) == second


async def test_a_repeated_release_is_lost_and_changes_nothing(store: Store) -> None:
    held = await won(store, FREE, values.granted(FREE))
    free = await won(store, held, values.released(held))

    repeated = await store.swap(
        held, values.released(held, Cause.FORCED), Writes(entries=[values.entry("lease.released")])
    )

    assert repeated == Lost(current=free)
    assert await store.journal(JournalQuery()) == []


async def test_what_goes_with_a_lost_swap_is_not_written(store: Store) -> None:
    await store.write(Writes(put=[values.waiter()]))
    held = await won(store, FREE, values.granted(FREE))
    drop = key_of(values.waiter(BERT))
    writes = Writes(put=[values.turn()], drop=[drop], entries=[values.entry()])

    assert isinstance(await store.swap(FREE, values.granted(FREE, BERT), writes), Lost)

    stored = await store.load()
    assert stored.leases == {GROUP: held}
    assert (stored.of(Turn), stored.of(Waiter)) == ([], [values.waiter()])
    assert await store.journal(JournalQuery()) == []


async def test_what_goes_with_a_swap_is_written_with_it(store: Store) -> None:
    await store.write(Writes(put=[values.waiter()]))
    drop = key_of(values.waiter(BERT))
    writes = Writes(put=[values.turn()], drop=[drop], entries=[values.entry(), values.entry("waiter.gone")])

    await won(store, FREE, values.granted(FREE), writes)

    stored = await store.load()
    assert (stored.of(Turn), stored.of(Waiter)) == ([values.turn()], [])
    assert [entry.event for entry in await store.journal(JournalQuery(after=0))] == ["lease.granted", "waiter.gone"]


async def test_a_write_that_cannot_be_stored_takes_the_swap_with_it(store: Store) -> None:
    bad = replace(values.entry(), facts={"node": object()})

    with pytest.raises(TypeError, match="no form in JSON"):
        await store.swap(FREE, values.granted(FREE), Writes(put=[values.turn()], entries=[bad]))

    stored = await store.load()
    assert (stored.leases, stored.of(Turn)) == ({}, [])


async def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="without a zone"):
        await store.write(Writes(entries=[replace(values.entry(), at=NOW.replace(tzinfo=None))]))


async def test_a_swap_to_a_lower_token_is_a_programming_error(store: Store) -> None:
    held = await won(store, FREE, replace(values.granted(FREE), token=7))

    with pytest.raises(ValueError, match="cannot go back"):
        await store.swap(held, replace(values.released(held), token=6))

    assert await store.lease(GROUP) == held


async def test_a_swap_cannot_write_another_groups_lease(store: Store) -> None:
    with pytest.raises(ValueError, match=OTHER_GROUP):
        await store.swap(FREE, values.granted(Lease(group=OTHER_GROUP)))

    assert (await store.load()).leases == {}


@pytest.mark.parametrize("before", [FREE, Lease(group=GROUP, token=41)], ids=["the first grant", "a later grant"])
async def test_of_a_hundred_swaps_at_once_exactly_one_wins(store: Store, before: Lease) -> None:
    if before.token:
        await won(store, FREE, before)
    nodes = [NodeId(f"acme/n{number}") for number in range(100)]
    asks = [
        store.swap(before, values.granted(before, node), Writes(entries=[values.entry(node=node)])) for node in nodes
    ]

    outcomes = await asyncio.gather(*asks)

    winners = [outcome for outcome in outcomes if isinstance(outcome, Lease)]
    losers = [outcome for outcome in outcomes if isinstance(outcome, Lost)]
    assert len(winners) == 1
    assert losers == [Lost(current=winners[0])] * 99
    assert await store.lease(GROUP) == winners[0]
    holder = winners[0].tenure and winners[0].tenure.claim.holder
    assert [entry.node for entry in await store.journal(JournalQuery())] == [holder]


async def test_a_hundred_groups_at_once_all_get_their_own(store: Store) -> None:
    frees = [Lease(group=GroupId(f"acme/g{number}")) for number in range(100)]

    outcomes = await asyncio.gather(*(store.swap(free, values.granted(free)) for free in frees))

    assert all(isinstance(outcome, Lease) for outcome in outcomes)
    assert len((await store.load()).leases) == 100


async def test_the_token_rises_with_every_grant_and_survives_the_release(store: Store) -> None:
    current = await store.lease(GROUP)
    tokens = []
    for holder in (ANNA, BERT, ANNA):
        held = await won(store, current, values.granted(current, holder))
        current = await won(store, held, values.released(held))
        tokens.append((await store.lease(GROUP)).token)

    assert tokens == [1, 2, 3]
    assert (await store.lease(GROUP)).state is State.FREE


@same_store
@given(lease=values.any_leases)
async def test_every_lease_comes_back_as_it_was_written(store: Store, lease: Lease) -> None:
    current = await store.lease(lease.group)
    lease = replace(lease, token=max(lease.token, current.token))

    assert await store.swap(current, lease) == lease

    assert await store.lease(lease.group) == lease
    assert (await store.load()).leases[lease.group] == lease
