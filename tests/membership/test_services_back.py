"""What ends the deferral of a node whose service was down when it joined, and whose agreement ended without any deferral."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agbot.sim.habits import Outcome
from agbot.sim.node import SimNode
from tests.membership.living import CYCLE, IDLE_CYCLE, TURN, Living, living
from tests.membership.serving import (
    AFTER,
    BEFORE,
    LOOK,
    QUICK_START,
    deploy,
    ends,
    joined_in_the_middle,
    serves,
    serving,
    until_down,
)
from tests.support.hub import NEW
from tests.support.virtual_time import in_virtual_time

AGREEMENTS = ("GET", "/orgs/{org}/nodes/{node}/agreements")


@in_virtual_time
async def test_a_service_that_was_taken_away_for_good_does_not_defer_forever() -> None:
    async with living(1, has_agbot=True) as hub:
        late = await serving(hub)
        await hub.fleet.agbot.drop_agreements(late.name)
        await until_down(hub, late)
        hub.join(late)
        await hub.live(seconds=590)
        assert list(hub.deferrals()) == ["late"]

        await asyncio.sleep(20)

        assert await ends(hub) == ["no new agreement was seen running within 600 s"]
        assert hub.seen(late).available


@in_virtual_time
async def test_a_release_that_never_starts_defers_until_the_version_before_runs_again() -> None:
    async with living(1, has_agbot=True) as hub:
        late = await serving(hub, QUICK_START)
        late.services.outcomes[AFTER] = Outcome.NEVER_STARTS
        deploy(hub, AFTER, BEFORE)
        await until_down(hub, late)
        hub.join(late)

        await hub.until(lambda: serves(late, BEFORE), 300)
        assert list(hub.deferrals()) == ["late"]
        await asyncio.sleep(LOOK)
        assert await ends(hub) == ["it runs o1/svc 1.0.0"]


async def _leave(hub: Living, node: SimNode) -> None:
    hub.leave(node)


async def _unregister(_hub: Living, node: SimNode) -> None:
    await node.unregister()


async def _delete(hub: Living, node: SimNode) -> None:
    hub.fleet.delete_node(node)


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (_leave, "the node has left the group"),
        (_unregister, "the node has unregistered"),
        (_delete, "the node is gone"),
    ],
    ids=["leaves", "is unregistered", "is deleted"],
)
@in_virtual_time
async def test_a_deferral_ends_with_its_node(act: Callable[[Living, SimNode], Awaitable[None]], why: str) -> None:
    async with living(1, has_agbot=True) as hub:
        late = await joined_in_the_middle(hub)

        await act(hub, late)
        await asyncio.sleep(CYCLE)

        assert await ends(hub) == [why]


@in_virtual_time
async def test_a_node_whose_upgrade_was_over_when_it_joined_is_looked_at_once_and_not_deferred() -> None:
    async with living(1, has_agbot=True) as hub:
        late = await serving(hub, QUICK_START)
        deploy(hub, AFTER)
        await hub.until(lambda: serves(late, AFTER), 60)
        await asyncio.sleep(IDLE_CYCLE)
        before = hub.transport.requests.copy()

        hub.join(late)
        await hub.live(seconds=120)

        assert await hub.journal("deferral.begun") == []
        assert (hub.transport.requests - before)[AGREEMENTS] == 1


@in_virtual_time
async def test_a_node_that_joins_in_peace_costs_no_look_at_its_agreements() -> None:
    async with living(1, has_agbot=True) as hub:
        late = await serving(hub)

        hub.join(late)
        await hub.live(seconds=120)

        assert await hub.journal("deferral.begun") == []
        assert hub.transport.requests[AGREEMENTS] == 0


@in_virtual_time
async def test_a_node_that_was_unregistered_before_it_joined_is_not_in_the_middle_of_anything() -> None:
    """`hzn unregister`, then `hzn register --ha-group`: its agreements ended, but for no upgrade."""
    async with living(1, has_agbot=True) as hub:
        late = await serving(hub)
        await late.unregister()
        await asyncio.sleep(IDLE_CYCLE)

        hub.join(late)
        await asyncio.sleep(IDLE_CYCLE)
        assert hub.seen(late).why_unavailable == "its agent is not registered"
        await late.register()
        hub.publish()
        await hub.until(lambda: hub.runs(NEW, hub.node("g1-1"), late), 2 * TURN)

        assert await hub.journal("deferral.begun") == []
