"""Long work lets the event loop go on after a few milliseconds, and short work does not wait."""

from __future__ import annotations

import asyncio

from agbot.coordinator.event_loop import Slices
from tests.support.virtual_time import VirtualLoop, in_virtual_time


async def others_run_during(steps: int, step_seconds: float) -> int:
    """Return how often another task ran while so many steps of work were done, each this long."""
    runs = 0

    async def other() -> None:
        nonlocal runs
        while True:
            runs += 1
            await asyncio.sleep(0)

    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    task, slices = asyncio.create_task(other()), Slices()
    for _ in range(steps):
        loop.freeze(step_seconds)
        await slices.end()
    task.cancel()
    return runs


@in_virtual_time
async def test_work_of_a_second_is_cut_into_slices_of_a_few_milliseconds() -> None:
    assert 100 <= await others_run_during(1000, 0.001) <= 250


@in_virtual_time
async def test_work_within_one_slice_is_not_cut() -> None:
    assert await others_run_during(3, 0.001) == 0
