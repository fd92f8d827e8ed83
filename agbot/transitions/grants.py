"""Grants of leases: to the asker, to an unasked upgrade, or again to the holder.

A token rises here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from agbot.events import deferrals as deferral_events
from agbot.events import leases as lease_events
from agbot.events import operators, waits
from agbot.events.event import DecisionRecord, Event
from agbot.events.guard import GuardGranted
from agbot.rules import consent, exclusion, health, service_progress
from agbot.rules import lease as leases
from agbot.rules.deferral import claim_of
from agbot.rules.facts import Ask, Member, Sight
from agbot.rules.group import Group
from agbot.rules.ids import NodeId
from agbot.rules.lease import Claim, Kind, Lease, State
from agbot.rules.progress import Progress
from agbot.rules.reasons import Reason
from agbot.rules.records import Allowance, Deferral
from agbot.rules.rule import Case
from agbot.rules.seen_time import Now
from agbot.rules.statuses import Phase
from agbot.store.records import Key, key_of, waiter_key
from agbot.transitions.begun import Begun, at_grant, of_listed_service
from agbot.transitions.change import NO_CHANGE, Change


def grant(
    case: Case,
    *,
    asker: Member | Sight,
    allowed: Allowance | None = None,
    decision_record: DecisionRecord | None = None,
) -> Change:
    """Give the lease to the asker, which takes it over if it is suspect.

    `allowed` is the allowance that the grant needed, if any.

    Raises:
        IllegalTransitionError: the lease is held.
    """
    ask, group, now = case.ask, case.group, case.at
    before, policy = group.lease, group.policies.get(ask.subject, Sight.UNREAD)
    progress = _with_silence(at_grant(ask, asker, policy, now), asker, group, now)
    after = leases.grant(before, ask.claim, now, _ttl(group), progress, token_floor=group.token_floor)
    drop, spent = _taken_up(ask, group, now)
    events: list[Event] = [
        *lease_events.superseded(before, after, now),
        lease_events.granted(after, now, decision_record, allowed),
    ]
    if spent is not None and allowed is None:
        events.append(operators.allowance_ended(spent, "its upgrade began without needing it"))
    return Change(before=before, after=after, drop=drop, events=events, at=now.wall)


def repeat(case: Case) -> Change:
    """Repeat the grant to the holder, with the same token.

    Raises:
        IllegalTransitionError: the lease is free.
    """
    group, ask = case.group, case.ask
    longest = timedelta(seconds=group.limits.max_upgrade_seconds)
    holder = group.members.get(ask.node) if ask.is_service else None
    is_silent = holder is not None and health.why_silent(holder.node, group.limits, case.at) is not None
    after = leases.repeat(group.lease, case.at, _ttl(group), longest, ask.by, is_silent=is_silent)
    # from before the store's generation: the guard's triggers repeat none that was not decided
    # again
    if after.token <= group.token_floor:
        after = leases.uphold(after, group.token_floor)
    # it has waited, if another upgrade had begun before this one
    waited = [each for each in group.waiters if each.ask.claim == ask.claim]
    ended = [waits.ended(each, "the permission that it holds was given again", case.at) for each in waited]
    # compared and set even if it changes nothing: the answer is right only while the asker is the
    # holder
    return Change(before=group.lease, after=after, drop=[waiter_key(each.ask) for each in waited], events=ended)


def exempt(case: Case, reason: Reason, decision_record: DecisionRecord | None = None) -> Change:
    """Let a node upgrade without a lease."""
    return Change(events=[lease_events.exempted(case.ask, reason, decision_record)], at=case.at.wall)


def is_untaken(lease: Lease, token: int) -> bool:
    """Whether the guard has granted this lease under this token and nothing was added to it yet."""
    return lease.tenure is not None and lease.token == token and lease.tenure.progress.is_untaken


def take_in(ask: Ask, group: Group, now: Now, *, member: Member | Sight, begun_at: datetime, why: str) -> Change:
    """Add what is known of the beginning to a lease that the guard has granted at `begun_at`.

    As of any upgrade that the agbot lists, its end is not before the end of the row.

    Raises:
        IllegalTransitionError: the lease is free.
    """
    before, policy = group.lease, group.policies.get(ask.subject, Sight.UNREAD)
    progress = _with_silence(at_grant(ask, member, policy, now), member, group, now)
    if not ask.is_agent:
        progress = of_listed_service(progress, member, policy, begun_at)
    after = leases.renew(before, now.seen, _ttl(group), progress)
    if after.tenure is not None:
        after = replace(after, tenure=replace(after.tenure, granted_at=begun_at))
    drop, spent = _taken_up(ask, group, now)
    events: list[Event] = [
        GuardGranted(
            group=group.id,
            node=ask.node,
            subject=ask.claim.subject,
            token=before.token,
            kind=ask.claim.kind,
            begun_at=begun_at,
            why=why,
        )
    ]
    if spent is not None:
        events.append(operators.allowance_ended(spent, "the guard has let its upgrade begin"))
    return Change(before=before, after=after, drop=drop, events=events, at=now.wall)


def _with_silence(progress: Progress, holder: Member | Sight | None, group: Group, now: Now) -> Progress:
    was_offline = isinstance(holder, Member) and health.is_long_silent(holder.node, group.limits, now)
    return replace(progress, was_offline=was_offline)


def _taken_up(ask: Ask, group: Group, now: Now) -> tuple[list[Key], Allowance | None]:
    """Return what is dropped as this upgrade begins, and the allowance among it."""
    # spent, needed or not: it was for this upgrade, and must not cover the next one
    waiter, spent = waiter_key(ask), consent.allowance(ask, group, now)
    drop = [waiter] if any(waiter_key(each.ask) == waiter for each in group.waiters) else []
    return drop if spent is None else [*drop, key_of(spent)], spent


def can_observe(begun: Begun, group: Group, now: Now) -> bool:
    """Whether an unasked upgrade can get the lease: free, or suspect with its holder offline."""
    if group.lease.state is not State.SUSPECT:
        return group.lease.state is State.FREE
    ask = Ask(group=begun.group, claim=begun.claim, agreement_bound=begun.claim.kind is Kind.SERVICE)
    return exclusion.lease_suspect(Case(ask=ask, group=group, at=now)) is None


def observe(begun: Begun, group: Group, now: Now, others: Mapping[NodeId, str]) -> Change:
    """Give a free or suspect lease to an unasked upgrade; `others` upgrade at the same time.

    Raises:
        IllegalTransitionError: the lease is held.
    """
    before = group.lease
    progress = _with_silence(begun.progress, group.members.get(begun.claim.holder), group, now)
    after = leases.grant(before, begun.claim, now, _ttl(group), progress, token_floor=group.token_floor)
    events: list[Event] = [
        *lease_events.superseded(before, after, now),
        lease_events.observed(after, begun.since, now),
    ]
    if others:
        events.append(lease_events.overlapped(begun.as_overlap(), others))
    waited = _has_waited(begun, group, now)
    return Change(before=before, after=after, drop=waited.drop, events=[*events, *waited.events], at=now.wall)


def overlap(begun: Begun, group: Group, now: Now, others: Mapping[NodeId, str]) -> Change:
    """Note an unasked upgrade beside the holder's, unless it is noted or holds the lease."""
    if begun.claim.holder in group.deferrals or group.lease.is_held_for(begun.claim):
        return NO_CHANGE
    deferral = begun.as_overlap()
    events: list[Event] = [lease_events.overlapped(deferral, others)] if others else []
    waited = _has_waited(begun, group, now)
    events += [deferral_events.begun(deferral), *waited.events]
    # a grant that was upheld is so no longer: the store before may have ended it and granted this
    # upgrade
    is_upheld = group.lease.tenure is not None and group.lease.tenure.progress.upheld_above
    before = group.lease if is_upheld else None
    after = leases.uphold(group.lease, 0) if is_upheld else None
    return Change(before=before, after=after, put=[deferral], drop=waited.drop, events=events, at=now.wall)


def _has_waited(begun: Begun, group: Group, now: Now) -> Change:
    """End the wait of a member whose upgrade has begun without a grant: it asks no more."""
    mine = [waiter for waiter in group.waiters if waiter.ask.claim == begun.claim]
    return Change(
        drop=[waiter_key(waiter.ask) for waiter in mine],
        events=[waits.ended(waiter, "its upgrade has begun", now) for waiter in mine],
    )


def others_upgrading(node: NodeId, group: Group, done: Collection[Claim]) -> Mapping[NodeId, str]:
    """Return the other members that are known to upgrade, each with its upgrade.

    `done` are claims that the agbot has finished.
    """
    beside = (each for each in group.deferrals.values() if each.is_overlap)
    found = {each.node: each.what for each in beside if _goes_on(each, group, done)}
    # waited for, but not reported as an overlap, if the agbot's row has gone, or is all that is
    # left of it: it may be over
    tenure = group.lease.tenure
    is_over = tenure is not None and (
        (tenure.progress.observed and tenure.claim in done) or service_progress.is_only_listed(tenure)
    )
    if tenure is not None and not is_over:
        found[tenure.claim.holder] = tenure.claim.what
    found.pop(node, None)
    return found


def _goes_on(deferral: Deferral, group: Group, done: Collection[Claim]) -> bool:
    if not deferral.cut_off:
        return claim_of(deferral) not in done
    # its report is gone, perhaps after an end that was never read: only a new report is evidence
    member = group.members.get(deferral.node)
    status = member.statuses.get(deferral.subject) if member is not None else None
    return status is not None and status.phase is Phase.UNDER_WAY


def _ttl(group: Group) -> timedelta:
    return timedelta(seconds=group.limits.lease_seconds)
