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
from agbot.rules.holder import CLOCK_TOLERANCE
from agbot.rules.lease import Tenure
from agbot.rules.limits import Limits
from agbot.rules.progress import Progress
from agbot.rules.reasons import Cause
from agbot.rules.rows import STUCK_AFTER
from agbot.rules.seen_time import Now, SeenTime
from agbot.rules.verdict import Keep, Release, Renew, Verdict


def review_service(
    tenure: Tenure,
    policy: Policy | Sight,
    agreements: tuple[Agreement, ...] | Sight,
    limits: Limits,
    now: Now,
    *,
    is_listed: bool | None = None,
    alive_at: SeenTime | None = None,
) -> Verdict:
    """Compare what the node runs now with what it ran at the grant.

    `alive_at`: the earliest possible time of its last heartbeat; None if unknown.
    """
    progress = tenure.progress
    if isinstance(agreements, Sight) or not isinstance(policy, Policy):
        return Keep(progress=progress)
    mine = tuple(each for each in agreements if each.service == policy.service)
    is_taken_for_done = progress.observed and is_listed is False
    news = tuple(each for each in mine if _is_since(each, tenure))
    done = next((each for each in news if _runs_again(each, progress, may_be_proposed=is_taken_for_done)), None)
    if done is not None and progress.observed and is_listed:
        kept = still_listed(tenure, _digest(mine), now)
        if kept is not None:
            return kept
    is_comparable = done is not None and done.version and policy.top_version
    wanted = {policy.top_version, progress.target_version}
    if done is not None and is_comparable and done.version in wanted:
        return Release(cause=Cause.SUCCEEDED, why=f"{tenure.claim.holder} runs {policy.service} {done.version}")
    if done is not None and is_comparable:
        why = f"{tenure.claim.holder} runs {policy.service} {done.version}, not {policy.top_version}"
        return Release(cause=Cause.FAILED, why=why)
    seen = _digest(mine)
    if seen == progress.status:
        proven = _unreported(news, progress, limits, alive_at)
        return proven or Keep(progress=progress)
    moved = _moved(progress, seen, mine, now)
    is_spent = moved.standstill(now.seen) >= timedelta(seconds=limits.max_upgrade_seconds)
    back_and_forth = Keep(progress=progress, note=f"{tenure.claim.holder} goes back and forth: {seen}")
    return back_and_forth if is_spent else Renew(progress=moved, why=seen or "the agreement is gone")


def _is_since(agreement: Agreement, tenure: Tenure) -> bool:
    """Return whether an agreement may have followed from the grant.

    An older one may be back after the Exchange was restored. An observed upgrade got its lease only
    after it had begun.
    """
    made_at = agreement.updated_at
    return tenure.progress.observed or made_at is None or made_at >= tenure.granted_at - CLOCK_TOLERANCE


def _runs_again(agreement: Agreement, progress: Progress, *, may_be_proposed: bool) -> bool:
    is_made = agreement.finalized or may_be_proposed
    return agreement.id not in progress.agreements_before and is_made and agreement.runs


def still_listed(tenure: Tenure, status: str, now: Now, stamp: str = "") -> Verdict | None:
    """Keep the lease of a node that has finished while the agbot still lists the upgrade.

    None once the agbot's row is stuck.
    """
    progress = tenure.progress
    if progress.pending_since is None:
        done = replace(progress, moved_at=now.seen, status=status, stamp=stamp, confirmed=True, pending_since=now.seen)
        return Renew(progress=done, why=f"{status}; the agbot still lists it")
    if now.seen - progress.pending_since < STUCK_AFTER:
        return Keep(progress=progress, note=f"{tenure.claim.holder} is done; the agbot still lists it")
    return None


def _unreported(
    mine: tuple[Agreement, ...], progress: Progress, limits: Limits, alive_at: SeenTime | None
) -> Release | None:
    """Release at a final agreement without containers.

    The node reports none, so this proves less, and the agreement has to stand for a while.
    """
    is_unreported = all(each.finalized and not each.containers for each in mine)
    is_new = bool(mine) and not {each.id for each in mine} & set(progress.agreements_before)
    if not (is_unreported and is_new) or alive_at is None:
        return None
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


def _moved(progress: Progress, seen: str, mine: tuple[Agreement, ...], now: Now) -> Progress:
    ids = {each.id for each in mine}
    # for an observed upgrade a cancellation is no sign: it may have been for good
    begun = progress.confirmed or ((bool(ids) or not progress.observed) and not ids & set(progress.agreements_before))
    return replace(progress.reported(seen, now.seen), status=seen, confirmed=begun)
