"""A step of the date while no daemon runs: found by what the store remembers of the Exchange's clock, and taken as any other step."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from agbot.coordinator.permission import Granted
from agbot.rules.lease import State
from tests.clocks.blindness import bad, held, upgrading
from tests.support.examples import some
from tests.support.hub import Hub, codes
from tests.support.virtual_time import in_virtual_time

FIFTY_SIX_YEARS = 56 * 365 * 86_400.0
STEPS = pytest.mark.parametrize("step", [5400.0, -5400.0, -FIFTY_SIX_YEARS])
"""The last one is a clock that has forgotten the date."""
ABSENCES = pytest.mark.parametrize("seconds", some([600.0, 5.0]))


async def away(hub: Hub, seconds: float, step: float) -> None:
    """Kill the daemon, set the date, and start it again."""
    asyncio.get_running_loop().call_later(seconds / 2, hub.clock.step, step)
    await hub.away(seconds)


@STEPS
@ABSENCES
@in_virtual_time
async def test_no_report_from_before_the_grant_becomes_newer_than_it(step: float, seconds: float) -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    hub.report("n1", "successful")
    await hub.start()
    await hub.live("n1", "n2", seconds=60)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    before = held(hub).tenure
    assert before is not None
    await asyncio.sleep(3)

    await away(hub, seconds, step)
    await hub.live("n1", "n2", seconds=60)

    after = held(hub).tenure
    assert after is not None
    assert abs((after.granted_at - before.granted_at).total_seconds() - step) < 2
    assert bad(hub) == []
    assert [round(emitted.facts["seconds"]) for emitted in hub.events("clock.stepped")] == [step]  # type: ignore[call-overload]  # it is a number of seconds
    hub.report("n1", "successful")
    await hub.live("n1", "n2", seconds=40)
    assert hub.lease("g1").state is State.FREE


@STEPS
@ABSENCES
@in_virtual_time
async def test_no_one_expires_by_it(step: float, seconds: float) -> None:
    hub = await upgrading()
    await hub.live(seconds=530)  # the holder has been silent since, and 10 s are left

    await away(hub, seconds, step)
    assert codes(await hub.ask("n2", "g1"))
    await hub.live("n1", "n2", "n3", seconds=60)

    assert held(hub).token == 1
    assert bad(hub) == []


@in_virtual_time
async def test_a_date_that_was_wrong_for_one_run_of_the_daemon_leaves_no_trace() -> None:
    hub = await upgrading()
    before = held(hub).tenure
    assert before is not None

    await away(hub, 60, -FIFTY_SIX_YEARS)
    await hub.live("n1", "n2", "n3", seconds=120)
    assert codes(await hub.ask("n2", "g1"))[0] == "clock-untrusted"
    await away(hub, 60, FIFTY_SIX_YEARS)
    await hub.live("n1", "n2", "n3", seconds=120)

    after = held(hub).tenure
    assert after is not None
    assert abs(after.granted_at - before.granted_at) < timedelta(seconds=4)
    assert codes(await hub.ask("n2", "g1")) == ["lease-held"]
    assert bad(hub) == []


@in_virtual_time
async def test_a_crash_between_a_step_and_its_write_loses_nothing() -> None:
    hub = await upgrading()
    before = held(hub).tenure
    assert before is not None

    hub.clock.step(5400.0)
    hub.coordinator._situation.now()  # noqa: SLF001 - the step is seen
    await hub.crash()
    await hub.live("n1", "n2", "n3", seconds=60)

    after = held(hub).tenure
    assert after is not None
    assert abs((after.granted_at - before.granted_at).total_seconds() - 5400) < 2
