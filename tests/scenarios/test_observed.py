"""An agbot that does not ask, as today's: what it does is seen, and its group goes on afterwards for agents and services alike."""

from __future__ import annotations

import asyncio

from agbot.rules.reasons import Cause
from agbot.sim.habits import Outcome
from agbot.sim.links import Kind
from tests.membership.living import SLOW_INSTALL
from tests.observed.upgrading import SLOW_START
from tests.scenarios.rollouts import rollout
from tests.support.hub import NEW
from tests.support.virtual_time import in_virtual_time

NEW_SERVICE, LATEST = "1.1.0", "1.2.0"


@in_virtual_time
async def test_agents_wait_for_the_service_upgrades_that_are_seen_and_then_all_of_them_go() -> None:
    async with rollout(serves=True, habits=SLOW_START, agbot_asks=False) as hub:
        hub.deploy(NEW_SERVICE)
        await hub.until(lambda: hub.holder() is not None, 120)
        hub.publish()

        await hub.until(lambda: hub.are_at(NEW) and hub.serve(NEW_SERVICE), 3000)
        assert hub.fleet.observer.max_concurrent == 1


@in_virtual_time
async def test_a_policy_published_twice_in_the_middle_reaches_every_member_in_its_last_form() -> None:
    async with rollout(serves=True, habits=SLOW_START, agbot_asks=False) as hub:
        hub.deploy(NEW_SERVICE)
        await hub.until(lambda: hub.holder() is not None, 120)
        hub.deploy(LATEST)

        await hub.until(lambda: hub.serve(LATEST), 3000)
        assert {cause for _, cause in await hub.causes()} == {"succeeded"}


@in_virtual_time
async def test_a_member_that_dies_in_the_middle_returns_to_a_group_that_goes_on() -> None:
    async with rollout(serves=True, habits=SLOW_START, agbot_asks=False, shows_rows=True) as hub:
        hub.deploy(NEW_SERVICE)
        await hub.until(lambda: hub.holder() is not None, 120)
        holder = hub.holder()
        assert holder is not None
        holder.die()
        await hub.until(lambda: hub.ended() is Cause.EXPIRED, 3000)

        holder.come_back()
        await hub.until(lambda: hub.serve(NEW_SERVICE), 1200)


@in_virtual_time
async def test_containers_that_never_start_keep_agents_back_until_the_fix_runs() -> None:
    async with rollout(serves=True, habits=SLOW_INSTALL, agbot_asks=False, shows_rows=True) as hub:
        for node in hub.members():
            node.services.outcomes[NEW_SERVICE] = Outcome.NEVER_STARTS
        hub.deploy(NEW_SERVICE)
        await hub.until(lambda: hub.holder() is not None, 120)
        hub.publish()
        await asyncio.sleep(900)
        assert hub.went() == []
        assert len(set(hub.went(Kind.SERVICE))) == 1

        hub.deploy(LATEST)
        await hub.until(lambda: hub.serve(LATEST) and hub.are_at(NEW), 3000)
