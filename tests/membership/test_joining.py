"""A node joins while its own agent upgrade is on its way: before the gate it is a member like any other, past it it is deferred."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agbot.rules.lease import State
from agbot.rules.reasons import Cause
from agbot.rules.records import Deferral
from agbot.sim.habits import Fate, Habits
from agbot.sim.node import SimNode
from tests.membership.living import (
    CYCLE,
    GROUP,
    IDLE_CYCLE,
    OTHER,
    SLOW_INSTALL,
    STEADY,
    TURN,
    Living,
    living,
)
from tests.support.hub import NEW, OLD, ORG
from tests.support.virtual_time import in_virtual_time

SLOW_DOWNLOAD = replace(STEADY, download_seconds=(150.0, 150.0))
SLOW_CRON = replace(STEADY, cron_seconds=300.0, cron_phase=(0.9, 0.9))
SLOW_FAILURE = replace(STEADY, failed_shows_seconds=(100.0, 100.0), rollback_seconds=(100.0, 100.0))
PATIENT = replace(STEADY, ask_seconds=100.0)
"""Of the member that is there before: it asks when the one that joins is past the gate already."""


@in_virtual_time
async def test_a_node_that_joins_while_it_downloads_is_gated_and_goes_in_its_turn() -> None:
    async with living(2, habits=SLOW_INSTALL) as hub:
        late = await hub.add("late", SLOW_DOWNLOAD)
        hub.publish()
        await hub.until_stated(late, "download started")

        hub.join(late)
        await hub.until_stated(late, "ha node waiting")
        await hub.until(lambda: "is waiting to upgrade o1/agent: o1/g1-" in hub.explains(late), 70)

        await hub.until(lambda: hub.runs(NEW, *hub.fleet.nodes.values()), 3 * TURN)
        await asyncio.sleep(CYCLE)
        granted = [node for node, _ in await hub.grants()]
        # the two ask in the same moment
        assert (sorted(granted[:2]), granted[2:]) == (["g1-1", "g1-2"], ["late"])
        assert hub.ended() is Cause.SUCCEEDED
        assert await hub.journal("deferral.begun") == []


@in_virtual_time
async def test_a_node_that_joins_while_it_waits_for_permission_is_gated_by_its_new_group() -> None:
    """An agent waits only in a group: this one is moved between two of its questions."""
    async with living(1, habits=SLOW_INSTALL) as hub:
        await hub.fleet.add_group(ORG, OTHER, 1, habits=SLOW_INSTALL)
        hub.publish()
        await hub.until(lambda: hub.holder() is not None and hub.holder(OTHER) is not None)
        late = await hub.add("late")
        hub.join(late, OTHER)
        await hub.until(lambda: "o1/g2-1 has been upgrading o1/agent" in hub.explains(late))

        hub.leave(late, OTHER)
        hub.join(late)
        await asyncio.sleep(CYCLE)
        assert [each.facts["why"] for each in await hub.journal("wait.ended", group=OTHER)] == [
            "the node has left the group"
        ]
        await hub.until(lambda: "o1/g1-1 has been upgrading o1/agent" in hub.explains(late), 61)

        await hub.until(lambda: hub.runs(NEW, *hub.fleet.nodes.values()), 3 * TURN)
        assert await hub.grants() == [("g1-1", 1), ("late", 2)]
        assert await hub.grants(OTHER) == [("g2-1", 1)]
        assert await hub.journal("deferral.begun") == []


async def joined_at(hub: Living, word: str, habits: Habits, fate: Fate = Fate.SUCCEEDS) -> SimNode:
    """Let a node join the group when it says that word of its own upgrade, and the coordinator look at it."""
    late = await hub.add("late", habits)
    late.fate = fate
    hub.publish()
    await hub.until_stated(late, word)
    hub.join(late)
    await asyncio.sleep(IDLE_CYCLE)
    return late


@pytest.mark.parametrize(("word", "habits"), [("downloaded", SLOW_CRON), ("initiated", SLOW_INSTALL)])
@in_virtual_time
async def test_a_node_that_joins_past_the_gate_is_deferred_until_its_upgrade_has_ended(
    word: str, habits: Habits
) -> None:
    async with living(1, habits=PATIENT) as hub:
        peer, late = hub.node("g1-1"), await joined_at(hub, word, habits)

        assert [(each.node, each.subject, each.facts["status"]) for each in await hub.journal("deferral.begun")] == [
            (late.name, "o1/agent", word)
        ]
        assert hub.explains(late) == (
            "o1/late was in the middle of o1/agent when it joined o1/g1; its membership is not enforced until that "
            f"upgrade has ended ({word} when first seen)."
        )
        assert hub.seen(late).deferred_for == "o1/agent"
        await hub.until(
            lambda: (
                "the only other member is not available, 1 must be (min_available 1): o1/late" in hub.explains(peer)
            ),
            201,
        )

        await hub.until(lambda: late.version == NEW and late.down_for is None)
        await asyncio.sleep(CYCLE)
        assert len(await hub.journal("deferral.ended")) == 1
        assert hub.deferrals() == {}
        assert peer.version == OLD
        await hub.until(lambda: hub.runs(NEW, peer))
        assert await hub.grants() == [("g1-1", 1)]


@in_virtual_time
async def test_a_deferral_is_in_the_store_and_survives_a_crash() -> None:
    async with living(1) as hub:
        late = await joined_at(hub, "initiated", SLOW_INSTALL)
        stored = (await hub.store.load()).of(Deferral)
        assert [(each.node, each.subject, each.status) for each in stored] == [(late.name, "o1/agent", "initiated")]

        await hub.crash()

        assert "not enforced" in hub.explains(late)
        await hub.until_stated(late, "successful")
        await asyncio.sleep(CYCLE)
        assert list((await hub.store.load()).of(Deferral)) == []
        assert len(await hub.journal("deferral.begun")) == len(await hub.journal("deferral.ended")) == 1


@in_virtual_time
async def test_a_member_between_failed_and_its_rollback_is_no_available_peer() -> None:
    """`failed` stands for moments before `rollback started` (A6).

    Then the deferral must not be over, nor look so to a peer.
    """
    async with living(1, habits=replace(PATIENT, ask_seconds=85.0)) as hub:
        late = await joined_at(hub, "initiated", SLOW_FAILURE, Fate.ROLLS_BACK)
        await hub.until_stated(late, "failed")
        await asyncio.sleep(CYCLE)

        await hub.until(lambda: "o1/late (it joined during o1/agent" in hub.explains(hub.node("g1-1")), 86)
        assert hub.says(late) == "failed"
        await hub.until_stated(late, "rollback successful")
        assert hub.lease(GROUP).token == 0
        await asyncio.sleep(CYCLE)
        assert [each.facts["why"] for each in await hub.journal("deferral.ended")] == ["it reports rollback successful"]


@in_virtual_time
async def test_a_node_that_joins_past_the_gate_takes_nothing_from_the_member_that_holds_the_lease() -> None:
    async with living(2, habits=SLOW_INSTALL) as hub:
        hub.publish()
        await hub.until(lambda: hub.holder() is not None)
        first = hub.holder()
        assert first is not None
        other = "g1-2" if first.spec.id == "g1-1" else "g1-1"  # both ask in the same second
        late = await joined_at(hub, "initiated", SLOW_INSTALL)

        assert list(hub.deferrals()) == ["late"]
        assert (hub.lease(GROUP).state, hub.lease(GROUP).token) == (State.HELD, 1)
        await hub.until(lambda: hub.runs(NEW, *hub.fleet.nodes.values()), 3 * TURN)
        await asyncio.sleep(CYCLE)
        assert await hub.grants() == [(first.spec.id, 1), (other, 2)]
        assert late.version == NEW
        assert await hub.causes() == [(first.spec.id, "succeeded"), (other, "succeeded")]


@in_virtual_time
async def test_a_deferred_node_is_gated_for_its_next_upgrade() -> None:
    async with living(1) as hub:
        await joined_at(hub, "downloaded", SLOW_CRON)
        await hub.until(lambda: hub.runs(NEW, *hub.fleet.nodes.values()), 2 * TURN)

        hub.publish("2.33.0")
        await hub.until(lambda: hub.runs("2.33.0", *hub.fleet.nodes.values()), 3 * TURN)

        granted = [node for node, _ in await hub.grants()]
        assert granted.count("late") == 1
        assert granted.count("g1-1") == 2


@in_virtual_time
async def test_a_deferred_node_that_leaves_again_is_forgotten() -> None:
    async with living(1) as hub:
        late = await joined_at(hub, "initiated", SLOW_INSTALL)

        hub.leave(late)
        await asyncio.sleep(CYCLE)

        assert [each.facts["why"] for each in await hub.journal("deferral.ended")] == ["the node has left the group"]
        assert hub.explains(late) == "o1/late is in no HA group and may upgrade without asking."
