"""A step of our date is a fact about our clock: no one expires, no one is fresh, nothing ends by it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from agbot.coordinator.contract import Done, NotDone
from agbot.coordinator.permission import Granted
from agbot.rules.lease import Lease, State
from agbot.rules.records import Hold
from agbot.rules.seen_time import SeenTime
from agbot.sim.faults import Fault, FaultKind
from agbot.store.contract import NOTHING, Entry, JournalQuery, Lost, Pace, Writes, at_once
from agbot.store.memory import MemoryStore
from tests.clocks.blindness import bad, held, upgrading
from tests.support.examples import some
from tests.support.hub import ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

HOURS_AND_A_HALF = 5400.0
STEPS = pytest.mark.parametrize("step", some([HOURS_AND_A_HALF, -HOURS_AND_A_HALF, 86_400.0, -86_400.0, 30.0, -30.0]))


@STEPS
@in_virtual_time
async def test_a_step_of_the_date_expires_no_live_holder(step: float) -> None:
    hub = await upgrading()

    hub.clock.step(step)
    await hub.live("n1", "n2", "n3", seconds=120)

    assert held(hub).token == 1
    assert bad(hub) == []
    (emitted,) = hub.events("clock.stepped")
    assert emitted.facts == {"seconds": step}


@STEPS
@in_virtual_time
async def test_between_a_step_and_the_next_comparison_nothing_is_granted(step: float) -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()

    hub.clock.step(step)

    assert codes(await hub.ask("n1", "g1"))[0] == "clock-untrusted"


@pytest.mark.parametrize("step", [HOURS_AND_A_HALF, -HOURS_AND_A_HALF])
@in_virtual_time
async def test_after_a_step_the_end_of_an_upgrade_is_known_as_ever(step: float) -> None:
    hub = await upgrading()

    hub.clock.step(step)
    await hub.live("n1", "n2", "n3", seconds=30)
    hub.report("n1", "successful")
    await hub.live("n1", "n2", "n3", seconds=40)

    assert hub.lease("g1").state is State.FREE
    assert isinstance(await hub.ask("n2", "g1"), Granted)


@pytest.mark.parametrize("step", [HOURS_AND_A_HALF, -HOURS_AND_A_HALF])
@in_virtual_time
async def test_what_was_reported_before_the_grant_stays_old_after_a_step(step: float) -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    hub.report("n1", "successful")
    await hub.start()
    await hub.live("n1", "n2", seconds=60)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    await asyncio.sleep(3)

    hub.clock.step(step)
    await hub.live("n1", "n2", seconds=60)

    assert hub.lease("g1").state is State.HELD


@pytest.mark.parametrize("step", [HOURS_AND_A_HALF, -HOURS_AND_A_HALF])
@in_virtual_time
async def test_the_moments_that_stamps_are_compared_with_move_along_in_the_store_too(step: float) -> None:
    hub = await upgrading()
    before = held(hub).tenure
    assert before is not None

    hub.clock.step(step)
    await hub.live("n1", "n2", "n3", seconds=10)

    stored = (await hub.store.load()).leases[held(hub).group]
    assert stored == held(hub)
    assert stored.tenure is not None
    assert stored.tenure.granted_at - before.granted_at == timedelta(seconds=step)


@in_virtual_time
async def test_a_step_back_makes_no_old_read_fresh() -> None:
    """The last live member is not let go because the heartbeats of the dead ones look young."""
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await hub.live("n1", seconds=600)
    assert "peers-unavailable" in codes(await hub.ask("n1", "g1"))

    hub.clock.step(-HOURS_AND_A_HALF)
    for _ in range(20):
        assert not isinstance(await hub.ask("n1", "g1"), Granted)
        await hub.live("n1", seconds=10)


@in_virtual_time
async def test_a_clock_that_is_a_day_off_counts_no_dead_peer_as_alive() -> None:
    for ahead in (86_400.0, -86_400.0, 2 * 86_400.0):
        hub = Hub(clock_ahead_seconds=ahead)
        hub.group("g1", "n1", "n2")
        await hub.start()
        await hub.live("n1", seconds=600)

        refused = await hub.ask("n1", "g1")

        assert codes(refused)[0] == "clock-untrusted"
        assert "peers-unavailable" in codes(refused)
        assert any("ahead of ours" in each.text or "behind ours" in each.text for each in refused.reasons)  # type: ignore[union-attr]  # a refusal
        assert any("apart" in text or "ours" in text for text in hub.coordinator.overview().not_ready)


@in_virtual_time
async def test_a_proxys_own_date_moves_nothing() -> None:
    hub = Hub()
    hub.exchange.faults.add(Fault(kind=FaultKind.DATE, seconds=7200))
    hub.group("g1", "n1", "n2")
    await hub.start()
    await hub.live("n1", "n2", seconds=60)

    assert hub.client.time.offset == timedelta()
    assert isinstance(await hub.ask("n1", "g1"), Granted)


@in_virtual_time
async def test_an_exchange_whose_clock_is_set_right_makes_no_one_silent() -> None:
    for seconds in (3600.0, -3600.0):
        hub = await upgrading()
        hub.exchange.faults.add(Fault(kind=FaultKind.CLOCK, seconds=seconds))

        await hub.live("n1", "n2", "n3", seconds=900)

        assert held(hub).token == 1
        assert bad(hub) == []


@pytest.mark.parametrize("seconds", some([86_400.0, -86_400.0, -10_800.0], first=1))
@in_virtual_time
async def test_an_upgrade_that_was_reported_under_a_wrong_clock_of_the_exchange_is_no_old_one(seconds: float) -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    hub.report("n1", "ha node waiting")
    await hub.start()
    await hub.live("n1", "n2", seconds=60)

    wrong = hub.exchange.faults.add(Fault(kind=FaultKind.CLOCK, seconds=seconds))
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", seconds=12)
    hub.exchange.faults.remove(wrong)
    await hub.live("n1", "n2", seconds=600)

    assert codes(await hub.ask("n2", "g1"))[0] == "lease-held"
    hub.report("n1", "successful")
    await hub.live("n1", "n2", seconds=60)
    assert isinstance(await hub.ask("n2", "g1"), Granted)


@pytest.mark.parametrize("step", some([30 * 86_400.0, -30 * 86_400.0]))
@in_virtual_time
async def test_twelve_seconds_of_a_wrong_date_end_no_hold_and_prune_nothing(step: float) -> None:
    hub = Hub(journal_age=timedelta(days=10))
    hub.group("g1", "n1", "n2")
    await hub.start()
    until = hub.clock.now() + timedelta(days=14)
    await hub.coordinator.hold(Hold(scope=ORG, since=hub.clock.now(), by="eva", why="fair", until=until))
    await hub.store.write(Writes(entries=[Entry(at=hub.clock.now(), event="store.recovered")]))
    before = len(await hub.store.journal(JournalQuery(limit=1000)))

    hub.clock.step(step)
    for _ in range(4):
        assert not isinstance(await hub.ask("n1", "g1"), Granted)
        await asyncio.sleep(3)
    hub.clock.step(-step)
    await hub.live("n1", "n2", seconds=7200)

    assert "paused" in codes(await hub.ask("n1", "g1"))
    assert hub.events("hold.ended") == []
    assert len(await hub.store.journal(JournalQuery(limit=1000))) >= before


@in_virtual_time
async def test_a_hold_ends_by_its_date_once_the_date_is_steady_again() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    until = hub.clock.now() + timedelta(hours=1)
    await hub.coordinator.hold(Hold(scope=ORG, since=hub.clock.now(), by="eva", why="fair", until=until))

    hub.clock.step(HOURS_AND_A_HALF)
    await hub.live("n1", "n2", seconds=200)
    assert "paused" in codes(await hub.ask("n1", "g1"))

    await hub.live("n1", "n2", seconds=200)
    assert [entry.facts["why"] for entry in hub.events("hold.ended")] == ["its time is over"]
    assert isinstance(await hub.ask("n1", "g1"), Granted)


@pytest.mark.parametrize("step", some([HOURS_AND_A_HALF, -HOURS_AND_A_HALF, 86_400.0, -86_400.0]))
@in_virtual_time
async def test_a_rest_takes_as_long_whatever_the_date_does(step: float) -> None:
    hub = await upgrading()
    hub.limits = replace(hub.limits, agent_soak_seconds=100.0)
    hub.report("n1", "successful")
    await hub.live("n1", "n2", "n3", seconds=10)

    hub.clock.step(step)
    await hub.live("n1", "n2", "n3", seconds=60)
    assert "soaking" in codes(await hub.ask("n2", "g1"))
    hub.clock.step(-step)
    await hub.live("n1", "n2", "n3", seconds=100)

    assert isinstance(await hub.ask("n2", "g1"), Granted)


@in_virtual_time
async def test_a_person_can_end_a_rest() -> None:
    hub = await upgrading()
    hub.limits = replace(hub.limits, agent_soak_seconds=86_400.0)
    hub.report("n1", "successful")
    await hub.live("n1", "n2", "n3", seconds=40)
    assert "soaking" in codes(await hub.ask("n2", "g1"))

    done = await hub.coordinator.resume("rest:o1/g1", subject=None, reason="looked at it", who="eva")

    assert isinstance(done, Done)
    (emitted,) = hub.events("rest.ended")
    assert (emitted.who, emitted.facts, emitted.node) == ("eva", {"why": "looked at it"}, "o1/n1")
    assert isinstance(await hub.ask("n2", "g1"), Granted)
    assert not isinstance(await hub.coordinator.resume("rest:o1/g1", subject=None, reason="x", who="eva"), Done)


@in_virtual_time
async def test_a_rest_whose_member_has_been_seen_healthy_is_not_ended_again() -> None:
    hub = await upgrading()
    hub.report("n1", "successful")
    await hub.live("n1", "n2", "n3", seconds=hub.limits.agent_soak_seconds + 100)

    done = await hub.coordinator.resume("rest:o1/g1", subject=None, reason="looked at it", who="eva")

    assert isinstance(done, NotDone)
    assert done.text == "no group rests in o1/g1; nothing was changed"
    assert not hub.events("rest.ended")


@in_virtual_time
async def test_an_ordinary_adjustment_of_the_clock_is_no_step() -> None:
    hub = await upgrading()

    for _ in range(100):
        hub.clock.step(0.05)
        await hub.live("n1", "n2", "n3", seconds=10)

    assert hub.events("clock.stepped") == []
    assert held(hub).token == 1


@in_virtual_time
async def test_a_clock_that_stays_a_day_off_keeps_no_lease_forever() -> None:
    """P5: nothing is granted by it, but what has ended is known all the same."""
    hub = await upgrading()

    hub.clock.step(86_400.0)
    await hub.live("n1", "n2", "n3", seconds=60)
    hub.report("n1", "successful")
    await hub.live("n1", "n2", "n3", seconds=40)

    assert hub.lease("g1").state is State.FREE
    assert codes(await hub.ask("n2", "g1"))[0] == "clock-untrusted"


@in_virtual_time
async def test_a_dead_holder_is_found_out_by_a_clock_that_is_a_day_off() -> None:
    hub = await upgrading()

    hub.clock.step(-86_400.0)
    await hub.live("n2", "n3", seconds=4000)

    assert hub.lease("g1").state is State.FREE


class StretchedStore(MemoryStore):
    """Deletes one entry in each stretch."""

    async def prune(self, before: datetime, pace: Pace = at_once, *, turns: SeenTime | None = None) -> int:
        gone = 0
        for entry in [each for each in self._content.entries if each.at < before]:
            self._content.entries.remove(entry)
            gone += 1
            if not await pace(1.0):
                break
        return gone


@in_virtual_time
async def test_a_sweep_ends_when_the_date_steps_and_goes_on_when_it_is_steady() -> None:
    hub = Hub(journal_age=timedelta(days=10), store=StretchedStore())
    hub.group("g1", "n1", "n2")
    await hub.store.open()
    old = Entry(at=hub.clock.now() - timedelta(days=20), event="store.recovered")
    await hub.store.write(Writes(entries=[old] * 60))
    await hub.store.close()

    async def left() -> int:
        return len([entry for entry in await hub.store.journal(JournalQuery(limit=1000)) if entry.at == old.at])

    await hub.start()
    await asyncio.sleep(10)
    before = await left()
    assert 30 < before < 60

    hub.clock.step(7200)
    await hub.live("n1", "n2", seconds=20)
    stopped_at = await left()
    assert before - 10 < stopped_at
    await hub.live("n1", "n2", seconds=400)

    assert await left() == 0


class SlowStore(MemoryStore):
    """A store whose swaps take their time."""

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        await asyncio.sleep(6)
        return await super().swap(expected, new, writes)


@pytest.mark.parametrize("when", [0.5, 3.0, 5.9])
@STEPS
@in_virtual_time
async def test_a_grant_that_is_on_its_way_to_the_store_moves_along_as_well(step: float, when: float) -> None:
    hub = Hub(store=SlowStore())
    hub.group("g1", "n1", "n2")
    hub.group("g2", "m1", "m2")
    hub.report("n1", "successful")
    await hub.start()
    await hub.live("n1", "n2", "m1", "m2", seconds=60)
    # cycles follow each other soon while somebody upgrades
    assert isinstance(await hub.ask("m1", "g2"), Granted)
    before = hub.clock.now()
    asking = asyncio.create_task(hub.ask("n1", "g1"))

    await asyncio.sleep(when)
    hub.clock.step(step)
    await hub.live("n1", "n2", seconds=60)
    await asking

    tenure = held(hub).tenure
    assert tenure is not None
    assert abs((tenure.granted_at - before).total_seconds() - step) < 1
    stored = (await hub.store.load()).leases[held(hub).group]
    assert stored == held(hub)


@pytest.mark.parametrize("when", [0.5, 3.0])
@STEPS
@in_virtual_time
async def test_a_renewal_that_is_on_its_way_to_the_store_moves_along_as_well(step: float, when: float) -> None:
    hub = Hub(store=SlowStore())
    hub.group("g1", "n1", "n2", "n3")
    hub.report("n1", "ha node waiting")
    await hub.start()
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    before = held(hub).tenure
    assert before is not None
    repeated = asyncio.create_task(hub.ask("n1", "g1"))

    await asyncio.sleep(when)
    hub.clock.step(step)
    await hub.live("n1", "n2", "n3", seconds=60)
    await repeated

    tenure = held(hub).tenure
    assert tenure is not None
    assert tenure.granted_at - before.granted_at == timedelta(seconds=step)
    assert tenure.renewed_at > before.renewed_at
