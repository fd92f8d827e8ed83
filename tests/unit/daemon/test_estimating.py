"""A bug in the estimates of rollouts is logged, and the daemon goes on."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from structlog.testing import capture_logs

from agbot.console.metrics import Metrics
from agbot.daemon.context import Context
from agbot.daemon.notify import Notifier
from agbot.daemon.working import Working
from agbot.delivery.sinks import Deliveries
from tests.support.clocks import HandClock
from tests.support.patience import PATIENCE_SECONDS


class Broken:
    """Estimates that fail twice, and then wait."""

    def __init__(self) -> None:
        self.runs = 0
        self.waits = asyncio.Event()

    async def run(self) -> None:
        self.runs += 1
        if self.runs < 3:
            raise ZeroDivisionError("a bug")
        self.waits.set()
        await asyncio.Event().wait()


async def test_a_bug_in_the_estimates_is_logged_and_does_not_end_the_daemon() -> None:
    broken, context = Broken(), Context(clock=HandClock(), notifier=Notifier({}), handles_signals=False)
    nothing = cast("Any", None)
    working = Working(nothing, cast("Deliveries", nothing), Metrics(), context, estimates=cast("Any", broken))

    with capture_logs() as lines:
        task = asyncio.create_task(working._estimate())  # noqa: SLF001 - one of its tasks
        await asyncio.wait_for(broken.waits.wait(), PATIENCE_SECONDS)
        task.cancel()

    assert broken.runs == 3
    assert [line["event"] for line in lines] == ["estimates.failed", "estimates.failed"]
