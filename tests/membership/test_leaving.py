"""A node leaves its group in the middle: its lease is free within a cycle, its waiting is over, and no one is held up by it."""

from __future__ import annotations

import asyncio

from agbot.rules.reasons import Cause
from agbot.sim.actions import Act, Action
from agbot.sim.episodes import Excuse
from tests.membership.living import CYCLE, GROUP, SLOW_INSTALL, TURN, installing, living
from tests.support.hub import NEW, OLD, ORG
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_holder_that_leaves_gives_its_lease_back_within_a_cycle_and_the_next_member_goes() -> None:
    async with living(3, habits=SLOW_INSTALL) as hub:
        leaver, others = await installing(hub)

        hub.leave(leaver)
        await asyncio.sleep(CYCLE)

        assert hub.is_free()
        assert hub.ended() is Cause.LEFT_GROUP
        assert await hub.causes() == [(leaver.spec.id, "left-group")]
        assert hub.explains(leaver) == f"{leaver.name} is in no HA group and may upgrade without asking."
        await hub.until(lambda: hub.holder() in others, 61)
        assert leaver.down_for is not None

        await hub.until(lambda: hub.runs(NEW, leaver, *others), 3 * TURN)
        assert [token for _, token in await hub.grants()] == [1, 2, 3]
        assert [each.excuse for each in hub.fleet.observer.episodes if each.node == leaver.name] == [Excuse.LEFT]


@in_virtual_time
async def test_a_lease_that_was_left_is_given_back_though_the_feed_is_frozen() -> None:
    """Then not within a cycle, but with the second reading of the holder without its group: the first one comes after 30 s at most."""
    async with living(2, habits=SLOW_INSTALL) as hub:
        leaver, _ = await installing(hub)
        hub.freeze()

        hub.leave(leaver)
        await asyncio.sleep(30 + CYCLE)
        assert hub.ended() is None

        await asyncio.sleep(10 + CYCLE)
        assert hub.ended() is Cause.LEFT_GROUP


@in_virtual_time
async def test_a_waiter_that_leaves_goes_ahead_without_asking_and_waits_no_more() -> None:
    async with living(3, habits=SLOW_INSTALL) as hub:
        actions: list[Action] = []
        hub.fleet.subscribe(actions.append)
        holder, (waiter, other) = await installing(hub)
        await hub.until(lambda: f"{holder.name} has been upgrading o1/agent" in hub.explains(waiter), 61)
        began = len(actions)

        hub.leave(waiter)
        await asyncio.sleep(CYCLE)
        assert [(each.node, each.facts["why"]) for each in await hub.journal("wait.ended")] == [
            (waiter.name, "the node has left the group")
        ]
        assert hub.explains(waiter) == f"{waiter.name} is in no HA group and may upgrade without asking."

        await hub.until(lambda: waiter.down_for is not None, 61)
        assert hub.holder() is holder
        await hub.until(lambda: hub.runs(NEW, waiter))
        assert [each.act for each in actions[began:] if each.node == waiter.name] == [Act.DOWN, Act.UP]
        await hub.until(lambda: hub.runs(NEW, holder, other), 2 * TURN)
        assert await hub.grants() == [
            (holder.spec.id, 1),
            (other.spec.id, 2),
        ]


@in_virtual_time
async def test_a_holder_that_leaves_and_comes_back_in_the_middle_is_deferred_and_does_not_get_its_lease_back() -> None:
    async with living(2, habits=SLOW_INSTALL) as hub:
        holder, (other,) = await installing(hub)
        hub.leave(holder)
        await asyncio.sleep(CYCLE)

        hub.join(holder)
        await asyncio.sleep(CYCLE)

        assert list(hub.deferrals()) == [holder.spec.id]
        assert hub.is_free()
        await hub.until(lambda: "the only other member is not available" in hub.explains(other), 61)
        assert other.version == OLD
        await hub.until(lambda: hub.runs(NEW, holder, other), 3 * TURN)
        await asyncio.sleep(CYCLE)
        assert [token for _, token in await hub.grants()] == [1, 2]
        assert await hub.causes() == [(holder.spec.id, "left-group"), (other.spec.id, "succeeded")]
        assert hub.fleet.observer.max_concurrent_by_group[f"{ORG}/{GROUP}"] == 1


@in_virtual_time
async def test_a_holder_that_leaves_and_comes_back_within_one_poll_of_the_feed_keeps_its_lease() -> None:
    """The group's list says that it is a member, as it was."""
    async with living(2, habits=SLOW_INSTALL) as hub:
        holder, (other,) = await installing(hub)

        hub.leave(holder)
        hub.join(holder)
        await asyncio.sleep(CYCLE)

        assert hub.holder() is holder
        assert hub.lease(GROUP).token == 1
        assert hub.deferrals() == {}
        await hub.until(lambda: hub.runs(NEW, holder, other), 3 * TURN)
        await asyncio.sleep(CYCLE)
        assert await hub.causes() == [(holder.spec.id, "succeeded"), (other.spec.id, "succeeded")]
