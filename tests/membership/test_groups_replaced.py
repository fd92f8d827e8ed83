"""A group is deleted, or deleted and created again under its name, while a member holds its lease or waits for it."""

from __future__ import annotations

import asyncio

from agbot.fleet.absence import CONFIRM_AFTER
from agbot.rules.lease import State
from agbot.rules.reasons import Cause
from tests.membership.living import CYCLE, GROUP, IDLE_CYCLE, SLOW_INSTALL, TURN, installing, living
from tests.support.hub import NEW, OLD, ORG
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_group_deleted_while_held_frees_the_lease_and_lets_everybody_go_without_asking() -> None:
    async with living(2, habits=SLOW_INSTALL) as hub:
        holder, (other,) = await installing(hub)
        await hub.until(lambda: f"{holder.name} has been upgrading o1/agent" in hub.explains(other), 61)

        hub.fleet.delete_group(ORG, GROUP)
        await asyncio.sleep(CYCLE)

        assert hub.is_free()
        assert hub.ended() is Cause.LEFT_GROUP
        assert [(each.node, each.facts["why"]) for each in await hub.journal("lease.released")] == [
            (holder.name, f"{holder.name} is no longer in o1/g1")
        ]
        assert [each.node for each in await hub.journal("wait.ended")] == [other.name]
        assert "is in no HA group and may upgrade without asking" in hub.explains(holder)
        await hub.until(lambda: other.down_for is not None, 61)
        await hub.until(lambda: hub.runs(NEW, holder, other))
        assert hub.lease(GROUP).token == 1


@in_virtual_time
async def test_a_group_deleted_and_created_again_within_one_poll_of_the_feed_keeps_the_lease_of_its_member() -> None:
    """The feed shows both as `created`. In the incumbent the group was stuck afterwards."""
    async with living(2, habits=SLOW_INSTALL) as hub:
        holder, (other,) = await installing(hub)

        hub.fleet.delete_group(ORG, GROUP)
        hub.fleet.create_group(ORG, GROUP, [holder.spec.id, other.spec.id])
        await asyncio.sleep(CYCLE)

        assert hub.holder() is holder
        assert hub.lease(GROUP).token == 1
        await hub.until(lambda: f"{holder.name} has been upgrading o1/agent" in hub.explains(other), 61)
        assert other.version == OLD
        await hub.until(lambda: hub.runs(NEW, holder, other), 3 * TURN)
        await asyncio.sleep(CYCLE)
        assert await hub.causes() == [(holder.spec.id, "succeeded"), (other.spec.id, "succeeded")]
        assert hub.lease(GROUP).token == 2


@in_virtual_time
async def test_a_group_created_again_within_one_poll_without_the_holder_frees_the_lease() -> None:
    async with living(3, habits=SLOW_INSTALL) as hub:
        holder, others = await installing(hub)

        hub.fleet.delete_group(ORG, GROUP)
        hub.fleet.create_group(ORG, GROUP, [node.spec.id for node in others])
        await asyncio.sleep(CYCLE)

        assert hub.ended() is Cause.LEFT_GROUP
        await hub.until(lambda: hub.holder() in others, 61)
        assert holder.down_for is not None
        await hub.until(lambda: hub.runs(NEW, holder, *others), 3 * TURN)
        assert [token for _, token in await hub.grants()] == [1, 2, 3]


@in_virtual_time
async def test_a_group_created_again_a_poll_later_finds_its_member_in_the_middle_and_defers_it() -> None:
    async with living(2, habits=SLOW_INSTALL) as hub:
        holder, (other,) = await installing(hub)
        hub.fleet.delete_group(ORG, GROUP)
        await asyncio.sleep(CYCLE)
        assert hub.is_free()

        hub.fleet.create_group(ORG, GROUP, [holder.spec.id, other.spec.id])
        await asyncio.sleep(IDLE_CYCLE)

        assert list(hub.deferrals()) == [holder.spec.id]
        assert "its membership is not enforced" in hub.explains(holder)
        await hub.until(lambda: "the only other member is not available" in hub.explains(other), 61)
        assert other.version == OLD
        await hub.until(lambda: hub.runs(NEW, holder, other), 3 * TURN)
        assert await hub.grants() == [
            (holder.spec.id, 1),
            (other.spec.id, 2),
        ]


@in_virtual_time
async def test_a_group_created_again_behind_a_frozen_feed_is_not_stuck() -> None:
    async with living(2, habits=SLOW_INSTALL) as hub:
        holder, (other,) = await installing(hub)
        frozen = hub.freeze()

        hub.fleet.delete_group(ORG, GROUP)
        hub.fleet.create_group(ORG, GROUP, [holder.spec.id, other.spec.id])

        await hub.live(seconds=TURN)  # while it is known to stand still no one begins
        hub.exchange.faults.remove(frozen)
        await hub.until(lambda: hub.runs(NEW, holder, other), 3 * TURN)
        assert [token for _, token in await hub.grants()] == [1, 2]


@in_virtual_time
async def test_a_group_deleted_while_the_coordinator_is_away_is_noticed_at_its_second_look() -> None:
    async with living(2, habits=SLOW_INSTALL) as hub:
        await installing(hub)
        hub.fleet.delete_group(ORG, GROUP)

        await hub.crash()
        await asyncio.sleep(CONFIRM_AFTER.total_seconds() + 2 * CYCLE)

        assert hub.lease(GROUP).state is State.FREE
        assert hub.ended() is Cause.LEFT_GROUP
