"""How far a service upgrade is, read from the holder's agreements and containers.

Measured on real agents (`reference/agbot-ha.md`, "Service upgrades, live"): the old agreement ends,
a new one appears and becomes final, and its containers run. A final agreement alone is too early.
The end is a new agreement, final, with every container `running`: at the policy's top version the
upgrade has succeeded, at another one the agbot has rolled it back (W3). If the agbot lists its
upgrades, its row has to be gone as well, and then `final` is not required: it reaches the Exchange
up to ten seconds after the containers run. A node that reports no containers proves less: its new
agreement has to be final for as long as a lease lasts, up to a heartbeat of the node, and the
release states that. One that has died with its service down reports no containers either, and that
a node is not silent yet is no sign of life: silence is not counted while the coordinator is blind.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from agbot.rules.facts import Agreement, Policy, Sight
from agbot.rules.holder import CLOCK_TOLERANCE, Review
from agbot.rules.lease import Kind, Tenure
from agbot.rules.progress import Progress
from agbot.rules.reasons import Cause
from agbot.rules.rows import STUCK_AFTER
from agbot.rules.seen_time import Now
from agbot.rules.statuses import ENDINGS, PHASES
from agbot.rules.verdict import Release, Renew, Verdict


def review_service(case: Review) -> Verdict:
    """Compare what the holder runs now with what it ran at the grant."""
    policy, agreements = case.seen.policy, case.seen.agreements
    if isinstance(agreements, Sight) or not isinstance(policy, Policy):
        return case.keep
    mine = tuple(each for each in agreements if each.service == policy.service)
    news = tuple(each for each in mine if _may_follow_the_grant(each, case))
    done = next((each for each in news if _runs_again(each, case)), None)
    ended = _ended(done, policy, mine, case) if done is not None else None
    return ended or _going_on(mine, news, case)


def _may_follow_the_grant(agreement: Agreement, case: Review) -> bool:
    """Whether an agreement may have followed from the grant."""
    # An older one that is not among those at the grant is back with a restored Exchange. An
    # observed upgrade got its lease after it had begun, so its new agreement may be older than
    # that.
    made_at = agreement.updated_at
    is_observed = case.tenure.progress.observed
    return is_observed or made_at is None or made_at >= case.tenure.granted_at - CLOCK_TOLERANCE


def _runs_again(agreement: Agreement, case: Review) -> bool:
    """Whether this is a new agreement under which the service runs."""
    progress = case.tenure.progress
    # `final` reaches the Exchange about 10 s after the containers run, and the agbot goes on before
    # that: whoever waits for it calls the next member's begin an overlap.
    is_made = agreement.finalized or (progress.observed and case.seen.is_listed is False)
    return is_made and agreement.runs and agreement.id not in progress.agreements_before


def _ended(done: Agreement, policy: Policy, mine: tuple[Agreement, ...], case: Review) -> Verdict | None:
    """Return how the upgrade has ended, as `done` shows; None if its version cannot be compared."""
    progress = case.tenure.progress
    if progress.observed and case.seen.is_listed:
        kept = still_listed(case, _digest(mine))
        if kept is not None:
            return kept
    if not done.version or not policy.top_version:
        return None
    # The version at the begin counts too: a policy that is published again in the middle has
    # another top version, and that upgrade has not failed (W2). Any other is a rollback (W3).
    runs = f"{case.holder} runs {policy.service} {done.version}"
    if done.version in {policy.top_version, progress.target_version}:
        return Release(cause=Cause.SUCCEEDED, why=runs)
    return Release(cause=Cause.FAILED, why=f"{runs}, not {policy.top_version}")


def still_listed(case: Review, status: str, stamp: str = "") -> Verdict | None:
    """Keep the lease of a holder that has finished while the agbot still lists the upgrade.

    None once the agbot's row is stuck.
    """
    progress, now = case.tenure.progress, case.now.seen
    # the beginning of the wait is recorded with the lease, and goes on after a restart
    if progress.pending_since is None:
        done = replace(progress, moved_at=now, status=status, stamp=stamp, confirmed=True, pending_since=now)
        return Renew(progress=done, why=f"{status}; the agbot still lists it")
    if now - progress.pending_since < STUCK_AFTER:
        return replace(case.keep, note=f"{case.holder} is done; the agbot still lists it")
    return None


def is_only_listed(tenure: Tenure) -> bool:
    """Whether the node has finished, and only the agbot's row of its upgrade is waited for."""
    progress = tenure.progress
    if not progress.observed or progress.pending_since is None:
        return False
    return tenure.claim.kind is Kind.SERVICE or PHASES.get(progress.status) in ENDINGS


def _going_on(mine: tuple[Agreement, ...], news: tuple[Agreement, ...], case: Review) -> Verdict:
    """Renew if the agreements have changed, unless they have only gone back and forth for long."""
    shown = _digest(mine)
    if shown == case.tenure.progress.status:
        return _unreported(news, case) or case.keep
    # Containers that restart without end change the agreements each time: that renews only until
    # the longest upgrade is over.
    moved = _moved(case.tenure.progress, shown, mine, case.now)
    if moved.standstill(case.now.seen) >= timedelta(seconds=case.limits.max_upgrade_seconds):
        return replace(case.keep, note=f"{case.holder} goes back and forth: {shown}")
    return Renew(progress=moved, why=shown)


def _unreported(mine: tuple[Agreement, ...], case: Review) -> Release | None:
    """Release at a final agreement without containers, once it has stood for a while (W10)."""
    progress, limits, alive_at = case.tenure.progress, case.limits, case.settled_at
    is_unreported = all(each.finalized and not each.containers for each in mine)
    is_new = bool(mine) and not {each.id for each in mine} & set(progress.agreements_before)
    if not (is_unreported and is_new) or alive_at is None:
        return None
    # Until a heartbeat and not until now: a node that died with its service down reports none
    # either, and silence is not counted while we are blind, so that it is not known to be dead.
    if alive_at - progress.moved_at < timedelta(seconds=limits.lease_seconds):
        return None
    names = ", ".join(each.id[:8] for each in mine)
    why = f"its new agreement {names} has been final for {limits.lease_seconds:g} s and no container is reported: a weaker proof"
    return Release(cause=Cause.SUCCEEDED, why=why)


def _digest(agreements: tuple[Agreement, ...]) -> str:
    """Describe the agreements in one line that changes whenever one of them changes."""
    lines = (
        f"{each.id[:8]} {'final' if each.finalized else 'proposed'} {each.version} {','.join(each.containers)}".strip()
        for each in sorted(agreements, key=lambda each: each.id)
    )
    return "; ".join(lines) or "no agreement"


def _moved(progress: Progress, shown: str, mine: tuple[Agreement, ...], now: Now) -> Progress:
    ids = {each.id for each in mine}
    # for an observed upgrade a cancellation is no sign: it may have been for good
    begun = progress.confirmed or ((bool(ids) or not progress.observed) and not ids & set(progress.agreements_before))
    return replace(progress.reported(shown, now.seen), status=shown, confirmed=begun)
