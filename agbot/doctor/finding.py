"""The results of the checks: values for people and programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from agbot.rules.facts import Row
from agbot.rules.ids import PolicyId


class Verdict(StrEnum):
    """The result of one check."""

    OK = "ok"
    WARNING = "warning"
    """It works, but is probably not intended, or soon will not work."""
    WRONG = "wrong"
    """The coordinator cannot do its work, or not all of it, until this is repaired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check."""

    check: str
    """What was checked, in one or two words."""
    verdict: Verdict
    found: str
    """What came back, in a sentence."""
    tried: str = ""
    next_step: str = ""
    """What to do; empty if nothing has to be done."""


def ok(check: str, found: str) -> Finding:
    """Return a check that has passed."""
    return Finding(check=check, verdict=Verdict.OK, found=found)


def warning(check: str, found: str, *, tried: str = "", next_step: str = "") -> Finding:
    """Return a check with a warning."""
    return Finding(check=check, verdict=Verdict.WARNING, found=found, tried=tried, next_step=next_step)


def wrong(check: str, found: str, *, tried: str = "", next_step: str = "") -> Finding:
    """Return a check that has failed."""
    return Finding(check=check, verdict=Verdict.WRONG, found=found, tried=tried, next_step=next_step)


class Standing(StrEnum):
    """What a row of the agbot stands for, as far as one look can show it."""

    UNDER_WAY = "under-way"
    ENDING = "ending"
    """Its upgrade has just ended, and the agbot still has time to delete it."""
    STUCK = "stuck"
    """Its upgrade is over or cannot continue, and the agbot never deletes it."""
    UNKNOWN = "unknown"
    """Its node or policy could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One row of the agbot: the slot of a group, and who has it."""

    row: Row
    subject: PolicyId
    """The policy, always with its organisation."""
    standing: Standing
    why: str = ""
    """The evidence."""
    defect: str = ""
    """The number of the agbot's defect (docs/doctor.md); empty if none is known."""
    doubled: str = ""
    """Which other rows the same slot has, in words; empty if none."""
    cure: str = ""
    """The command that deletes this row alone; empty if it must stay."""

    @property
    def is_problem(self) -> bool:
        """Whether an operator has to know of it."""
        return self.standing in {Standing.STUCK, Standing.UNKNOWN} or bool(self.doubled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that the doctor has found."""

    findings: tuple[Finding, ...]
    slots: tuple[Slot, ...] = ()
    """All rows of the agbot."""

    @property
    def verdict(self) -> Verdict:
        """The worst result. A stuck slot is wrong."""
        found = {each.verdict for each in self.findings}
        if Verdict.WRONG in found or any(each.standing is Standing.STUCK for each in self.slots):
            return Verdict.WRONG
        is_odd = Verdict.WARNING in found or any(each.is_problem for each in self.slots)
        return Verdict.WARNING if is_odd else Verdict.OK

    @property
    def problems(self) -> tuple[Slot, ...]:
        """The rows that an operator has to know of."""
        return tuple(each for each in self.slots if each.is_problem)

    @property
    def curable(self) -> tuple[Slot, ...]:
        """The stuck rows."""
        return tuple(each for each in self.slots if each.standing is Standing.STUCK and each.cure)


def worst(findings: Iterable[Finding]) -> Verdict:
    """Return the worst result of some checks."""
    return Report(findings=tuple(findings)).verdict
