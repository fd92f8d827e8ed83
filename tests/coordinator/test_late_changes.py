"""Changes that become visible late, in the wrong order, or never: what the coordinator makes of a feed that is not tidy."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from agbot.coordinator.permission import Granted
from agbot.exchange.transport import Reply
from agbot.rules.lease import State
from agbot.rules.reasons import Cause
from agbot.settings.model import ExchangeSettings
from agbot.sim.faults import Fault, FaultKind
from tests.support.hub import AGBOT, Hub
from tests.support.virtual_time import in_virtual_time

SETTINGS = ExchangeSettings(url="http://exchange/v1", identity=f"IBM/{AGBOT}", heartbeat_seconds=3600)
"""Nothing is read but what the feed reports of: a lost change would stay lost for an hour."""


@dataclass
class Sizes:
    """Counts the bytes of the feed's answers."""

    seen: list[int] = field(default_factory=list)

    def __call__(self, method: str, path: str, reply: Reply) -> Reply:
        if method == "POST" and path.endswith("/changes"):
            self.seen.append(len(reply.body))
        return reply


@pytest.mark.parametrize(("seconds", "later"), [(3.0, 5), (15.0, 5), (45.0, 5), (20.0, 1000)])
@in_virtual_time
async def test_the_end_of_an_upgrade_whose_row_is_committed_late_is_not_lost(seconds: float, later: int) -> None:
    hub = Hub(settings=SETTINGS)
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.heartbeat("n2")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "initiated")
    await asyncio.sleep(5)
    hub.exchange.faults.add(Fault(kind=FaultKind.LATE, seconds=seconds, rate=1.0))

    hub.report("n1", "successful")
    await asyncio.sleep(1)
    for _later in range(later):
        hub.admin("PATCH", "/nodes/n2", {"pattern": ""})
    await asyncio.sleep(seconds + (4 if later < 500 else 19))

    assert hub.lease("g1").state is State.FREE
    end = hub.lease("g1").last_end
    assert end is not None
    assert end.cause is Cause.SUCCEEDED
    await hub.stop()


@in_virtual_time
async def test_an_idle_feed_is_small_a_minute_after_a_burst() -> None:
    hub = Hub()
    for number in range(500):
        hub.group(f"g{number}", f"a{number}", f"b{number}")
    hub.transport.spoil = sizes = Sizes()
    await hub.start()
    await asyncio.sleep(120)
    assert max(sizes.seen) > 50_000
    sizes.seen.clear()

    await asyncio.sleep(1200)

    assert sorted(sizes.seen)[-5] < 1_000  # but for a look back now and then
    assert sum(sizes.seen) / len(sizes.seen) < 20_000
    await hub.stop()


@in_virtual_time
async def test_an_idle_feed_costs_ten_kilobytes_a_minute_at_most_after_a_burst_of_a_thousand_rows() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await asyncio.sleep(120)
    for _change in range(1000):
        hub.admin("PATCH", "/nodes/n1", {"pattern": ""})
    await asyncio.sleep(120)
    hub.transport.spoil = sizes = Sizes()

    await asyncio.sleep(3600)

    assert max(sizes.seen) > 20_000  # it does look back
    assert sum(sizes.seen) / 60 < 10_000
    await hub.stop()
