"""What operators see, from memory: groups, leases, waiters, and a summary of the coordinator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec

from agbot.coordinator.contract import (
    BrakeView,
    GroupView,
    LeaseView,
    MemberView,
    OrgView,
    Overview,
    WaitView,
)
from agbot.coordinator.situation import Situation
from agbot.coordinator.unasked import listed
from agbot.coordinator.unasked.contacts import Silent
from agbot.rules import health, ids
from agbot.rules.facts import Member, Node, Sight
from agbot.rules.group import Group
from agbot.rules.ids import GroupId, OrgId
from agbot.rules.lease import GUARD, End, Lease, State, Tenure
from agbot.rules.limits import Limits
from agbot.rules.outlook import outlook
from agbot.rules.reasons import Code, Reason
from agbot.rules.records import Brake, Hold, Waiter
from agbot.rules.rest import rest_after
from agbot.rules.seen_time import Now, SeenTime

_FAILURES_SHOWN = 5
NAMED = 20
"""At most so many members are named; there may be thousands."""


def view_lease(lease: Lease, situation: Situation) -> LeaseView:
    """Show a lease, with what happens to it next, and how the previous tenure ended."""
    note = situation.notes.get(lease.group, "")
    shown = LeaseView(group=lease.group, state=str(lease.state), token=lease.token, note=note)
    tenure, end = lease.tenure, lease.last_end
    if tenure is not None:
        now = situation.now()
        review = situation.review(lease, now)
        shown = replace(
            shown,
            holder=tenure.claim.holder,
            kind=str(tenure.claim.kind),
            subject=tenure.claim.subject or None,
            what=tenure.claim.what,
            granted_at=tenure.granted_at,
            is_unasked=_is_unasked(tenure),
            renewed_at=now.shown(tenure.renewed_at),
            expires_at=now.shown(review.expires_at),
            status=tenure.progress.status,
            next=outlook(review),
        )
    if end is not None:
        shown = replace(
            shown,
            last_holder=end.claim.holder,
            last_subject=end.claim.subject or None,
            last_kind=str(end.claim.kind),
            last_cause=str(end.cause),
            last_end_at=end.at,
            last_detail=end.detail,
            last_rest_ended=end.is_rested,
            rests_until=_rests_until(end, lease.group, situation) if tenure is None else None,
        )
    return shown


def _rests_until(end: End, group: GroupId, situation: Situation) -> datetime | None:
    rest, now = rest_after(end, situation.limits_of(group)), situation.now()
    return now.shown(rest.until) if rest is not None and now.seen < rest.until else None


def _is_unasked(tenure: Tenure) -> bool:
    """Whether neither the coordinator nor the guard has granted it."""
    return tenure.progress.observed and GUARD not in tenure.progress.asked_by


def view_group(group: GroupId, situation: Situation) -> GroupView:
    """Show a group with everything that is relevant to it."""
    facts = situation.group(group)
    size = len(facts.members)
    return GroupView(
        id=group,
        members=[_view_member(member, facts, situation) for member in facts.members.values()],
        lease=view_lease(facts.lease, situation),
        waiting=[_view_waiter(waiter, situation) for waiter in sorted(facts.waiters, key=lambda each: each.since)],
        brakes=[_view_brake(brake) for brake in facts.brakes],
        holds=(*facts.holds, *_holds_of(facts, situation)),
        required=health.required_of_others(facts.limits, size),
        required_by=health.required_by(facts.limits, size),
        stuck=tuple(listed.stuck_of(group, situation)),
    )


def view_overview(
    situation: Situation, silent: Silent, orgs: Mapping[OrgId, str], failing: Sequence[str], exchange_failing: str
) -> Overview:
    """Summarise everything but the last cycle, and what has failed on members.

    `orgs` has the error of each organisation's last read, empty if it succeeded, and `failing` what
    else fails.
    """
    ledger, doubts, view_age = situation.ledger, situation.doubts(), situation.view_age()
    tally = ledger.tally
    return Overview(
        sentence="no cycle has run yet",
        cycle_at=None,
        ready=not doubts and not failing,
        not_ready=why_not_ready(doubts, failing, exchange_failing),
        view_age_seconds=None if view_age is None else view_age.total_seconds(),
        view_ok=all(reason.code is not Code.VIEW_STALE for reason in doubts),
        store_ok=ledger.is_trusted,
        store_failing="" if ledger.is_trusted else ledger.distrust,
        orgs=_view_orgs(orgs, situation),
        held=tally.states[State.HELD],
        suspect=tally.states[State.SUSPECT],
        waiting=tally.waiting,
        deferred=tally.deferred,
        overlaps=tally.overlaps,
        brakes=tally.brakes,
        holds=len(ledger.holds),
        never_asked=len(silent.never_asked),
        never_asked_named=silent.never_asked[:NAMED],
        asked_since=ledger.generation.replaced_at,
        bypassing=len(silent.bypassing),
        bypassing_named=silent.bypassing[:NAMED],
        agbot=situation.rows.source.value,
        agbot_failing=situation.rows.failing,
        stuck=situation.rows.count_stuck(),
        stuck_in=situation.rows.groups_stuck()[:NAMED],
    )


def why_not_ready(doubts: Sequence[Reason], failing: Sequence[str], exchange_failing: str) -> list[str]:
    """Return why nothing may be granted, what else fails, and that the Exchange cannot be read."""
    unread = [f"the Exchange cannot be read: {exchange_failing}"] if exchange_failing else []
    return [*(reason.text for reason in doubts), *failing[:_FAILURES_SHOWN], *unread]


def _view_orgs(failing: Mapping[OrgId, str], situation: Situation) -> list[OrgView]:
    """Show for each organisation when it was read, with the error while its last read fails."""
    picture, now = situation.picture, situation.now()
    views = []
    for org, failure in sorted(failing.items()):
        seen_at = picture.org_read_at(org)
        read_at = None if seen_at is None else now.shown(seen_at)
        views.append(
            OrgView(
                org=org,
                groups=picture.membership.count_groups(org),
                members=picture.membership.count_members(org),
                read_at=read_at,
                failing=failure,
            )
        )
    return views


def _holds_of(group: Group, situation: Situation) -> list[Hold]:
    """Return the holds of single members that are not among the group's facts."""
    holds = situation.ledger.holds
    mine = [holds[scope] for node in group.members if (scope := ids.node_scope(node)) in holds] if holds else []
    return [hold for hold in mine if hold not in group.holds]


def _view_waiter(waiter: Waiter, situation: Situation) -> WaitView:
    """Show a waiter, with all its reasons."""
    claim, now, last_asked_at = waiter.ask.claim, situation.now(), situation.ledger.last_asked_at(waiter)
    return WaitView(
        node=claim.holder,
        kind=str(claim.kind),
        subject=claim.subject,
        since=now.shown(waiter.since),
        asked_at=None if last_asked_at is None else now.shown(last_asked_at),
        reasons=waiter.reasons,
    )


def _view_member(member: Member, group: Group, situation: Situation) -> MemberView:
    node, limits, now = member.node, group.limits, situation.now()
    deferral = group.deferrals.get(node.id)
    read_at = situation.picture.node_read_at(node.id)
    then = None if read_at is None else msgspec.structs.replace(now, wall=now.shown(read_at))
    # if it was not read lately, its silence shows nothing: it is judged as of that read
    is_known = _is_within(situation.view_max_age, read_at, now) or _is_alive(node, limits, now)
    # seen time stands still while the Exchange cannot be read: what was read last would stay young
    is_known = is_known and not now.blind
    judged_at = now if is_known else then
    if not _is_within(situation.ages.services, member.agreements_read_at, now):
        member = replace(member, agreements=Sight.UNREAD)
    why = None if judged_at is None else health.why_unavailable(member, limits, judged_at, deferral)
    return MemberView(
        node=node.id,
        node_type=node.node_type.value,
        available=why is None if is_known else None,
        why_unavailable=why or "",
        read_at=None if then is None else then.wall,
        was_alive=then is not None and _is_alive(node, limits, then),
        heartbeat_at=node.heartbeat_at,
        agent_version=node.agent_version,
        statuses={policy: status.value for policy, status in sorted(member.statuses.items())},
        deferred_for=deferral.what if deferral else None,
        holds_lease=group.lease.holder == node.id,
    )


def _is_within(age: timedelta, read_at: SeenTime | None, now: Now) -> bool:
    return read_at is not None and now.seen - read_at <= age


def _is_alive(node: Node, limits: Limits, at: Now) -> bool:
    return node.registered and health.why_offline(node, limits, at) is None


def _view_brake(brake: Brake) -> BrakeView:
    return BrakeView(subject=brake.subject, since=brake.since, cause=str(brake.cause), node=brake.node)
