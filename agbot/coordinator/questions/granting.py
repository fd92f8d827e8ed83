"""Commits the grant that a question has led to."""

from __future__ import annotations

from agbot.coordinator import decision_record
from agbot.coordinator.permission import Granted
from agbot.coordinator.questions.exempting import Exempting
from agbot.coordinator.situation import Situation
from agbot.rules.decide import Grant
from agbot.rules.rule import Case
from agbot.transitions import grants


class Granting:
    """Commits grants."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._exempting = Exempting(situation)

    async def commit(self, case: Case, decision: Grant) -> Granted | None:
        """Commit a grant; None if the race was lost and the question has to be decided again.

        A repeated grant is a compare and set like any other, even if it changes nothing, because
        the asker must still be the holder.

        Raises:
            StoreUnavailableError: it is not known whether it was committed.
        """
        if decision.exempt is not None:
            await self._exempting.record(case, decision.exempt)
            return Granted(token=None, exempt=decision.exempt)
        if decision.repeated:
            change = grants.repeat(case)
        else:
            asker, record = self._situation.picture.member(case.ask.node), decision_record.write(case)
            change = grants.grant(case, asker=asker, allowed=decision.allowed, decision_record=record)
        if change.after is None or not await self._situation.commit(change):
            return None
        return Granted(token=change.after.token, repeated=decision.repeated)
