"""What a rule is, and the case that it decides.

One value holds everything that is known of a rule: `explain`, the journal, the documents and the
decision itself read that value. The rule kept here: nothing is derived twice. What a check has
derived is kept in the case, and what is shown of a decision later comes from the case and from the
answers that were given when it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from agbot.rules.facts import Ask
from agbot.rules.group import Group
from agbot.rules.reasons import Code, Reason
from agbot.rules.seen_time import Now, SeenTime

_Derived = TypeVar("_Derived")


class Case(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One question, with the facts that were known when it was decided."""

    at: Now
    ask: Ask
    group: Group
    _derived: dict[object, object] = msgspec.field(default_factory=dict)

    def once(self, derive: Callable[[Case], _Derived]) -> _Derived:
        """Return what this function derives from the case. Only the first call computes it."""
        derived: Any = self._derived.get(derive, self)
        if derived is self:
            derived = self._derived[derive] = derive(self)
        known: _Derived = derived
        return known


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The facts that a rule has used, in short.

    They are bounded: a rule about many members names one of them, and its reason names the others.
    """

    facts: Mapping[str, object] = msgspec.field(default_factory=dict)
    """JSON values and times."""
    read_at: SeenTime | None = None
    """When the oldest fact was read. None if none was: the ledger, settings and operators'
    decisions are not read from the Exchange."""


NO_EVIDENCE = Evidence()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. `check` returns the reason against the upgrade, or None when the rule passes."""

    name: str
    """The name in `explain`, the journal and the API."""
    passes: str
    """The statement that is true when the rule passes."""
    unblocks: Mapping[Code, str] = field(default_factory=dict)
    """Each code that the rule gives, with what ends that reason: an instruction, with the command
    to copy if there is one.

    `{group}`, `{org}`, `{token}`, `{policy}` and `{resume}` are placeholders that
    `agbot.coordinator.operators.explaining` fills in.
    """
    final: frozenset[Code] = frozenset()
    """The codes after which there is nothing to wait for: such a question makes no waiter."""
    is_allowable: bool = False
    """Whether an operator may allow one upgrade past the rule (`agbot allow`)."""
    arose_at: Callable[[Case], datetime | None] = lambda _: None
    """When the failure behind a refusal arose: an allowance from before it does not override it.
    None if any allowance does."""
    is_of_policies: bool = False
    """Whether it concerns only upgrades that follow a policy: a host reboots without one."""
    check: Callable[[Case], Reason | None]
    evidence: Callable[[Case], Evidence]
    """Computed only when a decision is explained or recorded."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of one rule, with its evidence."""

    rule: Rule
    reason: Reason | None
    """None if the rule passes."""
    evidence: Evidence

    @property
    def text(self) -> str:
        """The answer in words."""
        return self.rule.passes if self.reason is None else self.reason.text

    @property
    def facts(self) -> Mapping[str, object]:
        """The facts that the rule has used, and those of its refusal."""
        return self.evidence.facts if self.reason is None else {**self.evidence.facts, **self.reason.facts}


def oldest(reads: Iterable[SeenTime | None]) -> SeenTime | None:
    """Return the earliest of these reads. A fact that was never read has no age."""
    return min((each for each in reads if each is not None), default=None)
