"""Rollouts over a living hub whose ends are estimated, kept in the journal, and compared with what happened."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from agbot.console.page.estimates import Estimates
from agbot.console.page.rollouts import Rollouts
from agbot.console.page.standing import Summary
from agbot.coordinator.operations import Operations
from agbot.events.rollouts import RolloutEnded, RolloutExpected
from agbot.rules.limits import Limits
from agbot.sim.exchange import seed
from agbot.store.contract import JournalQuery, StoreUnavailableError
from tests.membership.living import STEADY
from tests.scenarios.rollouts import TURN, Rollout, rollout
from tests.support.hub import ORG, Hub
from tests.support.virtual_time import in_virtual_time

_GROUPS = {f"g{number:02}": 1 for number in range(16)}
_HABITS = replace(STEADY, install_seconds=(30.0, 120.0))


async def follow(hub: Rollout, operations: Operations) -> Rollouts:
    """Look once a minute, as the daemon does, until every group is done and the end is noted."""
    rollouts = Rollouts(operations)
    estimates = Estimates(operations, rollouts, hub.clock)
    for _ in range(int(TURN)):
        await hub.fleet.clock.sleep(60)
        await estimates.look(hub.clock.now())
        if (await rollouts.chronicler.current()).ended:
            return rollouts
    raise AssertionError("the end was not noted")


@in_virtual_time
async def test_the_estimates_of_a_rollout_are_kept_and_its_end_is_compared_with_them() -> None:
    async with rollout(_GROUPS, limits=Limits(max_groups_in_org=3), habits=_HABITS) as hub:
        hub.publish()

        rollouts = await follow(hub, hub.coordinator)

        entries = await hub.store.journal(JournalQuery(after=0, events=("rollout.expected", "rollout.ended"), limit=99))
        kept = [each for each in (entry.read() for entry in entries) if isinstance(each, RolloutExpected)]
        end = entries[-1].read()
        assert isinstance(end, RolloutEnded)
        assert [4 * each.done // (each.done + each.remaining) for each in kept] == [1, 2, 3]
        assert (end.done, end.left, end.later) == (16, 0, 2)
        assert (end.earliest, end.latest) == (kept[0].earliest, kept[0].latest)
        released = [
            entry.at for entry in await hub.store.journal(JournalQuery(after=0, events=("lease.released",), limit=99))
        ]
        assert abs((end.ended_at - max(released)).total_seconds()) < 1
        assert end.held, "a steady pace ends as it was expected"
        assert rollouts.accuracy.in_words().startswith("The last rollout ended within its first interval")

        # once noted, it is not noted again, and a program that starts then knows it as well
        again = Rollouts(hub.coordinator)
        await Estimates(hub.coordinator, again, hub.clock).look(hub.clock.now())
        await again.chronicler.current()
        assert again.chronicler.chronicle.ended == rollouts.chronicler.chronicle.ended


@in_virtual_time
async def test_a_rollout_in_which_nothing_has_happened_since_the_last_look_is_not_summarised_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with rollout(_GROUPS, limits=Limits(max_groups_in_org=3), habits=_HABITS) as hub:
        hub.publish()
        await hub.fleet.clock.sleep(480)  # until enough groups have ended for an estimate
        rollouts, summarised = Rollouts(hub.coordinator), 0
        estimates, summary = Estimates(hub.coordinator, rollouts, hub.clock), rollouts.summary

        async def counted(*args: Any) -> Summary:
            nonlocal summarised
            summarised += 1
            return await summary(*args)

        monkeypatch.setattr(rollouts, "summary", counted)
        for _ in range(3):
            await estimates.look(hub.clock.now())
        assert summarised == 1
        await hub.fleet.clock.sleep(300)
        await estimates.look(hub.clock.now())
        assert summarised == 2


@in_virtual_time
async def test_questions_are_answered_between_two_rollouts_that_are_estimated() -> None:
    hub, policies = Hub(), [f"up{number}" for number in range(2, 9)]
    hub.group("g1", "n1", "n2")
    await hub.start()
    for policy in policies:
        seed.management_policy(hub.exchange, ORG, policy)
        await hub.ask("n1", "g1", policy)
    estimates, turns = Estimates(hub.coordinator, Rollouts(hub.coordinator), hub.clock), 0

    async def answer() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    answering = asyncio.create_task(answer())
    await estimates.look(hub.clock.now())
    answering.cancel()

    assert len(hub.coordinator.subjects()) == len(policies)
    assert turns >= 2 * len(policies), "the journal is read in about one turn for each of these few"
    await hub.stop()


@in_virtual_time
async def test_a_rollout_whose_estimate_could_not_be_written_is_followed_at_the_next_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was taken for seen, and nothing was kept of it until something else happened."""
    async with rollout(_GROUPS, limits=Limits(max_groups_in_org=3), habits=_HABITS) as hub:
        hub.publish()
        await hub.fleet.clock.sleep(480)  # until enough groups have ended for an estimate
        rollouts, asked = Rollouts(hub.coordinator), 0
        estimates, summary = Estimates(hub.coordinator, rollouts, hub.clock), rollouts.summary

        async def failing_once(*args: Any) -> Summary:
            nonlocal asked
            asked += 1
            if asked == 1:
                raise StoreUnavailableError("disk full")
            return await summary(*args)

        monkeypatch.setattr(rollouts, "summary", failing_once)
        with pytest.raises(StoreUnavailableError):
            await estimates.look(hub.clock.now())
        await estimates.look(hub.clock.now())

        assert asked == 2


@in_virtual_time
async def test_a_rollout_of_which_too_few_groups_have_ended_is_not_summarised(monkeypatch: pytest.MonkeyPatch) -> None:
    async with rollout(_GROUPS, limits=Limits(max_groups_in_org=3), habits=_HABITS) as hub:
        hub.publish()
        await hub.fleet.clock.sleep(120)
        rollouts = Rollouts(hub.coordinator)
        monkeypatch.setattr(rollouts, "summary", None)  # fails if it is called

        await Estimates(hub.coordinator, rollouts, hub.clock).look(hub.clock.now())

        (record,) = rollouts.chronicler.chronicle.rollouts.values()
        assert record.begun
