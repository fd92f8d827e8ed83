"""Is a held lease still right? One look at the facts, one verdict.

The rule it keeps: unknown is never done (P3). A lease is released on evidence only (P5): the node, the policy, the membership or the
registration is gone, or the holder's own status, newer than the grant, says how the upgrade ended. What has not been read keeps the lease.
Without evidence it expires into `suspect`, which ends by proof or by a person.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from agbot.rules import health
from agbot.rules.facts import Agreement, Node, Policy, Sight
from agbot.rules.lease import Hold, Kind, Lease, State
from agbot.rules.limits import Limits
from agbot.rules.loss import why_runs_again
from agbot.rules.reasons import Cause
from agbot.rules.seen_time import SETTLING, Now, SeenTime
from agbot.rules.service_progress import review_service, still_listed
from agbot.rules.statuses import ACTIVE, CONFIRMING, ENDINGS, GOING_BACK, Phase, Status
from agbot.rules.verdict import Keep, Release, Renew, Suspect, Verdict
from agbot.rules.words import duration

_AGREEMENT_ENDS_WITHIN = timedelta(seconds=60)
_CLOCK_TOLERANCE = timedelta(seconds=2)
"""The Exchange's `Date` header, from which its clock is known, has a resolution of one second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of the holder at this moment."""

    node: Node | Sight = Sight.UNREAD
    policy: Policy | Sight = Sight.UNREAD
    status: Status | Sight = Sight.UNREAD
    """The holder's status for the lease's policy (agent upgrades)."""
    agreements: tuple[Agreement, ...] | Sight = Sight.UNREAD
    """The holder's agreements (service upgrades)."""
    node_read_at: SeenTime | None = None
    """None where that is not known."""
    status_read_at: SeenTime | None = None
    agreements_read_at: SeenTime | None = None
    unreadable: str = ""
    """What of the holder is there in the Exchange and cannot be read: that is no blindness of ours, and does not pass by itself."""
    is_listed: bool | None = None
    """Whether the agbot lists this upgrade as under way; None where it cannot be asked."""
    recreated: bool = False
    """The Exchange has announced a new node under the holder's name since the grant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One lease under review with everything that bears on it."""

    lease: Lease
    hold: Hold
    seen: Seen
    limits: Limits
    now: Now

    @property
    def holder(self) -> str:
        return self.hold.claim.holder

    @property
    def expires_at(self) -> SeenTime:
        return self.hold.expiry(self.limits.lease_seconds)

    @property
    def keep(self) -> Keep:
        return Keep(progress=self.hold.progress)


def review(lease: Lease, seen: Seen, limits: Limits, now: Now) -> Verdict:
    """Decide what becomes of an occupied lease.

    Raises:
        ValueError: the lease is free; there is nothing to review.
    """
    if lease.hold is None:
        message = f"the lease of {lease.group} is free"
        raise ValueError(message)
    case = _Case(lease=lease, hold=lease.hold, seen=seen, limits=limits, now=now)
    return _gone(case) or _status_gone(case) or _review_upgrade(case)


def _gone(case: _Case) -> Release | None:
    """Evidence that ends a lease whatever the upgrade does."""
    node, subject = case.seen.node, case.hold.claim.subject
    if node is Sight.ABSENT or case.seen.recreated:
        return Release(cause=Cause.NODE_DELETED, why=f"{case.holder} was deleted from the Exchange")
    if isinstance(node, Node) and node.group != case.lease.group:
        return Release(cause=Cause.LEFT_GROUP, why=f"{case.holder} is no longer in {case.lease.group}")
    if case.seen.policy is Sight.ABSENT:
        return Release(cause=Cause.POLICY_DELETED, why=f"{subject} was deleted from the Exchange")
    return None


def _status_gone(case: _Case) -> Release | None:
    """A status that was there and is gone proves an end only together with a second fact; alone it keeps the lease (P3)."""
    if case.hold.claim.kind is Kind.SERVICE:
        return _service_gone(case)
    if case.seen.status is not Sight.ABSENT or not case.hold.progress.confirmed:
        return None
    policy, node, subject = case.seen.policy, case.seen.node, case.hold.claim.subject
    if isinstance(policy, Policy) and not policy.enabled:
        return Release(cause=Cause.POLICY_DELETED, why=f"{subject} was disabled and {case.holder} has dropped it")
    if isinstance(node, Node) and not node.registered:
        return Release(cause=Cause.UNREGISTERED, why=f"{case.holder} has unregistered: no key, no status")
    return None


def _service_gone(case: _Case) -> Release | None:
    """A node without a key makes no agreements: with none left for the service its upgrade is over."""
    node, agreements, service = case.seen.node, case.seen.agreements, case.hold.progress.service
    if not isinstance(node, Node) or node.registered or isinstance(agreements, Sight):
        return None
    if any(each.service == service for each in agreements):
        return None
    return Release(cause=Cause.UNREGISTERED, why=f"{case.holder} has unregistered: no key, no agreement")


def _review_upgrade(case: _Case) -> Verdict:
    """Read the upgrade's own progress; where that says nothing, the time decides."""
    if case.hold.claim.kind is Kind.SERVICE and not case.hold.claim.subject:
        return _review_down(case)
    reported = _review_service(case) if case.hold.claim.kind is Kind.SERVICE else _review_status(case)
    return _review_time(case, reported) if isinstance(reported, Keep) else reported


def _review_service(case: _Case) -> Verdict:
    """Read the holder's agreements. A claim after which it goes on under its old agreement is taken back (W4)."""
    policy, agreements = case.seen.policy, case.seen.agreements
    reported = review_service(case.hold, policy, agreements, case.limits, case.now, is_listed=case.seen.is_listed)
    is_read = isinstance(policy, Policy) and not isinstance(agreements, Sight)
    goes_on = is_read and isinstance(reported, Keep) and _is_alive_after_the_grant(case)
    return _if_unconfirmed(case, case.seen.agreements_read_at) if goes_on else reported


def _review_down(case: _Case) -> Verdict:
    """Hold the lease for a service of which only its absence is known: until it runs again, or for as long as a lease lasts.

    No verdict about a release follows, because nobody knows which one it was.
    """
    agreements, progress = case.seen.agreements, case.hold.progress
    if isinstance(agreements, Sight):
        return case.keep
    is_over = case.seen.is_listed is False
    why = why_runs_again(progress.service, progress.agreements_before, agreements, is_over=is_over)
    if why:
        return Release(cause=Cause.SUCCEEDED, why=f"{case.holder}: {why}")
    return _if_unconfirmed(case, case.seen.agreements_read_at)


def _is_alive_after_the_grant(case: _Case) -> bool:
    """Whether the node has lived long enough after the grant to have ended its old agreement, had the upgrade begun.

    A node that died at once still shows its old agreement while the agbot has cancelled it already (measured: up to 10.5 s later).
    """
    heard_at = _heard_at(case)
    return heard_at is not None and heard_at - _claimed_at(case) > _AGREEMENT_ENDS_WITHIN


def _review_status(case: _Case) -> Verdict:
    """Read the holder's own report. One from before the grant is about an earlier upgrade and proves no end."""
    status = _without_undated(case)
    if isinstance(status, Sight) or (_is_old(case, status) and status.phase not in CONFIRMING):
        return case.keep if status is Sight.UNREAD else _if_unconfirmed(case, case.seen.status_read_at)
    if status.phase in ENDINGS:
        return _ended(case, status)
    if status.phase in ACTIVE:
        moved = status.stamp != case.hold.progress.stamp
        return (moved and _renew(case, status, pending_since=None)) or case.keep
    if status.phase is Phase.FAILING:
        return _pending(case, status, Cause.FAILED, case.limits.failure_grace_seconds)
    if status.phase is Phase.IDLE:
        return _pending(case, status, Cause.RESET, case.limits.reset_grace_seconds)
    # It may be one of an installation (P3).
    progress = replace(case.hold.progress, status=status.value, pending_since=None)
    return Keep(progress=progress, note=f"{case.holder} reports {status.value!r}, which is not known")


def _ended(case: _Case, status: Status) -> Verdict:
    """The end of an upgrade that the agbot has begun is its own row's end as well."""
    if case.hold.progress.observed and case.seen.is_listed:
        kept = still_listed(case.hold, status.value, case.now, status.stamp)
        if kept is not None:
            return kept
    why = f"{case.holder} reports {status.value}"
    return Release(cause=ENDINGS[status.phase], why=why, ended_at=status.updated_at)


def _without_undated(case: _Case) -> Status | Sight:
    """Return the holder's status; one that may have been written at any time says nothing that anybody can read."""
    status = case.seen.status
    if isinstance(status, Status) and status.written_after is None and status.phase is not Phase.UNREADABLE:
        return replace(status, value=f"{status.value} (its time cannot be right)")
    return status


def _is_old(case: _Case, status: Status) -> bool:
    """Whether it was written before the grant. Once one was seen, a later stamp is news whatever the clocks say; a backup's is not."""
    is_earlier = status.stamp < case.hold.progress.stamp or not case.hold.progress.stamp
    written_after = status.written_after
    return is_earlier and written_after is not None and written_after < case.hold.granted_at - _CLOCK_TOLERANCE


def _pending(case: _Case, status: Status, cause: Cause, grace_seconds: float) -> Verdict:
    """A status that ends the lease only when it still stands after its grace period, by a look at it that was made after that.

    A node that has failed and fallen silent may come back and roll back: only one that was alive after the grace has failed for good.
    `waiting` or `reset` after the grant is one (A6): somebody has put the node back, but its script may run all the same, and that it had
    begun may have been hidden from us, by a frozen feed for example.
    """
    progress = case.hold.progress
    since = progress.pending_since if progress.status == status.value else None
    renewed = _renew(case, status, pending_since=case.now.seen)
    if since is None and renewed is not None:
        return renewed
    if since is None or (renewed is None and status.stamp != progress.stamp):
        since = case.now.seen_at(status.updated_at)  # what has come in between was not written down any more
    over_at, read_at = since + timedelta(seconds=grace_seconds), case.seen.status_read_at
    if read_at is None or read_at < over_at or (cause is Cause.FAILED and not _was_alive_after(case, over_at)):
        return replace(case.keep, note=f"{status.value} is not taken for the end yet: a rollback may follow")
    return Release(cause=cause, why=f"{case.holder} reports {status.value} for {grace_seconds:g} s")


def _was_alive_after(case: _Case, moment: SeenTime) -> bool:
    heard_at = _heard_at(case)
    return heard_at is not None and moment <= heard_at <= case.now.seen + _CLOCK_TOLERANCE


def _heard_at(case: _Case) -> SeenTime | None:
    node = case.seen.node
    heard_at = health.heard_at(node) if isinstance(node, Node) else None
    return case.now.seen_at(heard_at) if heard_at is not None else None


def _renew(case: _Case, status: Status, *, pending_since: SeenTime | None) -> Renew | None:
    """Renew for what the node has written; None where it writes the same for longer than an upgrade may take."""
    before = case.hold.progress.reported(f"{status.value} {status.versions}", case.now.seen)
    if before.standstill(case.now.seen) >= timedelta(seconds=case.limits.max_upgrade_seconds):
        return None
    progress = replace(
        before,
        status=status.value,
        stamp=status.stamp,
        confirmed=before.confirmed or status.phase in ACTIVE,
        pending_since=pending_since,
        target_version=status.target_version or before.target_version,
        certificate=status.certificate or before.certificate,
        configuration=status.configuration or before.configuration,
    )
    return Renew(progress=progress, why=f"{case.holder} reports {status.value}")


def _claimed_at(case: _Case) -> SeenTime:
    """Return since when a sign of the upgrade is due.

    An agbot that asks again has not begun, because the first yes was lost, and begins with this one. A node that asks again without
    ever reporting what it asks for shows nothing by that (A8).
    """
    hold = case.hold
    return hold.renewed_at if hold.claim.kind is Kind.SERVICE else case.now.seen_at(hold.granted_at)


def _if_unconfirmed(case: _Case, read_at: SeenTime | None) -> Verdict:
    """A claim that nothing read from the node confirms is taken back after a while (A8).

    Our blindness is no evidence: what counts is a look after that time, and the node must have been able to report before it.
    """
    progress = case.hold.progress
    limit = case.limits.lease_seconds if progress.observed else case.limits.confirm_seconds
    due_at = _claimed_at(case) + timedelta(seconds=limit)
    if case.now.clear_since is not None:
        due_at = max(due_at, case.now.clear_since + SETTLING)
    if progress.confirmed or read_at is None or read_at < due_at:
        return case.keep
    why = f"{case.holder} showed no sign of {case.hold.claim.what} within {limit:g} s"
    return Release(cause=Cause.UNCONFIRMED, why=why)


def _review_time(case: _Case, kept: Keep) -> Verdict:
    """Without new evidence: heartbeats renew for a while, then the lease expires, then it is resolved.

    While the holder cannot be read nothing expires: our blindness is no evidence about the node.
    """
    node, hold = case.seen.node, case.hold
    if not isinstance(node, Node):
        is_over = case.lease.state is State.HELD and case.now.seen >= case.expires_at
        why = f"{case.holder}: {case.seen.unreadable}"
        return Suspect(why=why, progress=kept.progress) if case.seen.unreadable and is_over else kept
    if case.lease.state is State.SUSPECT:
        return _resolve(case, node) or kept
    if _heartbeat_renews(case, node):
        return Renew(progress=kept.progress, why="heartbeat", evidence_at=_heard_at(case))
    if case.now.seen < case.expires_at or not _was_looked_at_since(case, node, case.expires_at):
        return kept
    silent = duration(case.now.seen - hold.progress.moved_at)
    alive = health.why_offline(node, case.limits, case.now) or "its heartbeat is fresh"
    why = f"{case.holder} has reported {hold.progress.status or 'nothing'} for {silent}; {alive}"
    return Suspect(why=why, progress=kept.progress)


def _was_looked_at_since(case: _Case, node: Node, moment: SeenTime) -> bool:
    """Whether what is known of the node was read after this moment, and not in the first minute after a blindness."""
    read_at = case.seen.node_read_at
    return (read_at is None or read_at >= moment) and health.is_settled(node, case.limits, case.now)


def _heartbeat_renews(case: _Case, node: Node) -> bool:
    """A fresh heartbeat renews a confirmed lease, for a while after the last change; a small step is not worth a commit.

    A node that runs the version asked for has lost its final status (A7) if it does not report it soon: its lease may expire.
    """
    progress, limits = case.hold.progress, case.limits
    still_moving = progress.standstill(case.now.seen) < timedelta(seconds=limits.max_upgrade_seconds)
    worth_writing = case.hold.renewed_at + timedelta(seconds=limits.lease_seconds / 4)
    heard_at = _heard_at(case)
    alive = heard_at is not None and worth_writing < heard_at <= case.now.seen + _CLOCK_TOLERANCE
    reached = bool(_proving_version(case)) and node.agent_version == _proving_version(case)
    return progress.confirmed and still_moving and alive and not reached


def _resolve(case: _Case, node: Node) -> Release | None:
    """End a suspect lease by proof: the version asked for has been reached, or the node is dead.

    Alive is who has sent a heartbeat since the lease expired. A new agent tells its version before it has settled, and may die right then:
    its last heartbeat is fresh for minutes (a seed of the simulation did that).
    """
    target, heard_at = _proving_version(case), _heard_at(case)
    is_back = heard_at is not None and heard_at > case.expires_at
    is_alive = health.why_offline(node, case.limits, case.now) is None
    if target and node.agent_version == target and is_back and is_alive:
        return Release(cause=Cause.SUCCEEDED, why=f"{node.id} is alive and runs the agent version asked for, {target}")
    if health.is_dead(node, case.limits, case.now):
        return Release(cause=Cause.EXPIRED, why=f"{node.id} {health.why_silent(node, case.limits, case.now)}")
    return None


def _proving_version(case: _Case) -> str:
    """Return the agent version that proves the success of this upgrade; empty where none does."""
    progress, status = case.hold.progress, case.seen.status
    value, target = progress.status, progress.target_version
    if isinstance(status, Status):
        value, target = status.value, status.target_version or target
    proves = case.hold.claim.kind is Kind.AGENT and value not in GOING_BACK and target != progress.version_before
    return target if proves else ""
