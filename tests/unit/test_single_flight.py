"""One read is shared by all who ask in the same moment (`agbot.single_flight`)."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from agbot.single_flight import SharedRead, SingleFlight
from tests.support.clocks import LoopClock
from tests.support.virtual_time import in_virtual_time


class Looks:
    """Counts the looks; each takes half a second and says its number, or fails."""

    def __init__(self, *, failing: frozenset[int] = frozenset()) -> None:
        self.count = 0
        self._failing = failing

    async def __call__(self) -> int:
        self.count += 1
        mine = self.count
        await asyncio.sleep(0.5)
        if mine in self._failing:
            raise ConnectionError(f"look {mine}")
        return mine


@in_virtual_time
async def test_all_who_ask_in_the_same_moment_share_one_look() -> None:
    looks = Looks()
    shared = SharedRead(looks, LoopClock())

    found = await asyncio.gather(*(shared.fresh() for _ in range(20)))

    assert found == [1] * 20
    assert looks.count == 1


@in_virtual_time
async def test_a_look_serves_for_a_second_from_its_beginning_and_no_longer() -> None:
    looks = Looks()
    shared = SharedRead(looks, LoopClock())
    await shared.fresh()

    await asyncio.sleep(0.5)
    within = await shared.fresh()
    await asyncio.sleep(0.1)
    after = await shared.fresh()

    assert (within, after) == (1, 2)


@in_virtual_time
async def test_a_look_under_way_that_began_too_long_ago_is_not_shared() -> None:
    looks = Looks()
    shared = SharedRead(looks, LoopClock(), max_age_seconds=0.2)
    first = asyncio.ensure_future(shared.fresh())
    await asyncio.sleep(0.3)

    assert await shared.fresh() == 2
    assert await first == 1


@in_virtual_time
async def test_a_failure_is_reported_to_everybody_who_waited_and_the_next_one_looks_again() -> None:
    looks = Looks(failing=frozenset({1}))
    shared = SharedRead(looks, LoopClock())

    outcomes = await asyncio.gather(shared.fresh(), shared.fresh(), return_exceptions=True)

    assert [str(each) for each in outcomes] == ["look 1", "look 1"]
    assert await shared.fresh() == 2


@in_virtual_time
async def test_who_is_cancelled_takes_the_look_from_no_one_else() -> None:
    looks = Looks()
    shared = SharedRead(looks, LoopClock())
    impatient = asyncio.ensure_future(shared.fresh())
    patient = asyncio.ensure_future(shared.fresh())
    await asyncio.sleep(0.1)
    impatient.cancel()

    with pytest.raises(asyncio.CancelledError):
        await impatient
    assert await patient == 1


@in_virtual_time
async def test_a_look_that_fails_when_no_one_waits_any_more_fails_in_silence() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    shared = SharedRead(Looks(failing=frozenset({1})), LoopClock())
    asker = asyncio.ensure_future(shared.fresh())
    await asyncio.sleep(0.1)

    asker.cancel()
    await asyncio.sleep(1)
    del shared, asker
    gc.collect()

    assert complaints == []


@in_virtual_time
async def test_who_looks_at_his_own_pace_looks_in_any_case_and_shares_what_he_finds() -> None:
    looks = Looks()
    shared = SharedRead(looks, LoopClock())
    await shared.fresh()

    assert await shared.again() == 2
    assert await shared.fresh() == 2


@in_virtual_time
async def test_those_who_ask_under_one_key_while_it_is_read_share_that_read_and_later_ones_do_not() -> None:
    looks = Looks()
    flights: SingleFlight[int] = SingleFlight()

    found = await asyncio.gather(*(flights.run(key, looks) for key in ("a", "a", "b", "a")))

    assert found == [1, 1, 2, 1]
    assert await flights.run("a", looks) == 3


@in_virtual_time
async def test_a_read_that_is_stopped_ends_for_everybody_who_waits_for_it() -> None:
    flights: SingleFlight[int] = SingleFlight()
    waiting = [asyncio.ensure_future(flights.run("a", Looks())) for _ in range(2)]
    await asyncio.sleep(0.1)

    await flights.stop()

    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in outcomes)


@in_virtual_time
async def test_a_look_whose_asker_is_cancelled_ends_before_the_next_begins() -> None:
    under_way, at_most = 0, 0

    async def look() -> None:
        nonlocal under_way, at_most
        under_way += 1
        at_most = max(at_most, under_way)
        await asyncio.sleep(5)
        under_way -= 1

    shared = SharedRead(look, LoopClock())
    impatient = asyncio.ensure_future(shared.fresh())
    await asyncio.sleep(2)
    impatient.cancel()
    await asyncio.gather(shared.fresh(), shared.again())

    assert at_most == 1
