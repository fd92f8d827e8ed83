"""Carries out the verdict of a review."""

from __future__ import annotations

from datetime import timedelta

from agbot.events import leases as events
from agbot.events.event import DecisionRecord
from agbot.events.leases import Ending
from agbot.rules import lease as leases
from agbot.rules.holder import Review
from agbot.rules.lease import Lease
from agbot.rules.limits import Limits
from agbot.rules.progress import Progress
from agbot.rules.seen_time import Now
from agbot.rules.verdict import Keep, Release, Renew, Suspect, Verdict
from agbot.transitions.braking import Upgraded
from agbot.transitions.change import NO_CHANGE, Change, step
from agbot.transitions.ends import release


def carry_out(
    review: Review, verdict: Verdict, *, upgraded: Upgraded, decision_record: DecisionRecord | None = None
) -> Change:
    """Return the change for the verdict of this review.

    The record is journalled if the lease ends or becomes suspect.
    """
    lease, now = review.lease, review.now
    match verdict:
        case Release(cause=cause, why=why, ended_at=ended_at):
            ending = Ending(cause=cause, why=why, ended_at=ended_at, decision_record=decision_record)
            return release(lease, upgraded, ending, now)
        case Renew():
            return renew(lease, verdict, review.limits, now)
        case Suspect(why=why):
            return suspect(lease, why, now, decision_record)
        case Keep(progress=progress):
            return _keep(lease, progress)


def renew(lease: Lease, verdict: Renew, limits: Limits, now: Now) -> Change:
    """Extend a lease on evidence."""
    # only a heartbeat is evidence of an earlier time; it has no event, or each holder would write
    # one every few minutes
    ttl = timedelta(seconds=limits.lease_seconds)
    after = leases.renew(lease, verdict.evidence_at or now.seen, ttl, verdict.progress)
    return step(lease, after, now, *([] if verdict.evidence_at else [events.renewed(after, verdict.why)]))


def suspect(lease: Lease, why: str, now: Now, decision_record: DecisionRecord | None = None) -> Change:
    """Mark an expired lease as suspect, because it is not known how its upgrade ended."""
    after = leases.suspect(lease)
    return step(lease, after, now, events.suspected(after, why, decision_record))


def _keep(lease: Lease, progress: Progress) -> Change:
    """Note the progress of the upgrade, which does not extend the lease."""
    known = lease.tenure.progress if lease.tenure is not None else None
    if progress is known or progress == known:  # most reviews end here, with the same object
        return NO_CHANGE
    return Change(before=lease, after=leases.with_progress(lease, progress))
