"""Agent upgrades that members began without asking here, by what they report themselves.

Under way is what is past the gate (`downloaded`, `initiated`, `rollback started`): who downloads, or waits for a permission, has stopped
nothing and may still ask. Such a member takes the lease or overlaps. Two are no such members: one that came to its group with its upgrade
under way is deferred, as users are promised, and so is one whose lease has ended under that very report: we have judged it already.
"""

from __future__ import annotations

from datetime import datetime

from agbot.rules import health
from agbot.rules.facts import Member, NodeType, Served
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Lease
from agbot.rules.limits import Limits
from agbot.rules.seen_time import Now


def past_the_gate(member: Member, lease: Lease, limits: Limits, now: Now) -> PolicyId | None:
    """Return the policy whose upgrade this member is in without holding the lease, None if there is none.

    Of somebody who is silent nothing is believed: nobody counts on it, and it is looked at again when it comes back.
    """
    if member.node.node_type is NodeType.CLUSTER or health.why_silent(member.node, limits, now) is not None:
        return None
    if lease.hold is not None and lease.hold.claim.holder == member.node.id:
        return None
    return health.upgrading(member, limits, now)


def came_with(member: Member, subject: PolicyId, served: Served | None, now: Now) -> bool:
    """Tell whether a member past the gate is deferred: it has joined with this report, or lost the lease with it."""
    reported_at = member.statuses[subject].updated_at
    return _joined_after(member, reported_at) or (served is not None and now.seen_at(reported_at) <= served.until)


def _joined_after(member: Member, reported_at: datetime) -> bool:
    return member.joined_at is not None and reported_at <= member.joined_at
