"""What operators see, put together from memory: groups, leases, waiters, and the coordinator at one glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from agbot.coordinator import stuck
from agbot.coordinator.contacts import Silent
from agbot.coordinator.contract import BrakeView, GroupView, LeaseView, MemberView, OrgView, Overview, WaitView
from agbot.coordinator.situation import Situation
from agbot.rules import health, ids
from agbot.rules.facts import Brake, Group, Member, Pause, Sight, Waiter
from agbot.rules.ids import GroupId, OrgId
from agbot.rules.lease import Lease, State
from agbot.rules.limits import Limits
from agbot.rules.reasons import Code
from agbot.rules.seen_time import Now

_FAILURES_SHOWN = 5
_NAMED = 20
"""So many members are named where there may be thousands."""


def view_lease(lease: Lease, now: Now, limits: Limits, note: str = "") -> LeaseView:
    """Show a lease, with the expiry that holds under these limits, and how the one before it ended."""
    hold, end = lease.hold, lease.last_end
    return LeaseView(
        group=lease.group,
        state=str(lease.state),
        token=lease.token,
        holder=hold.claim.holder if hold else None,
        kind=str(hold.claim.kind) if hold else None,
        subject=(hold.claim.subject or None) if hold else None,
        what=hold.claim.what if hold else None,
        granted_at=hold.granted_at if hold else None,
        renewed_at=now.shown(hold.renewed_at) if hold else None,
        expires_at=now.shown(hold.expiry(limits.lease_seconds)) if hold else None,
        status=hold.progress.status if hold else "",
        note=note,
        last_holder=end.claim.holder if end else None,
        last_subject=(end.claim.subject or None) if end else None,
        last_cause=str(end.cause) if end else None,
        last_end_at=end.at if end else None,
        last_detail=end.detail if end else "",
    )


def view_group(group: GroupId, situation: Situation, note: str = "") -> GroupView:
    """Show a group with everything that bears on it."""
    facts, now = situation.group(group), situation.now()
    size = len(facts.members)
    return GroupView(
        id=group,
        members=[_view_member(member, facts, situation) for member in facts.members.values()],
        lease=view_lease(facts.lease, now, facts.limits, note),
        waiting=[view_waiter(waiter, now) for waiter in sorted(facts.waiters, key=lambda each: each.since)],
        brakes=[_view_brake(brake) for brake in facts.brakes],
        pauses=(*facts.pauses, *_pauses_of(facts, situation)),
        required=health.required_of_others(facts.limits, size),
        required_by=health.said_required(facts.limits, size),
        stuck=tuple(stuck.of(group, situation)),
    )


def view_overview(
    situation: Situation, silent: Silent, orgs: Mapping[OrgId, str], failing: Sequence[str], exchange_failing: str
) -> Overview:
    """Summarise everything but the last cycle, with what the last read of each organisation said while it fails, and what fails besides."""
    ledger, doubts, view_age = situation.ledger, situation.doubts(), situation.view_age()
    states = [lease.state for lease in ledger.occupied()]
    not_ready = [*(reason.text for reason in doubts), *failing[:_FAILURES_SHOWN]]
    if exchange_failing:
        not_ready.append(f"the Exchange cannot be read: {exchange_failing}")
    return Overview(
        sentence="no cycle has run yet",
        cycle_at=None,
        ready=not doubts and not failing,
        not_ready=not_ready,
        view_age_seconds=None if view_age is None else view_age.total_seconds(),
        view_ok=all(reason.code is not Code.VIEW_STALE for reason in doubts),
        store_ok=ledger.is_trusted,
        orgs=view_orgs(orgs, situation),
        held=states.count(State.HELD),
        suspect=states.count(State.SUSPECT),
        waiting=sum(len(waiters) for waiters in ledger.waiters.values()),
        deferred=sum(len(deferrals) for deferrals in ledger.deferrals.values()),
        overlaps=sum(each.is_overlap for deferrals in ledger.deferrals.values() for each in deferrals.values()),
        brakes=sum(len(brakes) for brakes in ledger.brakes.values()),
        pauses=len(ledger.pauses),
        never_asked=len(silent.never_asked),
        never_asked_named=silent.never_asked[:_NAMED],
        bypassing=len(silent.bypassing),
        bypassing_named=silent.bypassing[:_NAMED],
        agbot=situation.rows.source.value,
        agbot_failing=situation.rows.failing,
        stuck=situation.rows.count_stuck(),
    )


def view_orgs(failing: Mapping[OrgId, str], situation: Situation) -> list[OrgView]:
    """Show how well each organisation is seen, with what the last read of it said while it fails."""
    picture, now = situation.picture, situation.now()
    groups = picture.groups()
    views = []
    for org, failure in sorted(failing.items()):
        mine = [group for group in groups if ids.org_of(group) == org]
        members = sum(len(picture.members(group)) for group in mine)
        seen_at = picture.org_read_at(org)
        read_at = None if seen_at is None else now.shown(seen_at)
        views.append(OrgView(org=org, groups=len(mine), members=members, read_at=read_at, failing=failure))
    return views


def _pauses_of(group: Group, situation: Situation) -> list[Pause]:
    """Return the pauses of single members; those of members who wait are among the group's facts already."""
    pauses = situation.ledger.pauses
    mine = [pauses[scope] for node in group.members if (scope := ids.node_scope(node)) in pauses] if pauses else []
    return [pause for pause in mine if pause not in group.pauses]


def view_waiter(waiter: Waiter, now: Now) -> WaitView:
    """Show who waits for what since when, with all reasons."""
    claim = waiter.ask.claim
    return WaitView(
        node=claim.holder,
        kind=str(claim.kind),
        subject=claim.subject,
        since=now.shown(waiter.since),
        asked_at=now.shown(waiter.asked_at),
        reasons=waiter.reasons,
    )


def _view_member(member: Member, group: Group, situation: Situation) -> MemberView:
    node = member.node
    now = situation.now()
    deferral = group.deferrals.get(node.id)
    services_at = member.agreements_read_at
    is_fresh = services_at is not None and now.seen - services_at <= situation.services_max_age
    of_now = member if is_fresh else replace(member, agreements=Sight.UNREAD)
    why = health.why_unavailable(of_now, group.limits, now, deferral)
    read_at = situation.picture.node_read_at(node.id)
    is_looked_at = read_at is not None and now.seen - read_at <= situation.view_max_age
    is_silent = not node.registered or health.why_offline(node, group.limits, now) is not None
    unknown = not is_looked_at and is_silent
    hold = group.lease.hold
    return MemberView(
        node=node.id,
        node_type=node.node_type.value,
        available=None if unknown else why is None,
        why_unavailable="" if unknown else why or "",
        heartbeat_at=node.heartbeat_at,
        agent_version=node.agent_version,
        statuses={policy: status.value for policy, status in sorted(member.statuses.items())},
        deferred_for=deferral.what if deferral else None,
        holds_lease=hold is not None and hold.claim.holder == node.id,
    )


def _view_brake(brake: Brake) -> BrakeView:
    return BrakeView(subject=brake.subject, since=brake.since, cause=str(brake.cause), node=brake.node)
