"""What the ledger makes of a store that it reads later than the first question came."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agbot.coordinator.memory.ledger import Ledger
from agbot.rules.facts import Ask
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, Kind
from agbot.rules.records import Waiter
from agbot.rules.seen_time import SeenTime
from agbot.store.contract import StoreUnavailableError, Writes
from agbot.store.memory import Failure, MemoryStore
from tests.support.clocks import NOON

GROUP = GroupId("o1/g1")
ASK = Ask(group=GROUP, claim=Claim(holder=NodeId("o1/anna"), kind=Kind.AGENT, subject=PolicyId("o1/up1")))
LONG_AGO = Waiter(ask=ASK, since=SeenTime(NOON - timedelta(hours=1)), asked_at=SeenTime(NOON - timedelta(minutes=1)))
JUST_NOW = Waiter(ask=ASK, since=SeenTime(NOON), asked_at=SeenTime(NOON))


async def test_who_asks_before_the_store_is_read_keeps_its_place() -> None:
    store = MemoryStore()
    await store.open()
    await store.write(Writes(put=[LONG_AGO]))
    ledger = Ledger(store)
    ledger.note(JUST_NOW)
    await ledger.load()
    kept = ledger.waiter(ASK)
    assert kept is not None
    assert (kept.since, kept.asked_at) == (LONG_AGO.since, JUST_NOW.asked_at)


async def test_it_says_whether_the_store_has_failed_or_was_not_read_yet() -> None:
    store = MemoryStore()
    await store.open()
    ledger = Ledger(store)
    assert ledger.distrust == "the lease store has not been read yet"
    await ledger.load()
    ledger.is_trusted = False
    assert ledger.distrust == "the lease store has not been read since it failed"


async def test_a_failed_clearing_out_is_a_failure_of_the_store_like_any_other() -> None:
    store = MemoryStore()
    await store.open()
    ledger = Ledger(store)
    await ledger.load()
    store.fail_next(Failure.BEFORE_COMMIT)
    with pytest.raises(StoreUnavailableError):
        await ledger.prune(NOON)
    assert (ledger.is_trusted, bool(ledger.failure)) == (False, True), "it is read anew, and that ends the failure"
