"""The gateway's own refusals, where neither memory nor the coordinator has a reason. Pure.

A store or an Exchange that fails, hangs or sends an unreadable reply is a refusal (P4), and so is a
bug.
"""

from __future__ import annotations

from dataclasses import dataclass

from agbot.coordinator.questions.stages import Stage
from agbot.gateway.answers import Outcome
from agbot.rules.reasons import Code, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refusal with its reasons, and its outcome for the metrics."""

    reasons: tuple[Reason, ...]
    outcome: Outcome = Outcome.REFUSED


def _because(code: Code, text: str, outcome: Outcome) -> Refusal:
    return Refusal(reasons=(Reason(code=code, text=text),), outcome=outcome)


FAILED = _because(
    Code.INTERNAL_ERROR, "the coordinator has failed on this question; its log has the traceback", Outcome.ERROR
)
"""A bug; the caller asks again."""
BUSY = _because(Code.BUSY, "too many questions are open at once", Outcome.BUSY)
TOO_OFTEN = _because(Code.BUSY, "this node asks more often than [gateway] questions_per_minute allows", Outcome.BUSY)
"""The asker has spent its budget."""
VIEW_STALE = _because(
    Code.VIEW_STALE,
    "the node's membership has changed just now and is not in the picture yet",
    Outcome.UNAVAILABLE,
)


def no_leader(text: str) -> Refusal:
    """Refuse because this coordinator stands by, and the leader has not answered."""
    return _because(Code.NO_LEADER, text, Outcome.UNAVAILABLE)


def too_late(stage: Stage) -> Refusal:
    """Refuse because this stage took too long."""
    return Refusal(reasons=(stage.too_late(),), outcome=Outcome.UNAVAILABLE)


def failed_at(stage: Stage, error: Exception) -> Refusal:
    """Refuse because this stage failed."""
    return Refusal(reasons=(stage.failed(error),), outcome=Outcome.UNAVAILABLE)
