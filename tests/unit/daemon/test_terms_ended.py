"""What an end of a term leaves running is waited for by the next beginning."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from agbot.console.metrics import Metrics
from agbot.daemon.context import Context
from agbot.daemon.notify import Notifier
from agbot.daemon.working import Working
from agbot.delivery.sinks import Deliveries
from tests.support.clocks import LoopClock
from tests.support.virtual_time import in_virtual_time


class SlowToEnd:
    """Estimates that take a second to end, as a sink does that says goodbye to its broker."""

    def __init__(self) -> None:
        self.ended_at: float | None = None

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)
            self.ended_at = asyncio.get_running_loop().time()


@in_virtual_time
async def test_a_task_that_an_abandoned_end_was_waiting_for_has_ended_before_the_next_term_begins() -> None:
    slow, context = SlowToEnd(), Context(clock=LoopClock(), notifier=Notifier({}), handles_signals=False)
    nothing = cast("Any", None)
    working = Working(nothing, cast("Deliveries", nothing), Metrics(), context, estimates=cast("Any", slow))
    working._tasks.append(asyncio.create_task(working._estimate()))  # noqa: SLF001 - one of its tasks, without the others
    await asyncio.sleep(0)
    ending = asyncio.create_task(working.cancel())
    await asyncio.sleep(0.5)
    ending.cancel()  # the database did not answer in time, with which the term ended
    await asyncio.gather(ending, return_exceptions=True)
    assert slow.ended_at is None

    await working.cancel()

    assert slow.ended_at is not None
