"""Which groups keep the place of a canary."""

from __future__ import annotations

from agbot.coordinator.permission import Granted
from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause
from tests.support.hub import Hub
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_canary_keeps_its_success_if_its_next_member_has_nothing_to_do() -> None:
    hub = Hub(limits=Limits(canary_percent=20))
    for number in range(5):
        hub.group(f"g{number}", f"a{number}", f"b{number}")
    await hub.start()
    for node, status in (("a0", "successful"), ("b0", "no action required")):
        hub.heartbeat("a0")
        hub.heartbeat("b0")
        hub.report(node, "ha node waiting")
        assert isinstance(await hub.ask(node, "g0"), Granted)
        hub.report(node, status)
        await hub.live("a0", "b0", "b1", "b2", seconds=60)
    end = hub.lease("g0").last_end
    assert end is not None
    assert end.cause is Cause.NOTHING_TO_DO

    assert isinstance(await hub.ask("a1", "g1"), Granted)
    assert isinstance(await hub.ask("a2", "g2"), Granted)
    await hub.stop()
