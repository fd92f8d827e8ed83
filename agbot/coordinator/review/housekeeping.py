"""Ends what has expired and deletes what is old.

These are holds, allowances, words of busy nodes, brakes that have nothing left to stop, and old
entries of the journal. Nothing ends or is deleted by a date that has just changed, or that is far
from the Exchange's.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import partial

from agbot.coordinator.review import brake_facts
from agbot.coordinator.review.busy import BusyNodes
from agbot.coordinator.review.sweeping import Sweeping
from agbot.coordinator.situation import Situation
from agbot.rules.ids import GroupId
from agbot.rules.records import Brake
from agbot.transitions import braking, operators
from agbot.transitions.change import Change


class Housekeeping:
    """Runs once in every cycle."""

    def __init__(self, situation: Situation, journal_age: timedelta, journal_bytes: int) -> None:
        """Drop entries older than `journal_age`, and the oldest above `journal_bytes` (0: any)."""
        self._situation = situation
        self.busy = BusyNodes(situation)
        self._sweeping = Sweeping(situation, journal_age, journal_bytes)

    async def run(self) -> None:
        """Do what is due."""
        if self._situation.now().is_steady:
            for over in (self._holds_over, self._allowances_over):
                if over():
                    await self._situation.commit_due(over)
        await self.busy.run()
        await self._sweeping.begin_if_due(self._situation.now())

    async def stop(self) -> None:
        """Stop the deletion of old entries."""
        await self._sweeping.stop()

    def _holds_over(self) -> Change:
        return operators.expire_holds(self._situation.ledger.holds.values(), self._situation.now())

    def _allowances_over(self) -> Change:
        ledger = self._situation.ledger
        return operators.expire_allowances(ledger.allowances.values(), ledger.leaving, self._situation.now())

    async def lift_brakes(self, groups: Iterable[GroupId]) -> None:
        """Lift the brakes of these groups that have nothing left to stop."""
        situation = self._situation
        for group in groups:
            if situation.ledger.brakes.get(group):
                with situation.troubles.guard("brakes", group):
                    if self._brakes_over(group):
                        await situation.commit_due(partial(self._brakes_over, group))
        situation.troubles.keep("brakes", situation.ledger.brakes)

    def _brakes_over(self, group: GroupId) -> Change:
        situation = self._situation
        brakes = situation.ledger.brakes.get(group, {}).values()
        over = [(brake, why) for brake in brakes if (why := self._why_over(brake)) is not None]
        return braking.lift(over, situation.now())

    def _why_over(self, brake: Brake) -> str | None:
        seen = brake_facts.facts_of(self._situation, brake.group, brake.kind, brake.subject, brake.revision)
        return braking.why_over(brake, seen)
