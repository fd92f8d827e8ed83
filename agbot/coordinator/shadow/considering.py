"""Decides a question that no node has asked, on current facts, and grants nothing."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from agbot.coordinator.intake.reading import Reader
from agbot.coordinator.situation import Situation
from agbot.fleet import occasions, plan
from agbot.fleet.reads import Why
from agbot.rules.decide import Decision, Grant, decide
from agbot.rules.facts import Ask
from agbot.rules.rule import Case

_TIMES = 3
"""A group is read, then its members, then what they need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """A decision that was not carried out, with the facts that it was made on."""

    case: Case
    decision: Decision


class Considering:
    """Decides as `agbot.coordinator.questions` does."""

    def __init__(self, situation: Situation, reader: Reader) -> None:
        self._situation = situation
        self._reader = reader

    async def consider(self, ask: Ask) -> Considered | None:
        """Decide; None if something could not be read, so that nothing can be compared."""
        situation = self._situation
        for _ in range(_TIMES):
            lease, limits = situation.ledger.lease(ask.group), situation.limits_of(ask.group)
            services = occasions.services_for(
                ask, lease, situation.picture, limits, ages=situation.ages, now=situation.now()
            )
            wanted = [*plan.at_once(situation.unread(ask), Why.ASKER), *services]
            if not wanted:
                break
            await self._reader.make_current(wanted)
        made = self._decide(ask)
        if isinstance(made.decision, Grant):
            await self._reader.refresh(occasions.of_grant(ask, made.case.group, made.decision))
        else:
            at = made.case.at
            blockers = occasions.of_wait(made.decision, made.case.group, situation.picture, situation.ages, at)
            proof = occasions.proof_of_rest(made.decision, made.case.group)
            await self._reader.refresh([*blockers, *proof])
        made = self._decide(ask)
        is_blind = bool(made.case.group.doubts) or made.case.group.agbot_doubt is not None
        return None if is_blind else made

    def _decide(self, ask: Ask) -> Considered:
        """Decide on what is in memory.

        Rows of the agbot that have not taken a lease yet may have been written later than this
        upgrade began, so they count only once they have.
        """
        now = self._situation.now()
        group = msgspec.structs.replace(self._situation.group(ask.group, ask), rows=())
        return Considered(case=Case(at=now, ask=ask, group=group), decision=decide(ask, group, now))
