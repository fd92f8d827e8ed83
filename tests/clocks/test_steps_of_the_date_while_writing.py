"""A write that waits, and a caller that gives up, while the clocks are written: nothing is set back, lost or done twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from agbot.coordinator.permission import Granted
from agbot.rules import ids
from agbot.rules.ids import group_id
from agbot.rules.lease import Kind, Lease
from agbot.rules.records import Approval, Deferral, Hold
from agbot.rules.seen_time import ClockMark
from agbot.store.contract import StoreUnavailableError
from agbot.transitions.change import Change
from tests.clocks.blindness import held, upgrading
from tests.support.clocks import NOON
from tests.support.faulty_store import Failure, Slow
from tests.support.hub import ORG, Hub
from tests.support.virtual_time import in_virtual_time

HOUR = 3600.0
HOLD = Hold(scope=ORG, since=NOON, by="eva", why="the trade fair")


async def gives_up(task: asyncio.Task[None]) -> None:
    """Let the caller stop waiting in the middle of the write."""
    await asyncio.sleep(5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(10)


async def stepped(store: Slow) -> Hub:
    """Start a hub in which a member upgrades, and set its date: no cycle finds the step first."""
    hub = await upgrading(store=store)
    store.slow_event = "clock.stepped"
    await hub._cancel()  # noqa: SLF001 - the cycles, and nothing else
    hub.clock.step(HOUR)
    return hub


def assert_moved_once(hub: Hub, before: Lease) -> None:
    """Assert that the tenure has moved along with the date, and that the step was reported."""
    after = held(hub).tenure
    assert before.tenure is not None
    assert after is not None
    assert (after.granted_at - before.tenure.granted_at).total_seconds() == HOUR
    assert [entry.facts["seconds"] for entry in hub.events("clock.stepped")] == [HOUR]


@in_virtual_time
async def test_a_hold_that_waits_for_a_slow_grant_does_not_set_the_stored_clock_back() -> None:
    store = Slow()
    hub = Hub(store=store)
    hub.group("g1", "n1", "n2")
    hub.group("g2", "a1", "a2")
    await hub.start()
    await hub.live("n1", "n2", "a1", "a2", seconds=30)
    store.slow_group = group_id(ORG, "g1")
    granting = asyncio.create_task(hub.ask("n1", "g1"))
    await asyncio.sleep(1)
    holding = asyncio.create_task(hub.coordinator.hold(HOLD))
    await asyncio.sleep(25)
    await hub.coordinator._situation.save_clock(at_once=True)  # noqa: SLF001 - as a cycle and each write do
    (before,) = (await store.load()).of(ClockMark)

    assert isinstance(await granting, Granted)
    await holding

    (after,) = (await store.load()).of(ClockMark)
    assert after.seen >= before.seen
    await hub.stop()


@in_virtual_time
async def test_a_step_is_reported_although_the_question_that_found_it_is_given_up() -> None:
    hub = await stepped(Slow())
    before = held(hub)

    await gives_up(asyncio.create_task(hub.coordinator._situation.move_along()))  # noqa: SLF001 - the first step of `report_end`

    assert_moved_once(hub, before)
    await hub.stop()


@in_virtual_time
async def test_a_step_that_could_not_be_written_is_not_forgotten_because_its_question_was_given_up() -> None:
    store = Slow()
    hub = await stepped(store)
    situation = hub.coordinator._situation  # noqa: SLF001 - see above
    moving = asyncio.create_task(situation.move_along())
    await asyncio.sleep(1)
    store.fail_next(Failure.BEFORE_COMMIT)

    await gives_up(moving)

    assert situation.dates.unmoved.total_seconds() == HOUR
    assert hub.events("clock.stepped") == [], "nothing is reported that was not written"
    await hub.stop()


@in_virtual_time
async def test_of_two_that_find_the_same_step_the_second_does_not_write_after_the_first_has_failed() -> None:
    """What is in memory may be older than the store by then."""
    store = Slow()
    hub = await stepped(store)
    situation = hub.coordinator._situation  # noqa: SLF001 - see above
    store.fail_next(Failure.BEFORE_COMMIT)

    outcomes = await asyncio.gather(situation.move_along(), situation.move_along(), return_exceptions=True)

    assert [type(each) for each in outcomes] == [StoreUnavailableError, type(None)]
    assert situation.dates.unmoved.total_seconds() == HOUR
    assert hub.events("clock.stepped") == []
    await hub.stop()


@in_virtual_time
async def test_approvals_and_deferrals_move_along_with_a_step_of_the_date() -> None:
    """Each is compared with a stamp of the Exchange."""
    store = Slow()
    hub = await upgrading(store=store)
    situation = hub.coordinator._situation  # noqa: SLF001 - see above
    await hub._cancel()  # noqa: SLF001 - see above
    records = (
        Approval(scope=ORG, kind=Kind.AGENT, subject=ids.policy_id(ORG, "p1"), since=NOON, by="eva", why="tested"),
        Deferral(group=group_id(ORG, "g1"), node=ids.node_id(ORG, "n2"), subject=ids.policy_id(ORG, "p1"), since=NOON),
    )
    await situation.commit(Change(put=records))
    hub.clock.step(HOUR)

    await situation.move_along()

    stored = await store.load()
    moved = NOON + timedelta(seconds=HOUR)
    assert [each.since for each in stored.of(Approval)] == [moved]
    assert [each.since for each in stored.of(Deferral)] == [moved]
    await hub.stop()


@in_virtual_time
async def test_two_that_find_the_same_step_move_it_once() -> None:
    hub = await stepped(Slow())
    situation, before = hub.coordinator._situation, held(hub)  # noqa: SLF001 - see above

    await asyncio.gather(situation.move_along(), situation.move_along())

    assert_moved_once(hub, before)
    await hub.stop()


@in_virtual_time
async def test_the_end_of_a_doubt_is_reported_although_its_caller_is_given_up() -> None:
    store = Slow()
    hub = await upgrading(store=store)
    await hub._cancel()  # noqa: SLF001 - see above
    store.change_generation("it is an older copy", 1000)
    store.fail_next(Failure.BEFORE_COMMIT)
    with pytest.raises(StoreUnavailableError):
        await hub.coordinator._situation.commit()  # noqa: SLF001 - so that the store is read again
    await hub.coordinator.cycle()
    store.slow_event = "store.settled"

    async def settle() -> None:
        await hub.coordinator.resume(ids.STORE_SCOPE, subject=None, reason="all at rest", who="eva")

    await gives_up(asyncio.create_task(settle()))

    assert [entry.who for entry in hub.events("store.settled")] == ["eva"]
    await hub.stop()
