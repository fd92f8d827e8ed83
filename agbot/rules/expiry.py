"""What time decides about an occupied lease.

A claim that nothing confirms is taken back, a lease without evidence expires, and a suspect lease
is resolved. Time in which the coordinator could not look is no evidence: only a read after the
deadline counts, and the holder must have been able to report before it.
"""

from __future__ import annotations

from datetime import timedelta

from agbot.rules import health
from agbot.rules.facts import Node
from agbot.rules.holder import CLOCK_TOLERANCE, Review
from agbot.rules.lease import Kind, State
from agbot.rules.reasons import Cause
from agbot.rules.seen_time import SETTLING, SeenTime
from agbot.rules.statuses import GOING_BACK, Status
from agbot.rules.verdict import Keep, Release, Renew, Suspect, Verdict
from agbot.rules.words import clock


def if_unconfirmed(case: Review, read_at: SeenTime | None) -> Verdict:
    """Take back a claim that nothing read from the node confirms in time (A8).

    The caller has made sure that the node could have reported before `read_at`.
    """
    # a read from before the deadline cannot show that nothing came until then
    if case.tenure.progress.confirmed or read_at is None or read_at < confirm_due(case):
        return case.keep
    why = f"{case.holder} showed no sign of {case.tenure.claim.what} within {_confirm_seconds(case):g} s"
    return Release(cause=Cause.UNCONFIRMED, why=why)


def confirm_due(case: Review) -> SeenTime:
    """Return when the claim has to be confirmed."""
    due_at = case.claimed_at + timedelta(seconds=_confirm_seconds(case))
    # what the node could not report while the Exchange was away comes within a minute after that
    return due_at if case.now.clear_since is None else max(due_at, case.now.clear_since + SETTLING)


def _confirm_seconds(case: Review) -> float:
    # An observed upgrade has lost its agreement already. Its next sign is the new one, 3 to 34 s
    # later (measured), or none if the agreement ended for good: it gets the time of any evidence.
    return case.limits.lease_seconds if case.tenure.progress.observed else case.limits.confirm_seconds


def review_time(case: Review, kept: Keep) -> Verdict:
    """Decide by time alone: heartbeats renew for a while, then the lease expires.

    An expired lease is resolved by proof.
    """
    node = case.seen.node
    if not isinstance(node, Node):
        # nothing expires while the holder cannot be read: that is no evidence about the node (P4)
        return _of_unreadable(case, kept)
    if case.lease.state is State.SUSPECT:
        return _resolve(case, node) or kept
    if _heartbeat_renews(case, node):
        return Renew(progress=kept.progress, why="heartbeat", evidence_at=case.alive_at)
    if case.now.seen < case.expires_at or not _was_looked_at_since(case, node, case.expires_at):
        return kept
    progress, is_offline = case.tenure.progress, health.why_offline(node, case.limits, case.now) is not None
    since = clock(case.now.shown(progress.moved_at))
    alive = _last_heartbeat(node) if is_offline else "its heartbeat is fresh"
    why = f"{case.holder} has reported {progress.status or 'nothing'} since {since}; {alive}"
    return Suspect(why=why, progress=kept.progress)


def _of_unreadable(case: Review, kept: Keep) -> Verdict:
    """Suspect an expired lease whose holder is unreadable: that does not end by itself."""
    has_expired = case.lease.state is State.HELD and case.now.seen >= case.expires_at
    if not case.seen.unreadable or not has_expired:
        return kept
    return Suspect(why=f"{case.holder}: {case.seen.unreadable}", progress=kept.progress)


def _last_heartbeat(node: Node) -> str:
    """Name the last heartbeat."""
    # when it was and not how long ago: the text is journalled, and read later
    return f"last heartbeat at {clock(node.heartbeat_at)}" if node.heartbeat_at else "has never sent a heartbeat"


def _was_looked_at_since(case: Review, node: Node, moment: SeenTime) -> bool:
    """Whether the node was read after this moment and not in the first minute after a blindness."""
    read_at = case.seen.node_read_at
    return (read_at is None or read_at >= moment) and health.is_settled(node, case.limits, case.now)


def _heartbeat_renews(case: Review, node: Node) -> bool:
    """Whether a fresh heartbeat renews the lease: a confirmed one, for a while after a change."""
    progress, limits, alive_at = case.tenure.progress, case.limits, case.alive_at
    # a heartbeat that would add less than a quarter of the time is not worth a commit
    worth_writing = case.tenure.renewed_at + timedelta(seconds=limits.lease_seconds / 4)
    if alive_at is None or not worth_writing < alive_at <= case.now.seen + CLOCK_TOLERANCE:
        return False  # in nearly every review
    # heartbeats alone would keep a hung upgrade on a live node for good (A1)
    still_moving = progress.standstill(case.now.seen) < timedelta(seconds=limits.max_upgrade_seconds)
    # A node that runs the requested version and does not report it soon has lost its final status
    # (A7). Its lease has to expire, because only a suspect one is resolved by the version.
    reached = bool(proving_version(case)) and node.agent_version == proving_version(case)
    return progress.confirmed and still_moving and not reached


def _resolve(case: Review, node: Node) -> Release | None:
    """End a suspect lease by proof: the node runs the requested version, or is dead."""
    target, alive_at = proving_version(case), case.alive_at
    # A heartbeat since the expiry, and not only a fresh one: a new agent reports its version before
    # it has settled and may die then, while its last heartbeat stays fresh for minutes (a seed of
    # the simulation showed that).
    is_back = alive_at is not None and alive_at > case.expires_at
    is_alive = health.why_offline(node, case.limits, case.now) is None
    if target and node.agent_version == target and is_back and is_alive:
        return Release(cause=Cause.SUCCEEDED, why=f"{node.id} is alive and runs the requested agent version, {target}")
    if health.is_dead(node, case.limits, case.now):
        return Release(cause=Cause.EXPIRED, why=f"{node.id} is dead: {_last_heartbeat(node)}")
    return None


def proving_version(case: Review) -> str:
    """Return the agent version that proves the success of this upgrade; empty if none does."""
    progress, status = case.tenure.progress, case.seen.status
    value, target = progress.status, progress.target_version
    if isinstance(status, Status):
        value, target = status.value, status.target_version or target
    # Under `failed` or `rollback started` the new version ran and is being removed. A version that
    # the node ran at the grant already proves nothing about this upgrade.
    proves = case.tenure.claim.kind is Kind.AGENT and value not in GOING_BACK and target != progress.version_before
    return target if proves else ""
