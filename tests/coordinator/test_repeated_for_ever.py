"""A node that writes the same status again every minute does not keep its group's lease forever, nor does one that asks again."""

from __future__ import annotations

import pytest

from agbot.coordinator.permission import Granted
from agbot.rules.lease import State
from agbot.rules.limits import Limits
from tests.support.examples import some
from tests.support.hub import Hub
from tests.support.virtual_time import in_virtual_time

LIMITS = Limits(max_upgrade_seconds=600)


@pytest.mark.parametrize("turns", some(["downloaded, initiated", "initiated", "failed, rollback started"]))
@in_virtual_time
async def test_a_status_written_again_every_minute_becomes_suspect(turns: str) -> None:
    hub = Hub(limits=LIMITS)
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.report("n1", "ha node waiting")
    assert isinstance(await hub.ask("n1", "g1"), Granted)

    statuses = turns.split(", ")
    for minute in range(25):
        hub.report("n1", statuses[minute % len(statuses)])
        await hub.live("n1", "n2", seconds=60)

    assert hub.lease("g1").state is State.SUSPECT
    assert len(hub.events("lease.suspected")) == 1
    await hub.stop()


@in_virtual_time
async def test_nor_do_questions_together_with_reports() -> None:
    hub = Hub(limits=LIMITS)
    hub.group("g1", "n1", "n2")
    await hub.start()

    for _minute in range(25):
        hub.report("n1", "ha node waiting")
        await hub.ask("n1", "g1")
        await hub.live("n1", "n2", seconds=60)

    assert hub.lease("g1").state is State.SUSPECT
    await hub.stop()
