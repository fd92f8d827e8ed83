"""What stands beside the leases: brakes, deferrals, pauses, turns and waiters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import HealthCheck, given, settings

from agbot.rules.ids import NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.records import Allowance, Approval, Contact, Deferral, Hold, Turn, Waiter
from agbot.rules.seen_time import ClockMark, Gap, SeenTime
from agbot.store.contract import JournalQuery, Store, Writes
from agbot.store.records import Record, key_of
from tests.contract import values
from tests.contract.values import ANNA, BERT, GROUP, NOW, TTL, UPGRADE
from tests.support.examples import examples

BRAKE = values.brake()
CONTACT = Contact(node=ANNA, asked_at=NOW)
DEFERRAL = Deferral(group=GROUP, node=ANNA, subject=UPGRADE, since=NOW, status="initiated")
ALLOWANCE = Allowance(node=NodeId("acme/n1"), subject=PolicyId(""), since=NOW, until=NOW + TTL, by="ola", why="urgent")
APPROVAL = Approval(scope="acme", kind=Kind.AGENT, subject=PolicyId("acme/p1"), since=NOW, by="ola", why="tested")
CLOCK = ClockMark(
    seen=SeenTime(NOW),
    wall=NOW + TTL,
    clear_since=SeenTime(NOW - TTL),
    settlings=2,
    gaps=(Gap(NOW - 2 * TTL, NOW - TTL),),
    exchange_ahead=-TTL,
)
HOLD = Hold(scope="acme", since=NOW, by="ola", why="audit", until=NOW + TTL)

same_store = settings(
    max_examples=examples(100),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
"""The examples share one store on purpose: they are distinguished by their keys, and old content
must not matter."""


LASTING = {ClockMark, Contact, Turn}
"""A turn is only pruned, and a contact and the one clock stay."""


async def all_of(store: Store) -> Sequence[Record]:
    return (await store.load()).records


async def test_a_new_store_is_empty(store: Store) -> None:
    assert await all_of(store) == []
    assert await store.journal(JournalQuery()) == []


async def test_what_is_put_is_loaded(store: Store) -> None:
    records: list[Record] = [
        ALLOWANCE,
        APPROVAL,
        BRAKE,
        CLOCK,
        CONTACT,
        DEFERRAL,
        HOLD,
        values.turn(),
        values.waiter(),
    ]

    await store.write(Writes(put=records))

    assert await all_of(store) == records


async def test_a_record_replaces_the_one_with_its_key(store: Store) -> None:
    before: list[Record] = [BRAKE, DEFERRAL, HOLD, values.turn(), values.waiter()]
    after: list[Record] = [
        values.brake(revision="r2", token=4),
        replace(DEFERRAL, status="successful"),
        replace(HOLD, why="longer", until=None),
        values.turn(minutes=5),
        replace(values.waiter(minutes=1), reasons=()),
    ]

    await store.write(Writes(put=before))
    await store.write(Writes(put=after))

    assert await all_of(store) == after


async def test_writing_the_same_again_does_no_harm(store: Store) -> None:
    writes = Writes(put=[BRAKE, values.waiter()], drop=[key_of(HOLD)])

    await store.write(writes)
    await store.write(writes)

    assert await all_of(store) == [BRAKE, values.waiter()]


async def test_the_last_of_two_puts_with_one_key_stays(store: Store) -> None:
    await store.write(Writes(put=[values.waiter(), values.waiter(minutes=3), values.waiter(minutes=1)]))

    assert (await store.load()).of(Waiter) == [values.waiter(minutes=1)]


async def test_a_drop_comes_after_a_put_of_the_same_write(store: Store) -> None:
    await store.write(Writes(put=[HOLD], drop=[key_of(HOLD)]))

    assert (await store.load()).of(Hold) == []


async def test_a_key_drops_its_record_and_no_other(store: Store) -> None:
    others: list[Record] = [
        values.brake(subject=PolicyId("acme/other")),
        values.brake(kind=Kind.SERVICE),
        replace(DEFERRAL, node=BERT),
        replace(HOLD, scope="acme/pumps"),
        values.waiter(ANNA),
        values.waiter(group=values.OTHER_GROUP),
    ]
    dropped: list[Record] = [BRAKE, DEFERRAL, HOLD, values.waiter(BERT)]
    await store.write(Writes(put=[*others, *dropped]))

    await store.write(Writes(drop=[key_of(record) for record in dropped]))

    left = await all_of(store)
    assert len(left) == len(others)
    assert all(other in left for other in others)


async def test_records_come_in_the_order_of_their_keys(store: Store) -> None:
    nodes = [NodeId(f"acme/{name}") for name in ("z", "a", "é", "Z", "😀", "a/1")]

    await store.write(Writes(put=[values.turn(node) for node in nodes]))

    assert [mark.node for mark in (await store.load()).of(Turn)] == sorted(nodes)


async def test_nothing_may_be_written(store: Store) -> None:
    await store.write(Writes())

    assert await all_of(store) == []


@same_store
@given(record=values.records)
async def test_every_record_comes_back_as_it_was_written_until_it_is_dropped(store: Store, record: Record) -> None:
    await store.write(Writes(put=[record]))
    assert record in await all_of(store)

    if type(record) not in LASTING:
        await store.write(Writes(drop=[key_of(record)]))
        assert key_of(record) not in {key_of(left) for left in await all_of(store)}
