"""What is noted of waiters until it is written: each event once, with the facts of its own refusal."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from agbot.coordinator.memory.ledger import Ledger
from agbot.coordinator.review.waiters import Waiting
from agbot.events.waits import WaitChanged
from agbot.rules.facts import Ask
from agbot.rules.ids import NodeId
from agbot.rules.reasons import Code, Reason
from agbot.store.memory import MemoryStore
from agbot.store.records import waiter_key
from tests.support.values import BERT, GROUP, NOW, claim
from tests.support.virtual_time import in_virtual_time

ASK = Ask(group=GROUP, claim=claim(BERT))
KEY = waiter_key(ASK)
HELD = (Reason(code=Code.LEASE_HELD, text="anna upgrades"),)
HELD_STILL = (Reason(code=Code.LEASE_HELD, text="anna upgrades, and reports more"),)
SOAKING = (Reason(code=Code.SOAKING, text="the group rests"),)
LATER = NOW + timedelta(seconds=60)


MANY = 1000


@pytest.fixture
def waiting() -> Waiting:
    return Waiting(Ledger(MemoryStore()))


def noted_with(facts: dict[str, Any], built: list[str]) -> Any:
    def build() -> dict[str, Any]:
        built.append("facts")
        return facts

    return build


def codes(waiting: Waiting) -> list[str]:
    events = [event for change in waiting.changes([KEY]) for event in change.events]
    return [each.reasons[0].code for each in events if isinstance(each, WaitChanged)]


def test_a_repetition_during_the_write_does_not_make_it_be_written_again(waiting: Waiting) -> None:
    assert waiting.note(ASK, HELD, NOW)
    writing = waiting.changes([KEY])
    assert not waiting.note(ASK, HELD, LATER)
    waiting.written(writing)
    assert waiting.unwritten() == []


def test_a_reason_in_other_words_is_kept_and_is_no_news(waiting: Waiting) -> None:
    waiting.note(ASK, HELD, NOW)
    assert not waiting.note(ASK, HELD_STILL, LATER)
    (change,) = waiting.changes([KEY])
    (waiter,) = change.put
    assert waiter.reasons == HELD_STILL  # type: ignore[union-attr]  # a waiter
    assert waiter.since == NOW.seen  # type: ignore[union-attr]  # see above


def test_other_reasons_during_the_write_are_written_after_it(waiting: Waiting) -> None:
    waiting.note(ASK, HELD, NOW)
    writing = waiting.changes([KEY])
    assert waiting.note(ASK, SOAKING, LATER)
    waiting.written(writing)
    assert waiting.unwritten() == [KEY]
    assert codes(waiting) == ["soaking"]


def test_the_facts_of_a_refusal_are_built_once(waiting: Waiting) -> None:
    built: list[str] = []
    waiting.note(ASK, HELD, NOW)
    waiting.keep(ASK, noted_with({"rules": ({"rule": "lease-free"},)}, built))
    assert built == []
    waiting.complete(KEY)
    for _ in range(2):
        (change,) = waiting.changes([KEY])
        (event,) = change.events
        assert isinstance(event, WaitChanged)
        assert event.rules == ({"rule": "lease-free"},)
    assert built == ["facts"]


def first_questions(waiting: Waiting, number: int) -> None:
    for index in range(number):
        waiting.note(Ask(group=GROUP, claim=claim(NodeId(f"o1/n{index}"))), HELD, NOW)


@in_virtual_time
async def test_a_question_waits_for_room_while_a_thousand_waiters_are_unwritten_and_is_answered_all_the_same() -> None:
    waiting, loop = Waiting(Ledger(MemoryStore())), asyncio.get_running_loop()
    first_questions(waiting, MANY - 1)
    await asyncio.wait_for(waiting.room(), 0.01)
    first_questions(waiting, MANY)
    asked = asyncio.create_task(waiting.room())
    await asyncio.sleep(0.1)
    assert not asked.done()

    waiting.written(waiting.changes(waiting.unwritten()[:1]))
    await asyncio.wait_for(asked, 0.01)

    first_questions(waiting, MANY + 1)
    began = loop.time()
    await waiting.room()
    assert 0 < loop.time() - began < 1


def test_a_waiter_that_has_gone_before_it_was_written_is_not_kept() -> None:
    ledger = Ledger(MemoryStore())
    waiting = Waiting(ledger)
    waiting.note(ASK, HELD, NOW)
    ledger.waiters.clear()
    assert waiting.changes([KEY]) == []
    assert waiting.unwritten() == []
