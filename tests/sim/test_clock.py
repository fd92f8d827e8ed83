"""The clocks that a simulated hub runs on: its own, and those of the tests."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from agbot.sim.clock import ScaledClock
from tests.support.clocks import HandClock, LoopClock

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_scaled_clock_runs_so_many_times_faster_than_the_loop() -> None:
    clock, loop = ScaledClock(speed=1000, epoch=EPOCH), asyncio.get_running_loop()
    started = loop.time()
    await clock.sleep(100)
    took = loop.time() - started
    assert took >= 0.1
    assert clock.now() - EPOCH >= timedelta(seconds=100)


@pytest.mark.parametrize("speed", [0, -1])
def test_time_cannot_stand_still_or_run_backwards(speed: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        ScaledClock(speed=speed)


@pytest.mark.looptime(start=0)
async def test_a_loop_clock_passes_hours_of_a_virtual_loop() -> None:
    clock = LoopClock(epoch=EPOCH)
    await clock.sleep(7200)
    assert clock.now() == EPOCH + timedelta(hours=2)


async def test_a_hand_clock_is_moved_by_whoever_sleeps() -> None:
    clock = HandClock(EPOCH)
    await clock.sleep(90)
    clock.advance(30)
    assert clock.now() == EPOCH + timedelta(minutes=2)
    clock.set(EPOCH)
    assert clock.now() == EPOCH
