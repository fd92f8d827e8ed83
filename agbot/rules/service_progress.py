"""How far a service upgrade is, read from the holder's agreements and containers.

Measured on real agents (`reference/agbot-ha.md`, "Service upgrades, live"): the old agreement goes, a new one appears, becomes final, and
its containers run. Finalized alone is too early. The end is a new agreement, final, with every container `running`: at the policy's top
version the upgrade has succeeded, at another one the agbot has rolled it back (W3).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from agbot.rules.facts import Agreement, Policy, Sight
from agbot.rules.lease import Hold, Progress
from agbot.rules.reasons import Cause
from agbot.rules.verdict import Keep, Release, Renew, Verdict


def review_service(
    hold: Hold, policy: Policy | Sight, agreements: tuple[Agreement, ...] | Sight, now: datetime
) -> Verdict:
    """Compare what the node runs now with what it ran at the grant."""
    progress = hold.progress
    if isinstance(agreements, Sight) or not isinstance(policy, Policy):
        return Keep(progress=progress)
    mine = tuple(each for each in agreements if each.service == policy.service)
    done = next((each for each in mine if _runs_anew(each, progress)), None)
    can_tell = done is not None and done.version and policy.top_version
    if done is not None and can_tell and done.version == policy.top_version:
        return Release(cause=Cause.SUCCEEDED, why=f"{hold.claim.holder} runs {policy.service} {done.version}")
    if done is not None and can_tell:
        why = f"{hold.claim.holder} runs {policy.service} {done.version}, not {policy.top_version}"
        return Release(cause=Cause.FAILED, why=why)
    seen = _digest(mine)
    if seen == progress.status:
        return Keep(progress=progress)
    return Renew(progress=_moved(progress, seen, mine, now), why=seen or "the agreement is gone")


def _runs_anew(agreement: Agreement, progress: Progress) -> bool:
    return agreement.id not in progress.agreements_before and agreement.finalized and agreement.runs


def _digest(agreements: tuple[Agreement, ...]) -> str:
    """Describe the agreements in one line that changes when anything about them does."""
    lines = (
        f"{each.id[:8]} {'final' if each.finalized else 'proposed'} {each.version} {','.join(each.containers)}".strip()
        for each in sorted(agreements, key=lambda each: each.id)
    )
    return "; ".join(lines) or "no agreement"


def _moved(progress: Progress, seen: str, mine: tuple[Agreement, ...], now: datetime) -> Progress:
    still_old = {each.id for each in mine} & set(progress.agreements_before)
    begun = progress.confirmed or not still_old
    return replace(progress, moved_at=now, status=seen, confirmed=begun)
