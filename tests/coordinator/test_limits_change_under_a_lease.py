"""Limits that change while a lease is held hold at once, also for that lease."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agbot.coordinator.permission import Granted
from agbot.rules.ids import group_id
from agbot.rules.lease import State
from agbot.rules.limits import Limits
from tests.support.examples import some
from tests.support.hub import NEW, OLD, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

LONG = Limits(lease_seconds=1500, max_upgrade_seconds=7200, dead_after_seconds=7200)


async def installing(hub: Hub) -> Hub:
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.report("n1", "ha node waiting")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", seconds=60)
    return hub


@in_virtual_time
async def test_a_shorter_lease_is_shorter_for_whoever_holds_one_and_is_shown_so() -> None:
    hub = await installing(Hub(limits=LONG))
    await hub.live("n2", seconds=400)
    hub.coordinator.set_limits(lambda _group: replace(LONG, lease_seconds=300))

    view = hub.coordinator.group(group_id(ORG, "g1"))
    assert view is not None
    assert view.lease.expires_at is not None
    assert view.lease.expires_at < hub.clock.now()
    await hub.live("n2", seconds=70)

    assert hub.lease("g1").state is State.SUSPECT
    await hub.stop()


@in_virtual_time
async def test_a_longer_one_holds_from_the_next_sign_of_life_on() -> None:
    hub = await installing(Hub(limits=replace(LONG, lease_seconds=300)))
    hub.coordinator.set_limits(lambda _group: LONG)
    await hub.live("n1", "n2", seconds=120)
    hub.report("n1", "downloaded")
    await hub.live("n2", seconds=1200)

    assert hub.lease("g1").state is State.HELD
    await hub.stop()


@pytest.mark.parametrize(
    ("before", "after", "seconds"),
    some(
        [
            (LONG, replace(LONG, max_upgrade_seconds=900, lease_seconds=300), 1800),
            (replace(LONG, lease_seconds=300), replace(LONG, lease_seconds=300, max_upgrade_seconds=900), 1500),
        ],
        first=1,
    ),
)
@in_virtual_time
async def test_a_shorter_longest_upgrade_is_one_for_the_upgrade_under_way(
    before: Limits, after: Limits, seconds: float
) -> None:
    hub = await installing(Hub(limits=before))
    hub.coordinator.set_limits(lambda _group: after)
    await hub.live("n1", "n2", seconds=seconds)

    assert hub.lease("g1").state is State.SUSPECT
    await hub.stop()


@in_virtual_time
async def test_a_shorter_time_for_the_version_holds_for_whoever_is_waited_for() -> None:
    hub = await installing(Hub(limits=LONG))
    hub.report("n1", "successful", target=NEW, runs=OLD)
    hub.report("n2", "ha node waiting")
    await hub.live("n1", "n2", seconds=120)
    assert codes(await hub.ask("n2", "g1")) == ["soaking"]
    hub.coordinator.set_limits(lambda _group: replace(LONG, version_proof_seconds=60))
    await hub.live("n1", "n2", seconds=60)

    assert codes(await hub.ask("n2", "g1")) == ["brake"]
    await asyncio.sleep(0)
    await hub.stop()
