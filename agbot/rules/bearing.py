"""What of a group bears on one question, and of a holder on the review of its lease: everything that the rules read of it, and no more.

A decision is kept with its facts, so that it can be shown and derived again. The rule kept here: from the reduced facts every rule says
what it says from the whole ones, at any time. They are bounded by the group, never by its past: one short row for each member; waiters only
for a node that may have to yield; brakes and policies only of what is asked for; agreements only of the service that is upgraded.
A rule that reads more must be given more here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from agbot.rules import health
from agbot.rules.facts import Agreement, Ask, Group, Member, Policy, Sight, Waiter
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Kind, Lease
from agbot.rules.limits import Limits, Order
from agbot.rules.review import Seen
from agbot.rules.statuses import Phase

_MAY_GO_ON = frozenset({Phase.UNDER_WAY, Phase.FAILING, Phase.UNREADABLE})
"""Statuses of an upgrade that may be going on; the others say that a member is doing nothing."""


def bearing_on(ask: Ask, group: Group) -> Group:
    """Return the group without what no rule reads for this question."""
    waiters = _rivals(ask, group)
    asked = {ask.subject, *(waiter.ask.subject for waiter in waiters)}
    nodes = {ask.node, *(waiter.ask.node for waiter in waiters)}
    return replace(
        group,
        members={
            node: _reduced(member, group, is_asking=node in nodes, stopped=_stopped(group, asked))
            for node, member in group.members.items()
        },
        brakes=tuple(brake for brake in group.brakes if (brake.kind, brake.subject) in asked),
        waiters=waiters,
        served={node: mark for node, mark in group.served.items() if node in nodes},
        policies={subject: policy for subject, policy in group.policies.items() if subject in asked},
        org_brakes=tuple(brake for brake in group.org_brakes if (brake.kind, brake.subject) in asked),
        rollouts={subject: rollout for subject, rollout in group.rollouts.items() if subject in asked},
        allowances={node: allowance for node, allowance in group.allowances.items() if node in nodes},
        approvals=tuple(each for each in group.approvals if (each.kind, each.subject) in asked),
    )


def _rivals(ask: Ask, group: Group) -> tuple[Waiter, ...]:
    """Return those to whom the asker may have to yield."""
    if ask.node not in group.served and group.limits.order == Order.ASKED:
        return ()
    return tuple(replace(waiter, reasons=()) for waiter in group.waiters if waiter.ask.node != ask.node)


def _stopped(group: Group, asked: Collection[tuple[Kind, PolicyId]]) -> frozenset[PolicyId]:
    """Return the agent upgrades in question that have failed somewhere: whether they hold an asker, its own report of them tells."""
    brakes = (*group.brakes, *group.org_brakes)
    return frozenset(each.subject for each in brakes if each.kind is Kind.AGENT and (each.kind, each.subject) in asked)


def _reduced(member: Member, group: Group, *, is_asking: bool, stopped: Collection[PolicyId]) -> Member:
    end = group.lease.last_end
    rests = end is not None and end.claim.holder == member.node.id
    service = end.service if end is not None and rests else ""
    statuses = {
        policy: status
        for policy, status in member.statuses.items()
        if status.phase in _MAY_GO_ON or (is_asking and policy in stopped)
    }
    return replace(
        member,
        node=replace(member.node, group=None, arch="", pattern=""),
        statuses={policy: replace(status, stamp="") for policy, status in statuses.items()},
        agreements=_telling(member, service, group.limits, is_asking=is_asking),
        agreements_read_at=member.agreements_read_at if rests else None,
        agreement_ended_at=member.agreement_ended_at if group.limits.services_must_run else None,
        properties={name: value for name, value in member.properties.items() if name == group.limits.order_property},
    )


def _telling(member: Member, service: str, limits: Limits, *, is_asking: bool) -> tuple[Agreement, ...] | Sight:
    """Keep the agreements of the upgraded service, and those that tell whether the member serves.

    Of one who asks every one tells: what runs there stops with it. Of others those that have stopped; all, where one
    has ended.
    """
    if isinstance(member.agreements, Sight) or not (service or limits.services_must_run):
        return Sight.UNREAD
    ended_at = member.agreement_ended_at
    all_tell = limits.services_must_run and (is_asking or ended_at is not None)
    kept = [
        each
        for each in member.agreements
        if all_tell or each.service == service or (limits.services_must_run and health.is_stopped(each))
    ]
    says_nothing = not (kept or service or all_tell)
    return Sight.UNREAD if says_nothing else tuple(kept)


def bearing_on_review(lease: Lease, seen: Seen) -> tuple[Lease, Seen]:
    """Return an occupied lease and the sight of its holder without what no review of it reads.

    That is how an earlier hold ended, the statuses of an agent where a service is upgraded, and agreements for other services.
    """
    hold = lease.hold
    if hold is None or hold.claim.kind is Kind.AGENT:
        reduced = replace(seen, agreements=Sight.UNREAD, agreements_read_at=None)
    else:
        services = {hold.progress.service, seen.policy.service if isinstance(seen.policy, Policy) else ""}
        agreements = seen.agreements
        if not isinstance(agreements, Sight):
            agreements = tuple(each for each in agreements if each.service in services)
        reduced = replace(seen, agreements=agreements, status=Sight.UNREAD, status_read_at=None)
    return replace(lease, last_end=None), reduced
