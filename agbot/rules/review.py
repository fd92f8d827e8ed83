"""The review of an occupied lease: one set of facts gives one verdict.

An unknown state is never taken for an end (P3). A lease is released on evidence only (P5): the
node, the policy, the membership or the registration is gone, or the holder's own status, newer than
the grant, shows how the upgrade ended. A lease is kept while facts are unread. Without evidence it
expires into `suspect`, which ends by proof or by an operator.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from agbot.rules.expiry import if_unconfirmed, review_time
from agbot.rules.facts import Node, Policy, Sight
from agbot.rules.holder import CLOCK_TOLERANCE, Review
from agbot.rules.lease import Kind
from agbot.rules.loss import why_runs_again
from agbot.rules.reasons import Cause
from agbot.rules.seen_time import SeenTime
from agbot.rules.service_progress import review_service, still_listed
from agbot.rules.statuses import ACTIVE, CONFIRMING, ENDINGS, Status, grace
from agbot.rules.verdict import Keep, Release, Renew, Verdict

# an agent reports at once, and again every 10 s what the Exchange has not accepted
_SHOWN_WITHIN = timedelta(seconds=60)


def review(case: Review) -> Verdict:
    """Decide what becomes of an occupied lease."""
    if case.tenure.progress.is_untaken:
        return replace(case.keep, note="the guard has granted it, and nothing more is known yet")
    if case.tenure.claim.kind is Kind.HOST:
        # nothing in the Exchange shows a reboot, whose end the host reports by itself
        return _gone(case) or review_time(case, case.keep)
    return _gone(case) or _status_gone(case) or _review_upgrade(case)


def _gone(case: Review) -> Release | None:
    """Release a lease whose holder, membership or policy is gone."""
    node, subject = case.seen.node, case.tenure.claim.subject
    if node is Sight.ABSENT or case.seen.recreated:
        return Release(cause=Cause.NODE_DELETED, why=f"{case.holder} was deleted from the Exchange")
    if isinstance(node, Node) and node.group != case.lease.group:
        return Release(cause=Cause.LEFT_GROUP, why=f"{case.holder} is no longer in {case.lease.group}")
    if case.seen.policy is Sight.ABSENT:
        return Release(cause=Cause.POLICY_DELETED, why=f"{subject} was deleted from the Exchange")
    return None


def _status_gone(case: Review) -> Release | None:
    """Release if the status has disappeared and a second fact proves an end."""
    if case.tenure.claim.kind is Kind.SERVICE:
        return _service_gone(case)
    if case.seen.status is not Sight.ABSENT or not case.tenure.progress.confirmed:
        return None
    # Alone a missing status keeps the lease (P3): a second fact has to show the end. The agbot has
    # none, and keeps its row for good (A3).
    policy, node, subject = case.seen.policy, case.seen.node, case.tenure.claim.subject
    if isinstance(policy, Policy) and not policy.enabled:
        return Release(cause=Cause.POLICY_DELETED, why=f"{subject} was disabled and {case.holder} has dropped it")
    if isinstance(node, Node) and not node.registered:
        return Release(cause=Cause.UNREGISTERED, why=f"{case.holder} has unregistered: no key, no status")
    return None


def _service_gone(case: Review) -> Release | None:
    """Release if the node has unregistered and has no agreement left for the service."""
    node, agreements, service = case.seen.node, case.seen.agreements, case.tenure.progress.service
    if not isinstance(node, Node) or node.registered or isinstance(agreements, Sight):
        return None
    if any(each.service == service for each in agreements):
        return None
    return Release(cause=Cause.UNREGISTERED, why=f"{case.holder} has unregistered: no key, no agreement")


def _review_upgrade(case: Review) -> Verdict:
    """Review the upgrade's own progress; if that shows nothing, time decides."""
    if not case.tenure.claim.subject:
        return _review_down(case)
    reported = _review_service(case) if case.tenure.claim.kind is Kind.SERVICE else _review_status(case)
    return review_time(case, reported) if isinstance(reported, Keep) else reported


def _review_service(case: Review) -> Verdict:
    """Review the holder's agreements.

    A claim after which the holder continues under its old agreement is taken back (W4).
    """
    reported, read_at = review_service(case), case.seen.agreements_read_at
    is_read = isinstance(case.seen.policy, Policy) and not isinstance(case.seen.agreements, Sight)
    shows_nothing = is_read and isinstance(reported, Keep) and _could_report(case, read_at)
    return if_unconfirmed(case, read_at) if shows_nothing else reported


def _review_down(case: Review) -> Verdict:
    """Keep the lease for a service that is down, until it runs again or the lease runs out.

    It never fails and sets no brake, because it is not known which release it was.
    """
    agreements, progress = case.seen.agreements, case.tenure.progress
    if isinstance(agreements, Sight):
        return case.keep
    # not a plain `not`: None, where the agbot cannot be asked, is no end
    is_over = case.seen.is_listed is False
    why = why_runs_again(progress.service, progress.agreements_before, agreements, is_over=is_over)
    if why:
        return Release(cause=Cause.SUCCEEDED, why=f"{case.holder}: {why}")
    return if_unconfirmed(case, case.seen.agreements_read_at)


def _could_report(case: Review, read_at: SeenTime | None) -> bool:
    """Whether the node would have shown by this read that its upgrade has begun."""
    # An agent that has got its grant installs without the Exchange too, and repeats its report
    # every 10 s until that is accepted. A node that died at once, is cut off, or has just come
    # back, still shows its old agreement although the agbot has cancelled it (measured: up to 10.5
    # s later). So it has to have been alive for a while after the grant.
    alive_at = case.settled_at
    if alive_at is None or read_at is None:
        return False
    shown_within = min(_SHOWN_WITHIN, timedelta(seconds=case.limits.confirm_seconds))
    # and the read must not be older than that sign of life: it would miss what came with it
    return alive_at - case.claimed_at > shown_within and alive_at <= read_at + CLOCK_TOLERANCE


def _review_status(case: Review) -> Verdict:
    """Review the holder's own report."""
    status, read_at = _without_undated(case), case.seen.status_read_at
    # A report from before the grant is about an earlier upgrade and proves no end. An active one is
    # not: an agent reports `ha node waiting` a minute before its first question. Nor is one that
    # cannot be read, which may be active (P3).
    if isinstance(status, Sight) or (_is_old(case, status) and status.phase not in CONFIRMING):
        is_shown = not (status is Sight.UNREAD or case.seen.hides_report) and _could_report(case, read_at)
        return if_unconfirmed(case, read_at) if is_shown else replace(case.keep, note=_why_hidden(case))
    if status.phase in ENDINGS:
        return _ended(case, status)
    if status.phase in ACTIVE:
        # `_renew` returns None if the node has only repeated itself for too long: then time decides
        moved = status.stamp != case.tenure.progress.stamp
        return (moved and _renew(case, status, pending_since=None)) or case.keep
    after = grace(status.phase, case.limits)
    if after is not None:
        return _pending(case, status, *after)
    # an unknown status may belong to an installation (P3)
    progress = replace(case.tenure.progress, status=status.value, pending_since=None)
    return Keep(progress=progress, note=f"{case.holder} reports an unknown status, {status.value!r}")


def _why_hidden(case: Review) -> str:
    """Say that reads of the holder's report are older than the feed; empty if they are not."""
    if not case.seen.hides_report:
        return ""
    return (
        f"the feed has announced a report of {case.holder}, and the Exchange shows none as late: "
        "check whether a proxy answers from an old copy"
    )


def _ended(case: Review, status: Status) -> Verdict:
    """Release at a final status, once the agbot no longer lists an upgrade that it began."""
    if case.tenure.progress.observed and case.seen.is_listed:
        kept = still_listed(case, status.value, status.stamp)
        if kept is not None:
            return kept
    why = f"{case.holder} reports {status.value}"
    return Release(cause=ENDINGS[status.phase], why=why, ended_at=status.updated_at)


def _without_undated(case: Review) -> Status | Sight:
    """Return the holder's status; one that may have been written at any time is made unreadable."""
    status = case.seen.status
    # Its stamp is in the future, so it proves no end; and as an unreadable one it does not prove
    # either that nothing has begun (P3).
    if isinstance(status, Status) and status.written_after is None:
        return replace(status, value=f"{status.value} (its time cannot be right)")
    return status


def _is_old(case: Review, status: Status) -> bool:
    """Whether the status was written before the grant."""
    # After a first status under the grant a later stamp is new, whatever the clocks show; an
    # earlier one may come from a backup of the Exchange. They are compared as text: all have one
    # format, and where Java leaves out zeros at the end, only stamps of one second change places.
    is_earlier = status.stamp < case.tenure.progress.stamp or not case.tenure.progress.stamp
    written_after = status.written_after
    return is_earlier and written_after is not None and written_after < case.tenure.granted_at - CLOCK_TOLERANCE


def _pending(case: Review, status: Status, cause: Cause, grace_seconds: float) -> Verdict:
    """Release at a status that still stands after its grace period, by a later read of it.

    After `failed` the node may roll back, and after `waiting` or `reset` its script may still run:
    an operator has reset the node, or it had begun without being seen (A6).
    """
    progress = case.tenure.progress
    since = progress.pending_since if progress.status == status.value else None
    renewed = _renew(case, status, pending_since=case.now.seen)
    # The first sight is recorded with the lease, so that the period goes on after a restart. Later
    # sights of the same status renew nothing, whatever their stamps.
    if since is None and renewed is not None:
        return renewed
    if since is None or (renewed is None and status.stamp != progress.stamp):
        # It could not be recorded, because the node has reported the same for longer than an
        # upgrade may take. So each new report is its own first sight, from when it was written.
        since = case.now.seen_at(status.updated_at)
    over_at, read_at = since + timedelta(seconds=grace_seconds), case.seen.status_read_at
    # A node that has fallen silent may come back and roll back (two seeds of the simulation did):
    # the status is its last one only if the node was alive after the period.
    # And only if it is the last one: a cache may show an answer from before it.
    is_last = read_at is not None and read_at >= over_at and not case.seen.hides_report
    if not is_last or not case.was_alive_after(over_at):
        note = f"{status.value} does not count as the end yet: {_why_hidden(case) or 'a rollback may follow'}"
        return replace(case.keep, note=note)
    return Release(cause=cause, why=f"{case.holder} has reported {status.value} for {grace_seconds:g} s")


def _renew(case: Review, status: Status, *, pending_since: SeenTime | None) -> Renew | None:
    """Renew by the node's report.

    None if it has repeated the same reports for longer than an upgrade may take.
    """
    before = case.tenure.progress.reported(f"{status.value} {status.versions}", case.now.seen)
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
