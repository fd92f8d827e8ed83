"""How far the upgrades by one policy are in an organisation, group by group.

Another revision of the policy is another rollout: a former one that hangs, or whose end is not
known, does not count for the repaired one and does not delay it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agbot.rules.brakes import is_other_revision
from agbot.rules.facts import Member, Sight
from agbot.rules.group import Rollout
from agbot.rules.ids import NodeId, PolicyId
from agbot.rules.lease import Claim, Kind, Lease, State
from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause
from agbot.rules.records import Brake
from agbot.rules.rest import rest_after, why_unproven
from agbot.rules.seen_time import Now

Subject = tuple[Kind, PolicyId]


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A group in which a member has held the lease for this rollout (`has_started`)."""

    lease: Lease
    limits: Limits
    brake: Brake | None
    """The policy's brake in the group."""
    has_waiters: bool
    """Members of the group wait for an upgrade by the policy."""
    proving: Member | Sight | None
    """The member that still has to be seen healthy (`proving`), as far as it was read; None if
    there is none."""


def rollout(groups: Iterable[Started], subject: Subject, revision: str | None, now: Now) -> Rollout:
    """Return how far these groups are.

    `revision` is that of the policy; None if it is not known.
    """
    found = {group.lease.group: group for group in groups}
    stopped = {name for name, group in found.items() if _is_stopped(group.brake, revision)}
    unproven = {name for name, group in found.items() if name not in stopped and _proves_nothing(group.lease, subject)}
    why = {
        name: "has stopped it" if name in stopped else _why_unfinished(group, subject, now)
        for name, group in found.items()
        if name not in unproven
    }
    return Rollout(
        started=frozenset(found),
        unfinished={name: text for name, text in why.items() if text is not None},
        unproven=frozenset(unproven),
    )


def has_started(lease: Lease, subject: Subject, revision: str | None) -> bool:
    """Return whether one of the group's last two upgrades was for this rollout."""
    tenure, end = lease.tenure, lease.last_end
    holds = tenure is not None and _is_of(tenure.claim, tenure.progress.revision, subject, revision)
    # The last end only, because the store has no older one: a group that has upgraded for something
    # else since no longer counts.
    return holds or (end is not None and _is_of(end.claim, end.revision, subject, revision))


def proving(lease: Lease, limits: Limits, now: Now) -> NodeId | None:
    """Return the upgraded member whose proof of health is awaited; None if there is none."""
    rest = rest_after(lease.last_end, limits)
    return rest.end.claim.holder if rest is not None and now.seen < rest.proof_until else None


def _is_of(claim: Claim, carried_out: str, subject: Subject, revision: str | None) -> bool:
    return _subject(claim) == subject and revision in {None, carried_out}


def _subject(claim: Claim) -> Subject:
    return claim.kind, claim.subject


def _is_stopped(brake: Brake | None, revision: str | None) -> bool:
    """Return whether this revision failed in the group."""
    return brake is not None and not is_other_revision(brake, revision)


def _proves_nothing(lease: Lease, subject: Subject) -> bool:
    """Return whether the group's last end proves nothing about the release.

    Not to be asked of a group that has stopped it: that one keeps its place among the canaries.
    """
    tenure, end = lease.tenure, lease.last_end
    # an end before the present tenure was of another member, and this one is still to prove it
    is_busy = tenure is not None and _subject(tenure.claim) == subject
    return end is not None and not is_busy and end.cause is not Cause.SUCCEEDED and not end.after_success


def _why_unfinished(group: Started, subject: Subject, now: Now) -> str | None:
    lease, limits = group.lease, group.limits
    tenure = lease.tenure
    if tenure is not None and _subject(tenure.claim) == subject:
        # a suspect lease may last until an operator comes, and `unfinished` has to say so
        return f"upgrades {tenure.claim.holder}" if lease.state is State.HELD else "does not know how it ended"
    if group.has_waiters:
        return "has members that wait for it"
    rest = rest_after(lease.last_end, limits)
    if rest is None or group.proving is None:
        return None
    if now.seen < rest.until or isinstance(group.proving, Sight):
        return "rests"
    return None if why_unproven(rest, group.proving, limits, now) is None else "rests"
