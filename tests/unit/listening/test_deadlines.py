"""Many deadlines with one timer, in virtual time."""

from __future__ import annotations

import asyncio

from agbot.listening.deadlines import Deadlines
from tests.support.virtual_time import in_virtual_time

SECONDS = 10.0


class One:
    """A connection that notes when it was hung up on."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self.ended_at: float | None = None

    def hang_up(self) -> None:
        self.ended_at = asyncio.get_running_loop().time()
        self._deadlines.end(self)


def timers() -> int:
    loop = asyncio.get_running_loop()
    return sum(not each.cancelled() for each in loop._scheduled)  # type: ignore[attr-defined]  # noqa: SLF001 - the number is the subject


@in_virtual_time
async def test_each_connection_ends_at_its_own_deadline() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop, SECONDS)
    began, ones = loop.time(), [One(deadlines) for _ in range(5)]
    for each in ones:
        deadlines.renew(each)
        await asyncio.sleep(1.5)
    await asyncio.sleep(2 * SECONDS)
    assert [each.ended_at for each in ones] == [began + number * 1.5 + SECONDS for number in range(5)]


@in_virtual_time
async def test_a_renewed_connection_has_the_whole_time_again() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop, SECONDS)
    first, second = One(deadlines), One(deadlines)
    began = loop.time()
    deadlines.renew(first)
    deadlines.renew(second)
    await asyncio.sleep(6)
    deadlines.renew(first)
    await asyncio.sleep(2 * SECONDS)
    assert (first.ended_at, second.ended_at) == (began + 6 + SECONDS, began + SECONDS)


@in_virtual_time
async def test_a_connection_that_has_ended_is_not_hung_up_on_and_its_deadline_is_known() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop, SECONDS)
    gone, left = One(deadlines), One(deadlines)
    began = loop.time()
    deadlines.renew(gone)
    deadlines.renew(left)
    assert deadlines.end(gone) == began + SECONDS
    await asyncio.sleep(2 * SECONDS)
    assert (gone.ended_at, left.ended_at) == (None, began + SECONDS)


@in_virtual_time
async def test_any_number_of_connections_has_one_timer_and_none_has_none() -> None:
    loop = asyncio.get_running_loop()
    deadlines, before = Deadlines(loop, SECONDS), timers()
    ones = [One(deadlines) for _ in range(100)]
    for each in ones:
        deadlines.renew(each)
    assert timers() == before + 1
    await asyncio.sleep(2 * SECONDS)
    assert timers() == before
    deadlines.renew(late := One(deadlines))
    await asyncio.sleep(2 * SECONDS)
    assert late.ended_at is not None
