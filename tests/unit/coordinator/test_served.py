"""What the real agbot serves: a change that is announced in the middle of a read makes that read none of those after it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import cast

from agbot.coordinator.intake.organisations import _Served
from agbot.exchange.client import ExchangeClient
from agbot.rules.ids import OrgId
from agbot.rules.seen_time import SeenTime
from tests.support.clocks import NOON

NOW = SeenTime(NOON)


class _Lists:
    """The two lists of an agbot, which are shown when the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.reads = 0

    async def served_orgs(self, _agbot: str) -> frozenset[OrgId]:
        self.reads += 1
        await self.gate.wait()
        return frozenset()


async def test_a_change_that_is_announced_in_the_middle_of_a_read_is_read_at_once_after_it() -> None:
    lists = _Lists()
    served = _Served(cast("ExchangeClient", lists), "IBM/real", timedelta(hours=1))
    reading = asyncio.create_task(served.read(NOW))
    await asyncio.sleep(0)

    served.outdate()
    lists.gate.set()
    await reading

    assert "have not been read yet" in served.why_unknown
    await served.read(NOW)
    assert lists.reads == 2
    assert "have been read once" in served.why_unknown
