"""Stored decisions, derived again from their stored facts with the rules of this program: what would be decided otherwise today?

Pure. Compared are the answer and the codes of its reasons, in their order; texts are wording. A decision without facts cannot be derived:
an earlier program wrote it, or no rule made it (the store or the Exchange failed under the question).
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

DECISIONS: Final = ("lease.granted", "lease.taken_over", "lease.exempted", "wait.changed")
"""The events that tell a decision of the rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """One reason."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A decision, as far as it is compared, with the words for it."""

    answer: str
    """granted, exempted or waits."""
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
    unreadable: Sequence[Unreadable]
    different: Sequence[Difference]


def replay(entries: Iterable[HistoryView]) -> Replay:
    """Derive every decision among these entries again."""
    derived = 0
    without: list[int] = []
    unreadable: list[Unreadable] = []
    different: list[Difference] = []
    for entry in entries:
        if entry.event not in DECISIONS:
            continue
        if dossier.KEY not in entry.facts:
            without.append(entry.id)
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
    return Replay(derived=derived, without_facts=without, unreadable=unreadable, different=different)


def _derive(entry: HistoryView) -> Said:
    case = dossier.read(entry.facts[dossier.KEY])
    return _said(decide(case.ask, case.group, case.at))


def _said(decision: Decision) -> Said:
    if isinstance(decision, Wait):
        return Said(answer="waits", reasons=[Why(code=str(each.code), text=each.text) for each in decision.reasons])
    if decision.exempt is not None:
        return Said(answer="exempted", reasons=[Why(code=str(decision.exempt.code), text=decision.exempt.text)])
    return Said(answer="granted")


def _said_then(entry: HistoryView) -> Said:
    if entry.event == "wait.changed":
        reasons = [Why(code=str(each.get("code")), text=str(each.get("text"))) for each in reasons_of(entry)]
        return Said(answer="waits", reasons=reasons)
    if entry.event == "lease.exempted":
        why = Why(code=str(entry.facts.get("code")), text=str(entry.facts.get("reason")))
        return Said(answer="exempted", reasons=[why])
    return Said(answer="granted")


def _difference(entry: HistoryView, then: Said, now: Said) -> Difference:
    return Difference(
        id=entry.id, at=entry.at, event=entry.event, group=entry.group, node=entry.node, then=then, now=now
    )
