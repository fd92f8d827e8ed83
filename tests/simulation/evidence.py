"""P3, from the outside: was there in the Exchange what this release rests on? Pure but for the histories it looks at.

The coordinator may have seen a fact a little later than it became true, and may not have seen yet that it is no longer true; `lag` bounds
that. What was never true is no evidence, however late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agbot.rules.lease import Hold, Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause
from agbot.sim.agent_state import PAST_THE_GATE, Word
from tests.simulation.truth import Truth

_BAD_ENDS = frozenset({Word.DOWNLOAD_FAILED, Word.PRECHECK_FAILED, Word.ROLLBACK_FAILED, Word.ROLLBACK_SUCCESSFUL})
_SLACK_SECONDS = 5.0
_SILENCE_SLACK_SECONDS = 65.0
"""Clocks that jump, and a heartbeat that was read before it was repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One release. Times are the loop's."""

    lease: Lease
    """As it was before."""
    hold: Hold
    cause: Cause
    granted_at: float
    now: float
    lag: float
    silent_seconds: float
    version: str
    """The agent version that the Exchange shows for the holder."""

    @property
    def since(self) -> float:
        """From when on a fact is about this grant."""
        return self.granted_at - _SLACK_SECONDS


def why_unfounded(case: Case, truth: Truth, limits: Limits) -> str | None:
    """Say what is missing, or None when the release rests on a fact."""
    if case.cause in {Cause.FORCED, Cause.SUPERSEDED}:
        return None
    if case.cause in _BY_CAUSE:
        return None if _BY_CAUSE[case.cause](case, truth) else f"nothing in the Exchange said {case.cause}"
    if case.cause is Cause.EXPIRED:
        enough = limits.dead_after_seconds - _SILENCE_SLACK_SECONDS
        return None if case.silent_seconds >= enough else f"it was heard of {case.silent_seconds:.0f} s ago"
    if case.hold.claim.kind is Kind.SERVICE:
        return _service(case, truth)
    return _agent(case, truth, limits)


def _agent(case: Case, truth: Truth, limits: Limits) -> str | None:
    words = truth.since(case.hold.claim.holder, case.hold.claim.subject, case.since)
    said = [word for _, word in words]
    if case.cause is Cause.SUCCEEDED:
        reached = case.version and case.version == case.hold.progress.target_version
        return None if Word.SUCCESSFUL in said or reached else f"the Exchange held {said}"
    if case.cause is Cause.NOTHING_TO_DO:
        return None if Word.NO_ACTION in said else f"the Exchange held {said}"
    if case.cause is Cause.FAILED:
        stood = _failed_for(words, case)
        if _BAD_ENDS.intersection(said) or stood >= limits.failure_grace_seconds:
            return None
        return f"the Exchange held {said}, failed for {stood:.0f} s"
    if case.cause is Cause.UNCONFIRMED:
        seen = [word for at, word in words if at < case.now - case.lag and at >= case.granted_at]
        return f"the Exchange held {seen}" if PAST_THE_GATE.intersection(seen) else None
    return f"{case.cause} is no end of an agent upgrade"


def _failed_for(words: list[tuple[float, str]], case: Case) -> float:
    """Return how long `failed` may have seemed to stand."""
    ends = [at + case.lag for at, _ in words[1:]] + [case.now]
    stood = (min(end, case.now) - at for (at, word), end in zip(words, ends, strict=True) if word == Word.FAILED)
    return max(stood, default=0.0) + 1.0


def _service(case: Case, truth: Truth) -> str | None:
    if case.cause is Cause.UNCONFIRMED:
        return None
    ran = {name for at, name in truth.ran[case.hold.claim.holder] if at >= case.since}
    new = ran - set(case.hold.progress.agreements_before)
    return None if new else "no new agreement's containers were ever running"


def _left(case: Case, truth: Truth) -> bool:
    return truth.was_out(case.hold.claim.holder, case.lease.group, case.since - case.lag)


def _node_gone(case: Case, truth: Truth) -> bool:
    return any(at >= case.since - case.lag for at in truth.deleted[case.hold.claim.holder])


def _policy_gone(case: Case, truth: Truth) -> bool:
    return any(at >= case.since - case.lag for at in truth.policy_gone[case.hold.claim.subject])


def _unregistered(case: Case, truth: Truth) -> bool:
    return any(at >= case.since - case.lag for at in truth.unregistered[case.hold.claim.holder])


def _reset(case: Case, truth: Truth) -> bool:
    words = truth.since(case.hold.claim.holder, case.hold.claim.subject, case.since)
    return any(word in {Word.WAITING, Word.RESET} for _, word in words)


_BY_CAUSE: dict[Cause, Callable[[Case, Truth], bool]] = {
    Cause.LEFT_GROUP: _left,
    Cause.NODE_DELETED: _node_gone,
    Cause.POLICY_DELETED: _policy_gone,
    Cause.UNREGISTERED: _unregistered,
    Cause.RESET: _reset,
}
