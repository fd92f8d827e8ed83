"""A node is deleted and registered again, moved to another group, or registered with one, in the middle of upgrades."""

from __future__ import annotations

import asyncio

from agbot.rules.reasons import Cause
from agbot.sim.exchange import seed
from agbot.sim.machine import NodeSpec
from agbot.sim.node import SimNode
from tests.membership.living import (
    CYCLE,
    GROUP,
    OTHER,
    SLOW_INSTALL,
    STEADY,
    TURN,
    Living,
    installing,
    living,
)
from tests.support.hub import NEW, OLD, ORG
from tests.support.virtual_time import in_virtual_time


async def register(hub: Living, name: str, group: str) -> SimNode:
    """Do on the wire what `hzn register --ha-group` does: the node, then its group, and only then the agent is configured.

    The group is created with the node if there is none yet, with its name as description; otherwise
    the node is added to it.
    """
    seed.node(hub.exchange, ORG, name, version=OLD, public_key="")
    path = f"/hagroups/{group}"
    if (ORG, group) in hub.exchange.world.groups:
        hub.admin("POST", f"{path}/nodes/{name}")
    else:
        hub.admin("POST", path, {"description": group, "members": [name]})
    return agent_of(hub, name)


def agent_of(hub: Living, name: str) -> SimNode:
    """Switch a machine on; its agent is not configured yet."""
    spec = NodeSpec(org=ORG, id=name, token=seed.token_of(name), version=OLD)
    node = SimNode(spec, hub.fleet._environment, chance=hub.fleet._chance(spec.name), habits=STEADY)  # noqa: SLF001 - its own way configures the agent at once
    hub.fleet.nodes[spec.name] = node
    node.power_on()
    return node


@in_virtual_time
async def test_a_holder_deleted_and_registered_again_frees_the_lease_and_starts_from_the_beginning() -> None:
    async with living(2, habits=SLOW_INSTALL) as hub:
        holder, (other,) = await installing(hub)

        hub.fleet.delete_node(holder)
        await asyncio.sleep(CYCLE)
        assert await hub.causes() == [(holder.spec.id, "node-deleted")]
        again = await register(hub, holder.spec.id, GROUP)
        await again.register()

        await hub.until(lambda: hub.runs(NEW, again, other), 4 * TURN)
        await asyncio.sleep(CYCLE)
        assert [token for _, token in await hub.grants()] == [1, 2, 3]
        assert [cause for _, cause in await hub.causes()] == ["node-deleted", "succeeded", "succeeded"]
        assert await hub.journal("deferral.begun") == []


@in_virtual_time
async def test_a_holder_replaced_within_one_poll_of_the_feed_uses_its_lease_for_the_same_upgrade() -> None:
    """The feed names the last thing only that happened to a node, and here that is the publishing of its key."""
    async with living(2, habits=SLOW_INSTALL) as hub:
        holder, (other,) = await installing(hub)

        hub.fleet.delete_node(holder)
        again = await register(hub, holder.spec.id, GROUP)
        await again.register()

        await hub.until(lambda: hub.runs(NEW, again, other), 4 * TURN)
        await asyncio.sleep(CYCLE)
        assert await hub.grants() == [
            (holder.spec.id, 1),
            (other.spec.id, 2),
        ]
        assert [cause for _, cause in await hub.causes()] == ["succeeded", "succeeded"]


@in_virtual_time
async def test_a_deferred_node_that_is_registered_again_is_deferred_no_more() -> None:
    async with living(2, habits=SLOW_INSTALL) as hub:
        holder, (other,) = await installing(hub)
        hub.leave(holder)
        await asyncio.sleep(CYCLE)
        hub.join(holder)
        await asyncio.sleep(CYCLE)
        assert list(hub.deferrals()) == [holder.spec.id]

        hub.fleet.delete_node(holder)
        again = await register(hub, holder.spec.id, GROUP)
        await again.register()
        await asyncio.sleep(CYCLE)

        assert hub.deferrals() == {}
        await hub.until(lambda: hub.runs(NEW, again, other), 4 * TURN)


@in_virtual_time
async def test_a_holder_moved_to_another_group_frees_the_one_and_is_deferred_in_the_other() -> None:
    async with living(2, habits=SLOW_INSTALL) as hub:
        (peer,) = await hub.fleet.add_group(ORG, OTHER, 1, habits=SLOW_INSTALL)
        peer.stop_agent()
        holder, _ = await installing(hub)
        other = next(node for name, node in sorted(hub.fleet.nodes.items()) if node not in (holder, peer))
        peer.start_agent()

        hub.leave(holder)
        hub.join(holder, OTHER)
        await asyncio.sleep(CYCLE)

        assert hub.ended() is Cause.LEFT_GROUP
        assert list(hub.deferrals(OTHER)) == [holder.spec.id]
        assert hub.explains(holder).startswith(f"{holder.name} was in the middle of o1/agent when it joined o1/g2")
        await hub.until(lambda: hub.holder() is other, 61)
        await hub.until(lambda: f"(min_available 1): {holder.name}" in hub.explains(peer), 130)
        assert hub.lease(OTHER).token == 0

        await hub.until(lambda: hub.runs(NEW, holder, other, peer), 3 * TURN)
        await asyncio.sleep(CYCLE)
        assert await hub.causes() == [(holder.spec.id, "left-group"), (other.spec.id, "succeeded")]
        assert await hub.grants(OTHER) == [("g2-1", 1)]
        assert len(await hub.journal("deferral.ended", group=OTHER)) == 1


@in_virtual_time
async def test_a_node_registered_with_a_new_group_is_gated_by_it_from_its_first_question() -> None:
    async with living(0) as hub:
        hub.publish()
        node = await register(hub, "n1", GROUP)
        await asyncio.sleep(60)
        assert hub.lease(GROUP).token == 0

        await node.register()
        await hub.until(lambda: hub.runs(NEW, node))

        assert await hub.grants() == [("n1", 1)]


@in_virtual_time
async def test_a_node_registered_with_an_existing_group_waits_for_the_member_that_upgrades() -> None:
    async with living(2, habits=SLOW_INSTALL) as hub:
        holder, _ = await installing(hub)

        late = await register(hub, "late", GROUP)
        await late.register()
        await hub.until(lambda: f"{holder.name} has been upgrading o1/agent" in hub.explains(late), 130)

        assert hub.lease(GROUP).token == 1
        await hub.until(lambda: hub.runs(NEW, *hub.fleet.nodes.values()), 4 * TURN)
        assert [token for _, token in await hub.grants()] == [1, 2, 3]
        assert await hub.journal("deferral.begun") == []


@in_virtual_time
async def test_a_member_whose_agent_is_not_configured_yet_is_no_one_to_rely_on() -> None:
    """`hzn register --ha-group` makes the node a member first.

    The Exchange dates its creation as a heartbeat.
    """
    async with living(1) as hub:
        member = hub.node("g1-1")
        late = await register(hub, "late", GROUP)
        hub.publish()

        await hub.until(lambda: "o1/late (its agent is not registered" in hub.explains(member), 130)
        assert hub.lease(GROUP).token == 0

        await late.register()
        await hub.until(lambda: hub.runs(NEW, member, late), 2 * TURN)
        assert [token for _, token in await hub.grants()] == [1, 2]


@in_virtual_time
async def test_a_member_that_was_unregistered_moments_ago_is_no_one_to_rely_on() -> None:
    async with living(2) as hub:
        gone, member = hub.node("g1-1"), hub.node("g1-2")
        await gone.unregister()
        hub.publish()

        await hub.until(lambda: "o1/g1-1 (its agent is not registered" in hub.explains(member), 130)
        assert member.version == OLD
