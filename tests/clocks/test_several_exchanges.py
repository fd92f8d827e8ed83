"""Several Exchanges on one database, of which each has a clock of its own: what they stamp differs, and nothing follows from it."""

from __future__ import annotations

import pytest

from agbot.coordinator.permission import Granted
from agbot.rules.lease import State
from agbot.sim.faults import Fault, FaultKind
from tests.support.examples import some
from tests.support.hub import Hub
from tests.support.virtual_time import in_virtual_time

NODES = ("n1", "n2", "n3")


@pytest.mark.parametrize("seconds", some([-25.0, 1.5, 25.0, 90.0]))
@in_virtual_time
async def test_a_rollout_goes_on_one_member_at_a_time_while_every_other_answer_has_another_clock(
    seconds: float,
) -> None:
    hub = Hub()
    hub.group("g1", *NODES)
    hub.exchange.faults.add(Fault(kind=FaultKind.SKEW, seconds=seconds, rate=0.5))
    await hub.start()
    for number, node in enumerate(NODES):
        hub.report(node, "ha node waiting")
        while not isinstance(await hub.ask(node, "g1"), Granted):
            await hub.live(*NODES, seconds=20)
        hub.report(node, "initiated")
        for _ in range(6):
            await hub.live(*NODES, seconds=20)
            for other in NODES[number + 1 :]:
                assert not isinstance(await hub.ask(other, "g1"), Granted)
        hub.report(node, "successful")
        while hub.lease("g1").state is not State.FREE:
            await hub.live(*NODES, seconds=5)
    assert [entry.event for entry in hub.emitted if entry.event in {"lease.suspected", "brake.set"}] == []
    await hub.stop()
