"""Derives stored decisions again with the rules of this program, and compares them.

Pure. It compares the answer and the codes of its reasons, in their order, or the verdict of a
review, with the cause of a release. Texts are not compared. A decision without facts cannot be
derived: an earlier program wrote it, or it was not made by a rule (the store or the Exchange failed
during the question). A release without a review has no verdict to derive: an operator forced it,
the agbot reported the end, or another upgrade took the lease over, by a decision that has its own
entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agbot.coordinator import decision_record
from agbot.coordinator.decision_record import DecisionRecordError
from agbot.coordinator.operators.history import HistoryView, reasons_of
from agbot.events.event import DECISION_RECORD
from agbot.rules.decide import Decision, Wait, decide
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.reasons import Cause
from agbot.rules.review import review
from agbot.rules.verdict import Keep, Release, Renew, Suspect, Verdict

REVIEWS: Final = ("lease.released", "lease.suspected")
"""The events that record the verdict of a review."""
DECISIONS: Final = ("lease.granted", "lease.taken_over", "lease.exempted", "wait.changed", *REVIEWS)
"""The events that record a decision of the rules."""

_NEVER_REVIEWED: Final = {str(Cause.FORCED), str(Cause.SUPERSEDED)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """One reason."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A decision, as far as it is compared, with its texts."""

    answer: str
    """granted, exempted or waits; of a review released, suspected, renewed or kept."""
    reasons: Sequence[Why] = ()

    def agrees(self, other: Derived) -> bool:
        """Whether both are the same decision."""
        mine, theirs = ([each.code for each in decision.reasons] for decision in (self, other))
        return (self.answer, mine) == (other.answer, theirs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One decision that would be different today."""

    id: int
    at: datetime
    event: str
    group: GroupId | None
    node: NodeId | None
    then: Derived
    now: Derived


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """One decision whose facts this program cannot read."""

    id: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The result."""

    derived: int
    without_facts: Sequence[int]
    """Ids of entries."""
    unreviewed: Sequence[int]
    """Ids of releases without a review."""
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
        if DECISION_RECORD not in entry.facts:
            (unreviewed if _is_unreviewed(entry) else without).append(entry.id)
            continue
        try:
            now = _derive(entry)
        except DecisionRecordError as error:
            unreadable.append(Unreadable(id=entry.id, problem=str(error)))
            continue
        derived += 1
        then = _stored(entry)
        if not then.agrees(now):
            different.append(_difference(entry, then, now))
    return Replay(
        derived=derived, without_facts=without, unreviewed=unreviewed, unreadable=unreadable, different=different
    )


def _is_unreviewed(entry: HistoryView) -> bool:
    """Whether an entry without facts is a release that was made without a review."""
    is_reported = entry.who != "coordinator" or str(entry.facts.get("cause")) in _NEVER_REVIEWED
    return entry.event == "lease.released" and is_reported


def _derive(entry: HistoryView) -> Derived:
    kept = entry.facts[DECISION_RECORD]
    if entry.event in REVIEWS:
        return _of_review(review(decision_record.read_review(kept)))
    return _of_decision(decide(decision_record.read(kept)))


def _of_decision(decision: Decision) -> Derived:
    if isinstance(decision, Wait):
        return Derived(answer="waits", reasons=[Why(code=str(each.code), text=each.text) for each in decision.reasons])
    if decision.exempt is not None:
        return Derived(answer="exempted", reasons=[Why(code=str(decision.exempt.code), text=decision.exempt.text)])
    return Derived(answer="granted")


def _of_review(verdict: Verdict) -> Derived:
    match verdict:
        case Release(cause=cause, why=why):
            return Derived(answer="released", reasons=[Why(code=str(cause), text=why)])
        case Suspect():
            return Derived(answer="suspected")
        case Renew():
            return Derived(answer="renewed")
        case Keep():
            return Derived(answer="kept")


def _stored(entry: HistoryView) -> Derived:
    if entry.event == "wait.changed":
        reasons = [Why(code=str(each.get("code")), text=str(each.get("text"))) for each in reasons_of(entry)]
        return Derived(answer="waits", reasons=reasons)
    if entry.event == "lease.exempted":
        why = Why(code=str(entry.facts.get("code")), text=str(entry.facts.get("reason")))
        return Derived(answer="exempted", reasons=[why])
    if entry.event == "lease.released":
        why = Why(code=str(entry.facts.get("cause")), text=str(entry.facts.get("why")))
        return Derived(answer="released", reasons=[why])
    return Derived(answer="suspected" if entry.event == "lease.suspected" else "granted")


def _difference(entry: HistoryView, then: Derived, now: Derived) -> Difference:
    return Difference(
        id=entry.id, at=entry.at, event=entry.event, group=entry.group, node=entry.node, then=then, now=now
    )
