"""Decides a question that no node has asked, on current facts, and grants nothing."""

from __future__ import annotations

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


async def consider(ask: Ask, situation: Situation, reader: Reader) -> tuple[Case, Decision] | None:
    """Decide as `agbot.coordinator.questions` does; return the decision with its facts.

    None if something could not be read, so that nothing can be compared.
    """
    for _ in range(_TIMES):
        lease, limits = situation.ledger.lease(ask.group), situation.limits_of(ask.group)
        services = occasions.services_for(
            ask, lease, situation.picture, limits, ages=situation.ages, now=situation.now()
        )
        wanted = [*plan.at_once(situation.unread(ask), Why.ASKER), *services]
        if not wanted:
            break
        await reader.make_current(wanted)
    case, decision = _decide(ask, situation)
    if isinstance(decision, Grant):
        await reader.refresh(occasions.of_grant(ask, case.group, decision))
    else:
        blockers = occasions.of_wait(decision, case.group, situation.picture, situation.ages, case.at)
        await reader.refresh([*blockers, *occasions.proof_of_rest(decision, case.group, case.at)])
    case, decision = _decide(ask, situation)
    is_blind = bool(case.group.doubts) or case.group.agbot_doubt is not None
    return None if is_blind else (case, decision)


def _decide(ask: Ask, situation: Situation) -> tuple[Case, Decision]:
    """Decide on what is in memory.

    Rows of the agbot that have not taken a lease yet may have been written later than this upgrade
    began, so they count only once they have.
    """
    known = situation.case(ask)
    case = Case(at=known.at, ask=ask, group=msgspec.structs.replace(known.group, rows=()))
    return case, decide(case)
