"""Whether the question is valid: a trusted picture, a member, and a policy that exists."""

from __future__ import annotations

from agbot.rules import deferral as deferrals
from agbot.rules.facts import Ask, Policy, Sight
from agbot.rules.reasons import Code, Reason
from agbot.rules.rule import Case, Evidence, Rule

_UNREAD = Sight.UNREAD


def _doubt(case: Case) -> Reason | None:
    """Refuse while the store or the picture of the Exchange cannot be trusted (P4)."""
    return case.group.doubts[0] if case.group.doubts else None


def _doubts(case: Case) -> Evidence:
    doubts = [str(reason.code) for reason in case.group.doubts]
    return Evidence(facts={"doubts": doubts} if doubts else {}, read_at=case.group.reads.feed)


def _not_a_member(case: Case) -> Reason | None:
    """Refuse a node that is not a member, by what the Exchange answers at this moment."""
    node, group = case.ask.node, case.group
    if node in group.members:
        return None
    return Reason(code=Code.NOT_A_MEMBER, text=f"{node} is not in HA group {group.id}")


def _membership(case: Case) -> Evidence:
    return Evidence(facts={"members": len(case.group.members)}, read_at=case.group.reads.asker)


def _deferred(case: Case) -> Reason | None:
    """Refuse a deferred node another upgrade than the one that it came with."""
    # one node in two upgrades at once: the agbot permits that, because its two tables do not know
    # of each other (A10)
    deferral = case.group.deferrals.get(case.ask.node)
    if deferral is None or deferrals.covers(deferral, case.ask):
        return None
    when = "" if deferral.is_overlap else ", which was under way when it joined"
    return Reason(code=Code.DEFERRED, text=f"{case.ask.node} has to finish {deferral.what} first{when}")


def _deferral(case: Case) -> Evidence:
    deferral, member = case.group.deferrals.get(case.ask.node), case.group.members.get(case.ask.node)
    return Evidence(
        facts={"deferred_for": deferral.what, "since": deferral.since} if deferral else {},
        read_at=member.statuses_read_at if member is not None else None,
    )


def _unknown_policy(case: Case) -> Reason | None:
    """Refuse a policy that does not exist or is disabled."""
    # Such a refusal is final and leaves no waiter, and the lease is not given for it: the agbot
    # records whatever name a member asks for, and never releases an invented one (A8).
    ask = case.ask
    policy = case.group.policies.get(ask.subject, _UNREAD)
    if policy is _UNREAD:
        return Reason(code=Code.VIEW_STALE, text=f"{ask.claim.subject} has not been read from the Exchange yet")
    if isinstance(policy, Sight):
        return Reason(code=Code.UNKNOWN_POLICY, text=f"{_policy_noun(ask)} {ask.claim.subject} does not exist")
    if not policy.enabled:
        return Reason(code=Code.POLICY_DISABLED, text=f"{_policy_noun(ask)} {ask.claim.subject} is disabled")
    return None


def _policy_noun(ask: Ask) -> str:
    return "node management policy" if ask.is_agent else "deployment policy"


def policy_evidence(case: Case) -> Evidence:
    """Return the revision of the requested policy."""
    policy = case.group.policies.get(case.ask.subject)
    facts = {"revision": policy.revision} if isinstance(policy, Policy) else {}
    return Evidence(facts=facts, read_at=case.group.reads.policy)


TRUST = Rule(
    name="trust",
    passes="the store and the view of the Exchange can be trusted",
    check=_doubt,
    evidence=_doubts,
)
"""Its reasons are the coordinator's doubts; `reasons.UNBLOCKS` states what ends them."""

MEMBER = Rule(
    name="member",
    passes="the node is a member of the group",
    unblocks={Code.NOT_A_MEMBER: "add the node to the group, or wait until its agent has read its new group"},
    final=frozenset({Code.NOT_A_MEMBER}),
    check=_not_a_member,
    evidence=_membership,
)

NO_OTHER_UPGRADE = Rule(
    name="no-other-upgrade",
    passes="the node has no other upgrade of its own under way",
    unblocks={Code.DEFERRED: "wait until the upgrade that was under way when the node joined has ended"},
    check=_deferred,
    evidence=_deferral,
)

POLICY = Rule(
    name="policy",
    passes="the policy exists and is enabled",
    unblocks={
        Code.UNKNOWN_POLICY: "publish the policy, or remove it from the node",
        Code.POLICY_DISABLED: "enable the policy",
    },
    final=frozenset({Code.UNKNOWN_POLICY, Code.POLICY_DISABLED}),
    is_of_policies=True,
    check=_unknown_policy,
    evidence=policy_evidence,
)
