"""Writes the waiters that have changed, and drops those that no longer wait."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from typing import Final

from agbot.coordinator.attention import Attention
from agbot.coordinator.memory.waiting import Waiting
from agbot.coordinator.situation import Situation
from agbot.coordinator.slices import Slices
from agbot.rules.ids import GroupId
from agbot.rules.order import silence
from agbot.store.records import Key
from agbot.transitions import waiters
from agbot.transitions.change import Change

_WRITTEN_TOGETHER: Final = 32
"""How many waiters are written in one transaction: some milliseconds of work, between which
questions are answered."""


class Waiters:
    """Runs once in every cycle, beside the reviews."""

    def __init__(self, situation: Situation, attention: Attention, waiting: Waiting) -> None:
        self._situation = situation
        self._attention = attention
        self._waiting = waiting

    async def write(self) -> None:
        """Write what is new, and check the groups that are due for waiters that have gone."""
        situation, schedule = self._situation, self._attention.waiting
        self._attention.gather()
        waited_in = situation.ledger.tally.waited_in
        due = [group for group in schedule.take(situation.now().seen) if group in waited_in]
        left = await self._left(due)
        situation.troubles.keep("waiters", ChainMap({GroupId(""): None}, waited_in))
        try:
            while keys := self._waiting.unwritten():
                await self._write_new(keys)
                if not self._waiting.has_many:  # otherwise thousands ask for the first time, and wait for room
                    break
            for first in range(0, len(left), _WRITTEN_TOGETHER):
                # a node may have asked again since; from here to the commit nothing is waited for
                changes = [each for each in map(self._gone, left[first : first + _WRITTEN_TOGETHER]) if each]
                if changes:
                    await situation.commit(*changes)
        except BaseException:
            schedule.at_once(due)
            raise
        failing = dict.fromkeys(situation.troubles.abouts("waiters"))
        schedule.at_once(failing)
        for group in due:
            if group not in failing:
                asked = [waiter.asked_at for waiter in situation.ledger.waiters.get(group, {}).values()]
                if asked:  # the first of them that will count as silent
                    schedule.at(group, min(asked) + silence(situation.limits_of(group).ask_period_seconds))

    async def _write_new(self, keys: Sequence[Key]) -> None:
        waiting, slices = self._waiting, Slices()
        for first in range(0, len(keys), _WRITTEN_TOGETHER):
            together = keys[first : first + _WRITTEN_TOGETHER]
            for key in together:
                waiting.complete(key)
                await slices.end()
            # a node may have got its grant meanwhile; from here to the commit nothing is waited for
            changes = waiting.changes(together)
            if changes:
                await self._situation.commit(*changes)
                waiting.written(changes)

    async def _left(self, due: list[GroupId]) -> list[GroupId]:
        """Return the groups that a waiter has left."""
        found, slices = list[GroupId](), Slices()
        for group in due:
            with self._situation.troubles.guard("waiters", group):
                found += [group] if self._gone(group) else []
            await slices.end()
        return found

    def _gone(self, group: GroupId) -> Change:
        """Return the change that removes the nodes of a group that no longer wait."""
        situation, picture = self._situation, self._situation.picture
        facts = situation.group(group)
        asks = [waiter.ask for waiter in facts.waiters]
        asked = waiters.Asked(
            nodes={ask.node: picture.certain_node(ask.node) for ask in asks},
            policies={ask.subject: picture.policies.certain(*ask.subject) for ask in asks},
        )
        return waiters.drop_gone(facts, asked, situation.ledger.leaving, situation.now())
