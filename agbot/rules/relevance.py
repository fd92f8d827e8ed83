"""Which facts are relevant to a question, and which to the review of a lease.

A decision is recorded with its facts, so that it can be shown and repeated. The rule kept here:
every rule gives the same answer from the reduced facts as from all facts, at any time. Their size
depends on the group and not on its history: one short row for each member; waiters only for a node
that may have to yield; brakes and policies only for the requested upgrades; agreements only for the
upgraded service. A rule that reads more must be given more here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import msgspec

from agbot.rules import health
from agbot.rules.facts import Agreement, Ask, Member, Policy, Sight
from agbot.rules.group import NEVER_READ, Group
from agbot.rules.holder import Seen
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Kind, Lease
from agbot.rules.limits import Limits, Order
from agbot.rules.records import Waiter
from agbot.rules.statuses import MAY_GO_ON


def relevant_to(ask: Ask, group: Group) -> Group:
    """Return the group without the facts that no rule reads for this question."""
    waiters = _rivals(ask, group)
    asked = {ask.subject, *(waiter.ask.subject for waiter in waiters)}
    nodes, stopped = {ask.node, *(waiter.ask.node for waiter in waiters)}, _stopped(group, asked)
    return msgspec.structs.replace(
        group,
        members={
            node: _reduced(member, group, is_asking=node in nodes, stopped=stopped)
            for node, member in group.members.items()
        },
        brakes=tuple(brake for brake in group.brakes if (brake.kind, brake.subject) in asked),
        waiters=waiters,
        turns={node: mark for node, mark in group.turns.items() if node in nodes},
        policies={subject: policy for subject, policy in group.policies.items() if subject in asked},
        org_brakes=tuple(brake for brake in group.org_brakes if (brake.kind, brake.subject) in asked),
        rollouts={subject: rollout for subject, rollout in group.rollouts.items() if subject in asked},
        allowances={node: allowance for node, allowance in group.allowances.items() if node in nodes},
        busy={node: busy for node, busy in group.busy.items() if node in nodes},
        approvals=tuple(each for each in group.approvals if (each.kind, each.subject) in asked),
        reads=NEVER_READ,
    )


def _rivals(ask: Ask, group: Group) -> tuple[Waiter, ...]:
    """Return the waiters to which the asker may have to yield."""
    if ask.node not in group.turns and group.limits.order == Order.ASKED:
        return ()
    return tuple(replace(waiter, reasons=()) for waiter in group.waiters if waiter.ask.node != ask.node)


def _stopped(group: Group, asked: Collection[tuple[Kind, PolicyId]]) -> frozenset[PolicyId]:
    """Return the requested agent upgrades that have failed in some group."""
    # whether such a brake stops an asker depends on the asker's own report, which has to be kept
    brakes = (*group.brakes, *group.org_brakes)
    return frozenset(each.subject for each in brakes if each.kind is Kind.AGENT and (each.kind, each.subject) in asked)


def _reduced(member: Member, group: Group, *, is_asking: bool, stopped: Collection[PolicyId]) -> Member:
    end = group.lease.last_end
    rests = end is not None and end.claim.holder == member.node.id
    service = end.service if end is not None and rests else ""
    statuses = {
        policy: status
        for policy, status in member.statuses.items()
        if status.phase in MAY_GO_ON or (is_asking and policy in stopped)
    }
    return replace(
        member,
        node=msgspec.structs.replace(member.node, group=None, arch="", pattern=""),
        read_at=None,
        statuses_read_at=None,
        properties_read_at=None,
        statuses={policy: replace(status, stamp="") for policy, status in statuses.items()},
        agreements=_relevant_agreements(member, service, group.limits, is_asking=is_asking),
        agreements_read_at=member.agreements_read_at if rests else None,
        agreement_ended_at=member.agreement_ended_at if group.limits.services_must_run else None,
        properties={name: value for name, value in member.properties.items() if name == group.limits.order_property},
    )


def _relevant_agreements(
    member: Member, service: str, limits: Limits, *, is_asking: bool
) -> tuple[Agreement, ...] | Sight:
    """Keep the agreements of the upgraded service, and those that show what runs."""
    if isinstance(member.agreements, Sight) or not (service or limits.services_must_run):
        return Sight.UNREAD
    ended_at = member.agreement_ended_at
    # What runs on the asker stops with it (`services_at_stake`). Of the others only stopped ones
    # matter, unless one has ended: then those that are left show what lacks.
    all_matter = limits.services_must_run and (is_asking or ended_at is not None)
    kept = [
        each
        for each in member.agreements
        if all_matter or each.service == service or (limits.services_must_run and health.is_stopped(each))
    ]
    # None at all would mean that no service runs there. To the rules the two differ only if a
    # service is looked for.
    is_unread = not (kept or service or all_matter)
    return Sight.UNREAD if is_unread else tuple(kept)


def relevant_to_review(lease: Lease, seen: Seen) -> tuple[Lease, Seen]:
    """Return an occupied lease and its holder without the facts that no review reads.

    Left out are the end of the previous tenure, the status of the agent where a service is
    upgraded, and agreements for other services.
    """
    tenure = lease.tenure
    if tenure is None or tenure.claim.kind is not Kind.SERVICE:
        reduced = replace(seen, agreements=Sight.UNREAD, agreements_read_at=None)
    else:
        services = {tenure.progress.service, seen.policy.service if isinstance(seen.policy, Policy) else ""}
        agreements = seen.agreements
        if not isinstance(agreements, Sight):
            agreements = tuple(each for each in agreements if each.service in services)
        reduced = replace(seen, agreements=agreements, status=Sight.UNREAD, status_read_at=None)
    return replace(lease, last_end=None), reduced
