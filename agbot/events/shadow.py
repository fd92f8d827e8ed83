"""Events of shadow mode: where the real agbot decides differently."""

from __future__ import annotations

from typing import ClassVar

from agbot.events.event import DecisionRecord, Level, Moment, OfGroup
from agbot.events.waits import ReasonGiven
from agbot.rules.lease import Kind


class ShadowDiffers(OfGroup, frozen=True, kw_only=True):
    """In shadow mode: the real agbot's decision differs from the coordinator's.

    `difference` is `began` (an upgrade began that the coordinator would have kept waiting, for the
    `reasons`) or `kept-waiting` (the agbot has not let a node go for three minutes, although no
    rule keeps it waiting).
    """

    name: ClassVar[str] = "shadow.differs"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "{self.did}"

    kind: Kind
    difference: str
    did: str
    """What the agbot did, and what shows it."""
    would: str
    """What the coordinator would have done, and why."""
    since: Moment
    """When the upgrade began, or since when the coordinator would have let the node go."""
    reasons: tuple[ReasonGiven, ...] = ()
    """All reasons for which the coordinator would have kept it waiting."""
    decision_record: DecisionRecord | None = None

    def explanation(self) -> str:
        return self.would
