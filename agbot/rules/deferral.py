"""Deferred membership: a node that joins while its own upgrade is under way.

The users' documents promise that its membership is not enforced until that upgrade has completed. Under way means past the gate
(`downloaded`, `initiated`, `rollback started`): a node that still downloads or waits has not stopped anything yet, and a real agent
asks before it does (`reference/agbot-ha.md` 5.2), so it is a member like any other. The same holds for a member that comes back in the
middle of an upgrade after its lease was taken away. Deferral ends on evidence only.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from agbot.rules import health
from agbot.rules.facts import Deferral, Member, NodeType, Sight
from agbot.rules.ids import GroupId
from agbot.rules.lease import Lease
from agbot.rules.limits import Limits
from agbot.rules.statuses import Phase

_MAY_GO_ON = frozenset({Phase.UNDER_WAY, Phase.FAILING, Phase.UNREADABLE})


def begin(group: GroupId, member: Member, lease: Lease, limits: Limits, now: datetime) -> Deferral | None:
    """Return the deferral of a member whose upgrade is past the gate without the group's lease, or None."""
    if member.node.node_type is NodeType.CLUSTER:
        return None
    if health.why_offline(member.node, limits, now) is not None:
        return None  # nobody asks for it and nobody counts on it; it is looked at again when it comes back
    subject = health.upgrading(member, limits, now)
    if subject is None or (lease.hold is not None and lease.hold.claim.holder == member.node.id):
        return None
    status = member.statuses[subject].value
    return Deferral(group=group, node=member.node.id, subject=subject, since=now, status=status)


def why_ended(deferral: Deferral, member: Member | Sight, limits: Limits, now: datetime) -> str | None:
    """Say why the deferral is over, or None while it lasts or nothing is known."""
    if member is Sight.UNREAD:
        return None
    if isinstance(member, Sight):
        return "the node is gone"
    if member.node.group != deferral.group:
        return "the node has left the group"
    return _why_over(deferral, member, limits, now)


def _why_over(deferral: Deferral, member: Member, limits: Limits, now: datetime) -> str | None:
    """Read the end of the upgrade from the member's own report."""
    status = member.statuses.get(deferral.subject)
    if status is None:
        return "the node no longer reports this upgrade"
    rollback_due = status.updated_at + timedelta(seconds=limits.failure_grace_seconds)
    if status.phase not in _MAY_GO_ON or (status.phase is Phase.FAILING and now >= rollback_due):
        return f"the upgrade is {status.value}"
    if status.phase is Phase.UNDER_WAY and not health.is_under_way(status, member, limits, now):
        return f"{status.value} is an old report: the version is reached, or it is older than the longest upgrade"
    return None
