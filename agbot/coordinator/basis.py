"""What one yes rests on beside what every yes does, and what is therefore read for it, however lately it was read before."""

from __future__ import annotations

from dataclasses import dataclass

from agbot.coordinator.dossier import Case
from agbot.fleet.changes import Read, What
from agbot.rules.decide import Decision, Wait
from agbot.rules.reasons import Code
from agbot.rules.statuses import ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A decision with what it was made on."""

    case: Case
    decision: Decision


def rests_on(made: Made) -> list[Read]:
    """Return what a yes rests on beside what every yes does: no change record announces a heartbeat, and a feed may be frozen.

    That a lease may be taken over rests on its holder's silence, or a node that has just returned would lose it; that a
    member is exempt, on its own report. Who is exempt as a cluster node was read with its own credentials a moment ago.
    An agent reports before it asks. Where no such report is known, the feed has not told of it, and a look shows whether it should have.
    """
    decision, hold = made.decision, made.case.group.lease.hold
    if isinstance(decision, Wait) or decision.repeated:
        return []
    if decision.exempt is not None:
        is_deferred = decision.exempt.code is Code.DEFERRED
        return [Read(what=What.STATUSES, id=made.case.ask.node)] if is_deferred else []
    found = [Read(what=What.NODE, id=hold.claim.holder)] if hold is not None else []
    return [*found, Read(what=What.STATUSES, id=made.case.ask.node)] if _is_unreported(made.case) else found


def _is_unreported(case: Case) -> bool:
    if not case.ask.is_agent:
        return False
    member = case.group.members.get(case.ask.node)
    report = member.statuses.get(case.ask.claim.subject) if member is not None else None
    return report is None or report.phase not in ACTIVE
