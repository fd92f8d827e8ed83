"""A cycle waits for its reads for a moment; what takes longer goes on beside it and is begun once."""

from __future__ import annotations

import asyncio

import pytest

from agbot.coordinator.event_loop import Background
from tests.support.virtual_time import in_virtual_time


class Reads:
    """Reads that take so long, and note their beginnings and ends."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun = self.ended = 0

    async def __call__(self) -> None:
        self.begun += 1
        await asyncio.sleep(self.seconds)
        self.ended += 1


async def seconds_of_a_cycle(background: Background, announced: Reads, due: Reads) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await background.follow(announced=announced, due=due)
    return loop.time() - began


@in_virtual_time
async def test_short_reads_are_waited_for_one_after_the_other() -> None:
    background, announced, due = Background(), Reads(0.2), Reads(0.3)

    assert await seconds_of_a_cycle(background, announced, due) == pytest.approx(0.5)
    assert (announced.ended, due.ended) == (1, 1)


@in_virtual_time
async def test_what_was_announced_is_read_in_every_cycle_while_other_reads_go_on() -> None:
    background, announced, due = Background(), Reads(0.1), Reads(60.0)

    for _ in range(5):
        assert await seconds_of_a_cycle(background, announced, due) == pytest.approx(1.0)

    assert announced.ended == 5
    assert (due.begun, due.ended) == (1, 0)
    await background.stop()


@in_virtual_time
async def test_reads_that_ended_meanwhile_begin_again_in_the_next_cycle() -> None:
    background, announced, due = Background(), Reads(0.0), Reads(1.5)
    await background.follow(announced=announced, due=due)
    await asyncio.sleep(2)

    await background.follow(announced=announced, due=due)

    assert (due.begun, due.ended) == (2, 1)
    await background.stop()


@in_virtual_time
async def test_a_bug_in_reads_beside_the_cycles_is_raised_by_the_next_one() -> None:
    async def fails_late() -> None:
        await asyncio.sleep(1.5)
        raise ZeroDivisionError

    background = Background()
    await background.follow(announced=Reads(0.0), due=fails_late)
    await asyncio.sleep(2)

    with pytest.raises(ZeroDivisionError):
        await background.follow(announced=Reads(0.0), due=fails_late)


@in_virtual_time
async def test_a_failure_of_work_that_was_stopped_is_not_raised_later() -> None:
    async def fails_late() -> None:
        await asyncio.sleep(1.5)
        raise ZeroDivisionError

    background = Background()
    await background.follow(due=fails_late)
    await asyncio.sleep(2)
    await background.stop()
    due = Reads(0.0)
    await background.follow(due=due)

    assert due.ended == 1


@in_virtual_time
async def test_work_that_is_stopped_while_a_cycle_waits_for_it_fails_nothing() -> None:
    background, due = Background(), Reads(60.0)
    cycle = asyncio.create_task(background.follow(due=due))
    await asyncio.sleep(0.5)

    await background.stop()

    await cycle
    assert (due.begun, due.ended) == (1, 0)


@in_virtual_time
async def test_work_is_begun_without_a_wait_unless_it_is_under_way() -> None:
    background, announced = Background(), Reads(0.5)
    background.begin("announced", announced)
    background.begin("announced", announced)
    await asyncio.sleep(1)
    assert (announced.begun, announced.ended) == (1, 1)

    background.begin("announced", announced)
    await asyncio.sleep(0.1)
    assert (announced.begun, announced.ended) == (2, 1)
    await background.stop()


@in_virtual_time
async def test_a_bug_in_work_that_was_begun_without_a_wait_is_raised_by_the_next_cycle() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    background, announced = Background(), Reads(0.0)
    background.begin("announced", fails)
    await asyncio.sleep(1)
    background.begin("announced", announced)

    assert announced.begun == 0
    with pytest.raises(ZeroDivisionError):
        await background.follow(announced=announced)
