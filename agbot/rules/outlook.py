"""What becomes of an occupied lease next, and when, if nothing new is seen of its holder.

Every time here is one by which `review` decides, and comes from the function that it uses. It is
the earliest one: each verdict rests on a read after that time, and while the Exchange cannot be
read none follows.
"""

from __future__ import annotations

from datetime import timedelta

from agbot.rules import brakes, health
from agbot.rules.expiry import confirm_due, proving_version
from agbot.rules.facts import Node
from agbot.rules.holder import Review
from agbot.rules.lease import Kind, State
from agbot.rules.reasons import Cause
from agbot.rules.rows import STUCK_AFTER
from agbot.rules.seen_time import SeenTime
from agbot.rules.statuses import PHASES, grace
from agbot.rules.verdict import Outlook
from agbot.rules.words import duration


def outlook(case: Review) -> Outlook:
    """Return what happens next to this lease."""
    if case.tenure.progress.is_untaken:
        return Outlook(then="kept", unless="until the agbot's database has been read")
    if case.lease.state is State.SUSPECT:
        return _of_suspect(case)
    return _of_pending(case) or _of_unconfirmed(case) or _of_held(case)


def _of_suspect(case: Review) -> Outlook:
    """A suspect lease ends by proof: the version runs, or the node is dead; or by a person."""
    node, target = case.seen.node, proving_version(case)
    by_version = f"it runs agent version {target}" if target else ""
    if isinstance(node, Node) and health.why_offline(node, case.limits, case.now) is not None:
        unless = f"unless {case.holder} sends a heartbeat"
        return _at(case, health.dead_at(node, case.limits, case.now), "ends as expired", unless, Cause.EXPIRED)
    silence = f"it has been silent for {duration(timedelta(seconds=case.limits.dead_after_seconds))}"
    proofs = " or ".join(each for each in (by_version, silence) if each)
    return Outlook(then="held until proof", unless=f"{proofs}, or `agbot release` ends it")


def _of_pending(case: Review) -> Outlook | None:
    """A status that ends the lease only if it lasts; None if there is none."""
    progress = case.tenure.progress
    if progress.pending_since is None:
        return None
    after = grace(PHASES.get(progress.status), case.limits)
    if case.tenure.claim.kind is Kind.AGENT and after is not None:
        cause, seconds = after
        unless = f"unless {case.holder} no longer reports {progress.status}"
        return _at(case, progress.pending_since + timedelta(seconds=seconds), f"ends as {cause}", unless, cause)
    return _at(case, progress.pending_since + STUCK_AFTER, "ends", "or as soon as the agbot no longer lists it")


def _of_unconfirmed(case: Review) -> Outlook | None:
    """A claim that nothing confirms is taken back; None if it is confirmed, or expires before."""
    # `review` takes nothing back from a silent holder, which could not have reported
    due_at, node = confirm_due(case), case.seen.node
    is_silent = isinstance(node, Node) and health.why_offline(node, case.limits, case.now) is not None
    if case.tenure.progress.confirmed or due_at > case.expires_at or is_silent:
        return None
    return _at(case, due_at, "taken back", f"unless {case.holder} shows a sign of {case.tenure.claim.what}")


def _of_held(case: Review) -> Outlook:
    """A held lease becomes suspect when it expires, unless something renews it before."""
    progress, node = case.tenure.progress, case.seen.node
    target = proving_version(case)
    longest = timedelta(seconds=case.limits.max_upgrade_seconds)
    until = (progress.advanced_at or progress.moved_at) + longest
    if isinstance(node, Node) and target and node.agent_version == target:
        unless = f"unless {case.holder} reports the end before (it runs version {target} already)"
    elif not progress.confirmed or until <= case.now.seen:
        unless = f"unless {case.holder} reports something new"
    else:
        left = duration(until - case.now.seen)
        unless = f"unless a new report of {case.holder} renews it, or its heartbeats do (for {left} at most)"
    return _at(case, case.expires_at, "suspect", unless)


def _at(case: Review, moment: SeenTime | None, then: str, unless: str, cause: Cause | None = None) -> Outlook:
    sets_brake = cause is not None and brakes.stops(case.lease, cause)
    if not isinstance(case.seen.node, Node) and not case.seen.unreadable:
        return Outlook(then=then, unless=f"once {case.holder} can be read again, {unless}", sets_brake=sets_brake)
    at = None if moment is None else case.now.shown(moment)
    return Outlook(then=then, unless=unless, at=at, sets_brake=sets_brake)
