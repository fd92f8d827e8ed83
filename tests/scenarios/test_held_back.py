"""A person's word over a rollout that is under way: holds, windows, approvals, and what one allowance lets past."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from agbot.rules.limits import Limits
from agbot.settings.windows import parse
from agbot.sim.habits import Fate
from tests.membership.living import SLOW_INSTALL
from tests.scenarios.rollouts import UP, rollout
from tests.support.examples import thorough
from tests.support.hub import NEW, ORG
from tests.support.virtual_time import in_virtual_time

FIXED = "2.32.1"
TWO = {"g1": 2, "g2": 2}
A_WHILE = 300.0
"""Long enough for everybody to have asked several times."""


@in_virtual_time
async def test_a_held_node_stays_while_its_group_goes_and_goes_when_it_is_resumed() -> None:
    async with rollout() as hub:
        held, *others = hub.members()
        await hub.hold(f"node:{held.name}")
        hub.publish()

        await hub.until(lambda: hub.runs(NEW, *others), 1200)
        await asyncio.sleep(A_WHILE)
        assert held.spec.id not in hub.went()
        assert hub.waits_for(held) == "paused"

        await hub.resume(f"node:{held.name}")
        await hub.until_all()


@in_virtual_time
async def test_a_held_group_stays_while_another_goes_and_goes_when_it_is_resumed() -> None:
    async with rollout(TWO) as hub:
        await hub.hold("o1/g1")
        hub.publish()

        await hub.until_all(NEW, "g2")
        await asyncio.sleep(A_WHILE)
        assert hub.groups_begun() == ["g2"]

        await hub.resume("o1/g1")
        await hub.until_all()


@in_virtual_time
async def test_a_hold_of_an_organisation_with_an_end_ends_by_itself_and_another_organisation_goes_on() -> None:
    async with rollout({"g1": 2, "other": 2}) as hub:
        ends_at = hub.clock.now() + timedelta(seconds=1200)
        await hub.hold(ORG, seconds=1200)
        hub.publish()
        hub.fleet.publish("o2", "agent", NEW)

        await hub.until_all(NEW, "other")
        assert hub.clock.now() < ends_at
        await hub.until_all()

        assert all(one.began_at >= ends_at for one in hub.begun() if one.group == "o1/g1")
        assert [entry.facts["why"] for entry in hub.events("hold.ended")] == ["its time is over"]


@in_virtual_time
async def test_a_hold_in_the_middle_of_an_upgrade_lets_it_end_and_begins_no_other() -> None:
    async with rollout(habits=SLOW_INSTALL) as hub:
        hub.publish()
        await hub.until(lambda: bool(hub.went()))
        first = hub.node(hub.went()[0])
        await hub.hold("*")

        await hub.until(lambda: hub.runs(NEW, first))
        await asyncio.sleep(A_WHILE)
        assert hub.went() == [first.spec.id]

        await hub.resume("*")
        await hub.until_all()


@in_virtual_time
async def test_no_one_begins_outside_the_windows_and_all_are_done_after_the_last_has_opened() -> None:
    """The first window is long enough for one member, and its end stops no one who runs."""
    limits = Limits(windows=(parse("mon 12:20-12:23"), parse("mon 12:50-14:00")))
    async with rollout(limits=limits, habits=SLOW_INSTALL) as hub:
        hub.publish()
        await hub.until_all(closed_seconds=3600)

        first, *others = (one.began_at for one in hub.begun())
        assert at(12, 20) <= first < at(12, 23)
        assert len(others) == 2
        assert all(at(12, 50) <= began < at(14) for began in others)
        ended = hub.begun()[0].ended_at
        assert ended is not None
        assert ended > at(12, 23)


@in_virtual_time
async def test_a_release_waits_for_its_approval_group_by_group_and_the_next_release_for_another() -> None:
    async with rollout(TWO, limits=Limits(approval=True)) as hub:
        hub.publish()
        await asyncio.sleep(A_WHILE)
        assert hub.went() == []
        assert {hub.waits_for(node) for node in hub.members()} == {"not-approved"}

        await hub.approve("o1/g1")
        await hub.until_all(NEW, "g1")
        assert hub.groups_begun() == ["g1"]
        await hub.approve(ORG)
        await hub.until_all()

        hub.publish(FIXED)
        await asyncio.sleep(A_WHILE)
        assert len(hub.went()) == 4
        await hub.approve("*")
        await hub.until_all(FIXED)


@in_virtual_time
async def test_an_allowance_lets_one_member_go_outside_the_window_and_no_one_else() -> None:
    async with rollout(limits=Limits(windows=(parse("mon 13:00-14:00"),))) as hub:
        urgent = hub.members()[1]
        hub.publish()
        await asyncio.sleep(A_WHILE)
        await hub.allow(urgent)

        await hub.until(lambda: hub.runs(NEW, urgent))
        await asyncio.sleep(A_WHILE)
        assert hub.went() == [urgent.spec.id]
        await hub.until_all(closed_seconds=3600)
        assert all(one.began_at >= at(13) for one in hub.begun()[1:])


@in_virtual_time
async def test_an_allowance_lets_one_member_go_although_too_few_others_are_there() -> None:
    async with rollout(limits=Limits(min_available=2)) as hub:
        urgent, waiting, dead = hub.members()
        dead.die()
        await asyncio.sleep(400)
        hub.publish()
        await asyncio.sleep(A_WHILE)
        assert hub.went() == []
        assert hub.waits_for(urgent) == "peers-unavailable"

        await hub.allow(urgent)
        await hub.until(lambda: hub.runs(NEW, urgent))
        await asyncio.sleep(A_WHILE)
        assert hub.went() == [urgent.spec.id]
        dead.come_back()
        await hub.until(lambda: hub.runs(NEW, waiting, dead), 1200)


@in_virtual_time
async def test_an_allowance_lets_one_member_go_past_a_brake_which_stays_for_the_others() -> None:
    async with rollout() as hub:
        hub.publish()
        for node in hub.members():
            node.fate = Fate.ROLLS_BACK
        await hub.until(lambda: bool(hub.events("brake.set")))
        rest = [node for node in hub.members() if node.spec.id not in hub.went()]
        for node in rest:
            node.fate = Fate.SUCCEEDS
        await hub.allow(rest[0])

        await hub.until(lambda: hub.runs(NEW, rest[0]))
        await asyncio.sleep(A_WHILE)
        assert len(hub.went()) == 2
        assert hub.waits_for(rest[1]) == "brake"
        await hub.resume("o1/g1", UP)
        await hub.until(lambda: hub.runs(NEW, rest[1]))


@thorough
@pytest.mark.parametrize("is_dead", [False, True])
def test_an_allowance_never_lets_anybody_past_the_lease(is_dead: bool) -> None:
    @in_virtual_time
    async def story() -> None:
        """A holder that has died is suspect before it is given up: that keeps everybody as well."""
        async with rollout(habits=SLOW_INSTALL) as hub:
            hub.publish()
            await hub.until(lambda: hub.holder() is not None)
            holder = hub.holder()
            assert holder is not None
            await hub.until_stated(holder, "initiated")
            urgent = next(node for node in hub.members() if node is not holder)
            await hub.allow(urgent, seconds=7200)
            if is_dead:
                holder.die()
                await asyncio.sleep(1500)
                assert hub.went() == [holder.spec.id]
                assert hub.waits_for(urgent) == "lease-suspect"
                await hub.until(lambda: hub.waits_for(urgent) == "brake", 1800)
                await hub.allow(urgent)  # the first allowance is from before the failure

            await hub.until(lambda: hub.runs(NEW, urgent), 1800)
            first, mine = hub.begun()[0], next(one for one in hub.begun() if one.node == urgent.name)
            assert first.node == holder.name
            assert is_dead or (first.ended_at is not None and first.ended_at <= mine.began_at)

    story()


def at(hour: int, minute: int = 0) -> datetime:
    """Return a time of the Monday on which every hub begins, at noon."""
    return datetime(2026, 11, 23, hour, minute, tzinfo=UTC)
