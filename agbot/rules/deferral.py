"""Deferred membership: a node that joins while its own upgrade is under way.

The users' documents promise that its membership is not enforced until that upgrade has completed. Under way means past the gate
(`downloaded`, `initiated`, `rollback started`): a node that still downloads or waits has not stopped anything yet, and a real agent
asks before it does (`reference/agbot-ha.md` 5.2), so it is a member like any other. The same holds for a member that comes back in the
middle of an upgrade after its lease was taken away, and for a node whose service is down for its upgrade (`service_gap`). A member that
began without asking is no such case: it takes the lease (`unasked`). Deferral ends on evidence only.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from agbot.rules import health, service_gap, unasked
from agbot.rules.facts import Ask, Deferral, Member, Node, NodeType, Served, Sight
from agbot.rules.ids import GroupId, PolicyId
from agbot.rules.lease import Claim, Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.presence import why_absent
from agbot.rules.reasons import Cause
from agbot.rules.seen_time import Now
from agbot.rules.statuses import Phase

_UNKNOWN = "unknown"
_ENDS_THE_REPORT = frozenset({Cause.POLICY_DELETED, Cause.UNREGISTERED})
_STOPPED_NOTHING = frozenset({"download started"})
"""An agent that downloads asks once more before it stops anything; one that waited for its yes does not."""
_NOT_BEGUN = frozenset({Phase.IDLE, Phase.ASKING})
_MAY_GO_ON = frozenset({Phase.UNDER_WAY, Phase.FAILING, Phase.UNREADABLE})


def begin(
    group: GroupId, member: Member, lease: Lease, limits: Limits, now: Now, *, served: Served | None = None
) -> Deferral | None:
    """Return the deferral of a member that came with its upgrade past the gate, or lost the lease with it, or None.

    `served` tells when it last held the lease.
    """
    if member.node.node_type is NodeType.CLUSTER:
        return None
    if health.why_silent(member.node, limits, now) is not None:
        return None  # nobody asks for it and nobody counts on it; it is looked at again when it comes back
    if lease.hold is not None and lease.hold.claim.holder == member.node.id:
        return None
    subject = unasked.past_the_gate(member, lease, limits, now)
    if subject is None:
        return None if _was_under_lease(member, lease) else _begin_service(group, member, limits, now)
    if not unasked.came_with(member, subject, served, now):
        return None
    status = member.statuses[subject].value
    return Deferral(group=group, node=member.node.id, subject=subject, since=now.wall, status=status)


def _was_under_lease(member: Member, lease: Lease) -> bool:
    """Whether the service went down before the end of an upgrade for which this member held the lease: it came with none."""
    end, lost_at = lease.last_end, member.service_lost_at
    if end is None or lost_at is None:
        return False
    return end.claim.holder == member.node.id and end.claim.kind is Kind.SERVICE and lost_at <= end.at


def _begin_service(group: GroupId, member: Member, limits: Limits, now: Now) -> Deferral | None:
    lost_at = member.service_lost_at
    if lost_at is None or service_gap.why_over(lost_at, member, limits, now) is not None:
        return None
    status = "no agreement" if not member.agreements else "not running yet"
    subject = PolicyId("")
    return Deferral(group=group, node=member.node.id, subject=subject, since=lost_at, status=status, kind=Kind.SERVICE)


def claim_of(deferral: Deferral) -> Claim:
    """Return the upgrade that a member is in."""
    return Claim(holder=deferral.node, kind=deferral.kind, subject=deferral.subject)


def covers(deferral: Deferral, ask: Ask) -> bool:
    """Tell whether this question is about the very upgrade that the node came with.

    Never for a service: which policy takes it down cannot be seen, and the next release would slip through with it.
    """
    is_agent = deferral.kind is Kind.AGENT and not deferral.cut_off
    return is_agent and ask.subject == (Kind.AGENT, deferral.subject)


def why_ended(
    deferral: Deferral, member: Member | Sight, limits: Limits, now: Now, *, is_listed: bool = False
) -> str | None:
    """Say why the deferral is over, or None while it lasts or nothing is known. `is_listed`: the agbot says that it is under way."""
    absent = why_absent(member if isinstance(member, Sight) else member.node, deferral.group)
    if absent is not None or isinstance(member, Sight):
        return absent
    if deferral.kind is Kind.SERVICE:
        return service_gap.why_over(deferral.since, member, limits, now, deferral.service)
    status = member.statuses.get(deferral.subject)
    if is_listed and (status is None or status.phase in _NOT_BEGUN):
        # the agbot has let it go a moment ago, and it has not reported that yet
        waited = now.age_of(deferral.since) >= timedelta(seconds=limits.lease_seconds)
        return f"nothing of it was seen within {limits.lease_seconds:g} s" if waited else None
    return _why_over(deferral, member, limits, now)


def _why_over(deferral: Deferral, member: Member, limits: Limits, now: Now) -> str | None:
    """Read the end of the upgrade from the member's own report."""
    status = member.statuses.get(deferral.subject)
    if status is None or (deferral.cut_off and status.phase in _NOT_BEGUN):
        # a policy that matches again begins a report of its own, while the script of before still installs
        return _why_cut_off_over(deferral, member, limits, now)
    is_for_good = now.age_of(status.updated_at) >= timedelta(seconds=limits.failure_grace_seconds)
    if status.phase not in _MAY_GO_ON or (status.phase is Phase.FAILING and is_for_good):
        return f"the upgrade is {status.value}"
    if status.phase is Phase.UNDER_WAY and not health.is_under_way(status, member, limits, now):
        return f"{status.value} is an old report: the version is reached, or it is older than the longest upgrade"
    return None


def left_behind(lease: Lease, cause: Cause, node: Node | Sight, now: Now) -> Deferral | None:
    """Return what may go on although the upgrade that held the lease can be reported no more, None for nothing.

    The Exchange deletes a policy's statuses with it, and a node's key with its registration; an agent past the gate installs all the same,
    and a service that is down comes back when it comes back: the others wait for that. Past the gate may be whoever was told yes, and did
    not report afterwards that it has stopped nothing.
    """
    if lease.hold is None or cause not in _ENDS_THE_REPORT:
        return None
    claim, progress = lease.hold.claim, lease.hold.progress
    begun = partial(
        Deferral, group=lease.group, node=claim.holder, subject=claim.subject, since=now.wall, overlaps=True
    )
    if claim.kind is Kind.SERVICE and cause is Cause.UNREGISTERED:
        return None  # without a key there are no agreements: it does not come back by itself
    if claim.kind is Kind.SERVICE:
        return begun(kind=Kind.SERVICE, status=progress.status, service=progress.service)
    if progress.status in _STOPPED_NOTHING:
        return None
    version = node.agent_version if isinstance(node, Node) else ""
    return begun(status=progress.status or "nothing", cut_off=progress.version_before or version or _UNKNOWN)


def _why_cut_off_over(deferral: Deferral, member: Member, limits: Limits, now: Now) -> str | None:
    """Say why an upgrade that the node reports no more is over: at once, unless it was cut off (`left_behind`)."""
    version, waited = member.node.agent_version, timedelta(seconds=limits.lease_seconds)
    if not deferral.cut_off:
        return "the node no longer reports this upgrade"
    if version and deferral.cut_off not in {_UNKNOWN, version}:
        return f"the node runs agent version {version} now"
    if now.age_of(deferral.since) >= waited:
        return f"nothing was heard of it for {limits.lease_seconds:g} s, and it can be reported no more"
    return None
