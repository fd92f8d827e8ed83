"""How soon a group's lease is free after the end of an upgrade: at once by our own part, whoever else takes his time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agbot.sim.handoffs import HandOffs, Origin
from agbot.sim.machine import Asks
from agbot.sim.service_upgrades import GOVERNANCE_SECONDS
from tests.membership.living import CYCLE, Living, living
from tests.observed.upgrading import AFTER, BRISK, deploy, members, serve, serves, unasked, until_observed
from tests.support.hub import NEW
from tests.support.virtual_time import in_virtual_time

MONITOR_SECONDS = 60.0
"""The agbot looks after the agents that it has let go once in this time."""
UNEVEN = replace(BRISK, mail_seconds=(1.5, 10.5), start_seconds=(0.5, 25.0))


async def measured(hub: Living) -> HandOffs:
    """Wait until everything is over, and let the observer know when each lease became free."""
    await hub.until(hub.is_free, 2 * MONITOR_SECONDS)
    observer = hub.fleet.observer
    for entry in hub.emitted:
        if entry.event == "lease.released":
            observer.on_lease_released(str(entry.group), str(entry.node), str(entry.subject), entry.at)
    return observer.handoffs


@in_virtual_time
async def test_the_lease_of_an_agent_that_asked_is_free_within_one_busy_poll_of_its_end() -> None:
    async with living(6) as hub:
        hub.publish()
        await hub.until(lambda: hub.runs(NEW, *members(hub)), 4000)
        took = await measured(hub)

    assert len(took.of(Origin.AGENT_ASKED)) == 6
    assert max(took.of(Origin.AGENT_ASKED)) <= CYCLE


@in_virtual_time
async def test_the_lease_of_a_service_for_which_the_agbot_asked_is_free_when_the_agbot_says_so() -> None:
    async with living(4, habits=UNEVEN, has_agbot=True, shows_rows=True) as hub:
        await serve(hub, *members(hub))
        deploy(hub, AFTER)
        await hub.until(lambda: serves(AFTER, *members(hub)), 4000)
        took = await measured(hub)

    assert len(took.of(Origin.SERVICE_ASKED)) == 4
    assert max(took.of(Origin.SERVICE_ASKED)) <= GOVERNANCE_SECONDS + 1


@in_virtual_time
async def test_the_lease_of_a_service_that_the_agbot_took_down_unasked_is_free_within_one_busy_poll_of_its_rows_end() -> (
    None
):
    async with unasked(5, UNEVEN) as hub:
        deploy(hub, AFTER)
        await hub.until(lambda: serves(AFTER, *members(hub)), 4000)
        took = await measured(hub)

    assert len(took.of(Origin.SERVICE_UNASKED)) == 5
    assert max(took.of(Origin.SERVICE_UNASKED)) > CYCLE, (
        "the rest is the agbot's, whose row goes with its own next look"
    )
    assert max(took.after_row(Origin.SERVICE_UNASKED)) <= CYCLE


@pytest.mark.parametrize("start_seconds", [2.0, 4.0, 6.0, 8.0])
@in_virtual_time
async def test_when_the_row_of_a_service_has_gone_its_node_is_looked_at_although_no_change_reports_of_it(
    start_seconds: float,
) -> None:
    async with unasked(1, replace(BRISK, start_seconds=(start_seconds, start_seconds))) as hub:
        hub.fleet.agbot.governance_seconds = 6.0  # not in step with our own reads
        deploy(hub, AFTER)
        await until_observed(hub)
        await hub.fleet.clock.sleep(4)  # the end of the old agreement is reported, and looked at
        hub.freeze()
        await hub.until(lambda: serves(AFTER, *members(hub)), 400)
        took = await measured(hub)

    assert max(took.after_row(Origin.SERVICE_UNASKED)) <= CYCLE


@in_virtual_time
async def test_the_lease_of_an_agent_that_asked_the_agbot_is_free_within_one_busy_poll_of_its_rows_end() -> None:
    async with living(2, has_agbot=True, shows_rows=True) as hub:
        hub.fleet.redirect_questions(hub.node("g1-1"), Asks.AGBOT)
        hub.publish()
        await hub.until(lambda: hub.runs(NEW, *members(hub)), 4000)
        took = await measured(hub)

    assert len(took.after_row(Origin.AGENT_UNASKED)) == 1
    assert max(took.of(Origin.AGENT_UNASKED)) <= MONITOR_SECONDS + CYCLE
    assert max(took.after_row(Origin.AGENT_UNASKED)) <= CYCLE
