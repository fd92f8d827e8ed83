"""Stored decisions, derived again from their stored facts with the rules of this program: what would be decided otherwise today?

Pure. Compared are the answer and the codes of its reasons, in their order; of a review the verdict, with the cause of a release. Texts are
wording. A decision without facts cannot be derived: an earlier program wrote it, or no rule made it (the store or the Exchange failed under
the question). A release that no review made is no verdict to derive: a person forced it, the agbot reported the end, or another upgrade
took the lease over, by a decision that has its own entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agbot.coordinator import dossier
from agbot.coordinator.dossier import DossierError
from agbot.coordinator.history import HistoryView, reasons_of
from agbot.rules.decide import Decision, Wait, decide
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.reasons import Cause
from agbot.rules.review import review
from agbot.rules.verdict import Keep, Release, Renew, Suspect, Verdict

REVIEWS: Final = ("lease.released", "lease.suspected")
"""The events that tell the verdict of a review."""
DECISIONS: Final = ("lease.granted", "lease.taken_over", "lease.exempted", "wait.changed", *REVIEWS)
"""The events that tell a decision of the rules."""

_NEVER_REVIEWED: Final = {str(Cause.FORCED), str(Cause.SUPERSEDED)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """One reason."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A decision, as far as it is compared, with the words for it."""

    answer: str
    """granted, exempted or waits; of a review released, suspected, renewed or kept."""
    reasons: Sequence[Why] = ()

    def agrees(self, other: Said) -> bool:
        """Tell whether both say the same."""
        mine, theirs = ([each.code for each in said.reasons] for said in (self, other))
        return (self.answer, mine) == (other.answer, theirs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One decision that would be another today."""

    id: int
    at: datetime
    event: str
    group: GroupId | None
    node: NodeId | None
    then: Said
    now: Said


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """One decision whose facts make no sense to this program."""

    id: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of it."""

    derived: int
    without_facts: Sequence[int]
    """Ids of entries."""
    unreviewed: Sequence[int]
    """Ids of releases that no review made."""
    unreadable: Sequence[Unreadable]
    different: Sequence[Difference]


def replay(entries: Iterable[HistoryView]) -> Replay:
    """Derive every decision among these entries again."""
    derived = 0
    without: list[int] = []
    unreviewed: list[int] = []
    unreadable: list[Unreadable] = []
    different: list[Difference] = []
    for entry in entries:
        if entry.event not in DECISIONS:
            continue
        if dossier.KEY not in entry.facts:
            (unreviewed if _is_unreviewed(entry) else without).append(entry.id)
            continue
        try:
            now = _derive(entry)
        except DossierError as error:
            unreadable.append(Unreadable(id=entry.id, problem=str(error)))
            continue
        derived += 1
        then = _said_then(entry)
        if not then.agrees(now):
            different.append(_difference(entry, then, now))
    return Replay(
        derived=derived, without_facts=without, unreviewed=unreviewed, unreadable=unreadable, different=different
    )


def _is_unreviewed(entry: HistoryView) -> bool:
    """Tell whether an entry without facts is a release that no review made."""
    is_told = entry.who != "coordinator" or str(entry.facts.get("cause")) in _NEVER_REVIEWED
    return entry.event == "lease.released" and is_told


def _derive(entry: HistoryView) -> Said:
    kept = entry.facts[dossier.KEY]
    if entry.event in REVIEWS:
        known = dossier.read_review(kept)
        return _said_of_review(review(known.lease, known.seen, known.limits, known.at))
    case = dossier.read(kept)
    return _said(decide(case.ask, case.group, case.at))


def _said(decision: Decision) -> Said:
    if isinstance(decision, Wait):
        return Said(answer="waits", reasons=[Why(code=str(each.code), text=each.text) for each in decision.reasons])
    if decision.exempt is not None:
        return Said(answer="exempted", reasons=[Why(code=str(decision.exempt.code), text=decision.exempt.text)])
    return Said(answer="granted")


def _said_of_review(verdict: Verdict) -> Said:
    match verdict:
        case Release(cause=cause, why=why):
            return Said(answer="released", reasons=[Why(code=str(cause), text=why)])
        case Suspect():
            return Said(answer="suspected")
        case Renew():
            return Said(answer="renewed")
        case Keep():
            return Said(answer="kept")


def _said_then(entry: HistoryView) -> Said:
    if entry.event == "wait.changed":
        reasons = [Why(code=str(each.get("code")), text=str(each.get("text"))) for each in reasons_of(entry)]
        return Said(answer="waits", reasons=reasons)
    if entry.event == "lease.exempted":
        why = Why(code=str(entry.facts.get("code")), text=str(entry.facts.get("reason")))
        return Said(answer="exempted", reasons=[why])
    if entry.event == "lease.released":
        why = Why(code=str(entry.facts.get("cause")), text=str(entry.facts.get("why")))
        return Said(answer="released", reasons=[why])
    return Said(answer="suspected" if entry.event == "lease.suspected" else "granted")


def _difference(entry: HistoryView, then: Said, now: Said) -> Difference:
    return Difference(
        id=entry.id, at=entry.at, event=entry.event, group=entry.group, node=entry.node, then=then, now=now
    )
