"""Deferred membership: a node has joined while its own upgrade was under way.

The users' documents promise that its membership is not enforced until that upgrade has completed.
Under way means past the gate (`downloaded`, `initiated`, `rollback started`). A node that still
downloads or waits has not stopped anything yet, and a real agent asks before it does
(`reference/agbot-ha.md` 5.2), so it is a member like any other. The same applies to a member that
comes back in the middle of an upgrade after its lease was taken away, and to a node whose service
is down for its upgrade (`service_gap`). A member that began without asking is not deferred: it
takes the lease (`unasked`). A deferral ends on evidence only.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

from agbot.rules import health, service_gap, unasked
from agbot.rules.facts import Ask, Member, Node, Sight
from agbot.rules.ids import GroupId, PolicyId
from agbot.rules.lease import Claim, Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.presence import why_absent
from agbot.rules.reasons import Cause
from agbot.rules.records import Deferral, Turn
from agbot.rules.seen_time import Now, SeenTime
from agbot.rules.statuses import MAY_GO_ON, Phase

_UNKNOWN = "unknown"
_ENDS_THE_REPORT = frozenset({Cause.POLICY_DELETED, Cause.UNREGISTERED})
_STOPPED_NOTHING = frozenset({"download started"})
"""An agent that downloads asks once more before it stops anything; one that was waiting for its
grant does not."""
_NOT_BEGUN = frozenset({Phase.IDLE, Phase.ASKING})


def begin(
    group: GroupId, member: Member, lease: Lease, limits: Limits, now: Now, *, turn: Turn | None = None
) -> Deferral | None:
    """Return the deferral of a member past the gate, or None if it is not deferred.

    Such a member came with its upgrade under way, or lost the lease with it. `turn` is when it
    last held the lease.
    """
    if not unasked.is_judged(member, lease, limits, now):
        return None
    subject = health.upgrading(member, limits, now)
    if subject is None:
        # a service that went down under its own lease is no upgrade that it came with
        return None if _was_under_lease(member, lease) else _begin_service(group, member, limits, now)
    if not unasked.came_with(member, subject, lease, turn, now):
        return None  # it began without asking, and takes the lease or overlaps (`unasked`)
    status = member.statuses[subject].value
    return Deferral(group=group, node=member.node.id, subject=subject, since=now.wall, status=status)


def _was_under_lease(member: Member, lease: Lease) -> bool:
    """Whether the service went down during an upgrade for which this member held the lease."""
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
    """Return whether the question is about the upgrade that the node came with."""
    # Never for a service: it cannot be seen which policy takes it down, and the next release would
    # be granted along with it. Nor for one that was cut off: the same name is another upgrade then.
    is_agent = deferral.kind is Kind.AGENT and not deferral.cut_off
    return is_agent and ask.subject == (Kind.AGENT, deferral.subject)


def why_ended(
    deferral: Deferral, member: Member | Sight, limits: Limits, now: Now, *, is_listed: bool = False
) -> str | None:
    """Say why the deferral is over; None if it lasts or nothing is known.

    `is_listed`: the agbot lists the upgrade as under way.
    """
    absent = why_absent(member if isinstance(member, Sight) else member.node, deferral.group)
    if absent is not None or isinstance(member, Sight):
        return absent
    if deferral.kind is Kind.SERVICE:
        return service_gap.why_over(deferral.since, member, limits, now, deferral.service)
    status = member.statuses.get(deferral.subject)
    if is_listed and (status is None or status.phase in _NOT_BEGUN):
        # The agbot let it begin a moment ago, and the node has not reported that yet.
        is_over = _has_shown_nothing(deferral, member.statuses_read_at, limits, now)
        return f"no sign of it was seen within {limits.lease_seconds:g} s" if is_over else None
    return _why_over(deferral, member, limits, now)


def _why_over(deferral: Deferral, member: Member, limits: Limits, now: Now) -> str | None:
    """Read the end of the upgrade from the member's own report."""
    status = member.statuses.get(deferral.subject)
    if status is None or (deferral.cut_off and status.phase in _NOT_BEGUN):
        # A policy that matches again starts a report of its own while the previous script still
        # installs.
        return _why_cut_off_over(deferral, member, limits, now)
    # an agent reports `failed` for moments before `rollback started` (A6)
    is_for_good = now.age_of(status.updated_at) >= timedelta(seconds=limits.failure_grace_seconds)
    if status.phase not in MAY_GO_ON or (status.phase is Phase.FAILING and is_for_good):
        return f"it reports {status.value}"
    # a final status can be lost, and then this one stays for good (A7)
    if status.phase is Phase.UNDER_WAY and not health.is_under_way(status, member, limits, now):
        return f"{status.value} is an old report: the version is reached, or it is older than the longest upgrade"
    return None


def unreported(deferral: Deferral, member: Member | Sight, now: Now) -> Deferral | None:
    """Return the deferral of an agent upgrade whose report has disappeared; None for any other one.

    A policy takes the reports of its upgrades with it, without a row in the feed, and the upgrades
    go on (decision 23).
    """
    if isinstance(member, Sight) or why_absent(member.node, deferral.group) is not None:
        return None
    if deferral.kind is not Kind.AGENT or deferral.cut_off or deferral.subject in member.statuses:
        return None
    # counted from now: from here on only the agent's version, or silence, shows the end
    return replace(deferral, since=now.wall, cut_off=member.node.agent_version or _UNKNOWN)


def left_behind(lease: Lease, cause: Cause, node: Node | Sight, now: Now) -> Deferral | None:
    """Return an upgrade that may continue although nothing can report it; None if there is none.

    The Exchange deletes a policy's statuses with the policy, and unregistering deletes a node's
    key. An agent past the gate continues to install, and a service that is down comes back only
    later: the other members wait for that (decision 23).
    """
    if lease.tenure is None or cause not in _ENDS_THE_REPORT:
        return None
    claim, progress = lease.tenure.claim, lease.tenure.progress
    begun = partial(
        Deferral, group=lease.group, node=claim.holder, subject=claim.subject, since=now.wall, overlaps=True
    )
    if claim.kind is Kind.SERVICE and cause is Cause.UNREGISTERED:
        # without a key there are no agreements: the service does not come back by itself
        return None
    if claim.kind is Kind.SERVICE:
        return begun(kind=Kind.SERVICE, status=progress.status, service=progress.service)
    if progress.status in _STOPPED_NOTHING:
        return None
    # Any other status, none at all included, may be past the gate: the agent may have acted on its
    # yes without being able to report it, because the report went with the policy.
    version = node.agent_version if isinstance(node, Node) else ""
    return begun(status=progress.status or "nothing", cut_off=progress.version_before or version or _UNKNOWN)


def _why_cut_off_over(deferral: Deferral, member: Member, limits: Limits, now: Now) -> str | None:
    """Say why an upgrade that the node no longer reports is over; None if it may continue."""
    version = member.node.agent_version
    if not deferral.cut_off:
        # without a report there is nothing to wait for, unless the report was taken away from it
        return "the node no longer reports this upgrade"
    if version and deferral.cut_off not in {_UNKNOWN, version}:
        return f"the node runs agent version {version} now"
    if _has_shown_nothing(deferral, member.read_at, limits, now):
        return f"it has been silent for {limits.lease_seconds:g} s, and can no longer be reported"
    return None


def _has_shown_nothing(deferral: Deferral, read_at: SeenTime | None, limits: Limits, now: Now) -> bool:
    return service_gap.has_shown_nothing(deferral.since, read_at, limits.lease_seconds, limits, now)
