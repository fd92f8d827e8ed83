"""Agent upgrades that members began without asking, as they report them.

An upgrade is under way past the gate (`downloaded`, `initiated`, `rollback started`): an agent that
downloads, or waits for permission, has stopped nothing and may still ask. A member in such an
upgrade takes the lease or is an overlap. Two cases are deferred instead: a member that joined its
group with the upgrade under way, as the users' documents promise, and one whose lease for this
upgrade has ended under the same report, which has been reviewed already.
"""

from __future__ import annotations

from datetime import datetime

from agbot.rules import health
from agbot.rules.facts import Member, NodeType
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Claim, Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.records import Turn
from agbot.rules.seen_time import Now


def is_judged(member: Member, lease: Lease, limits: Limits, now: Now) -> bool:
    """Return whether an upgrade that this member reports without the lease counts."""
    if member.node.node_type is NodeType.CLUSTER or lease.holder == member.node.id:
        return False
    # A silent node is no available peer anyway, and is looked at again when it comes back: its last
    # report must not hold the group meanwhile (P6).
    return health.why_silent(member.node, limits, now) is None


def past_the_gate(member: Member, lease: Lease, limits: Limits, now: Now) -> PolicyId | None:
    """Return the policy of this member's upgrade without the lease; None if there is none."""
    return health.upgrading(member, limits, now) if is_judged(member, lease, limits, now) else None


def came_with(member: Member, subject: PolicyId, lease: Lease, turn: Turn | None, now: Now) -> bool:
    """Return whether a member past the gate is deferred."""
    reported_at = member.statuses[subject].updated_at
    return _joined_after(member, reported_at) or _was_reviewed(member, subject, lease, turn, now)


def _joined_after(member: Member, reported_at: datetime) -> bool:
    return member.joined_at is not None and reported_at <= member.joined_at


def _is_of_another(claim: Claim, subject: PolicyId) -> bool:
    return (claim.kind, claim.subject) != (Kind.AGENT, subject)


def _was_reviewed(member: Member, subject: PolicyId, lease: Lease, turn: Turn | None, now: Now) -> bool:
    """Whether the report is from before the end of the member's own tenure for this upgrade."""
    end = lease.last_end
    if end is not None and end.claim.holder == member.node.id and _is_of_another(end.claim, subject):
        return False  # the lease was for another upgrade than the one that the member reports
    return turn is not None and now.seen_at(member.statuses[subject].updated_at) <= turn.until
