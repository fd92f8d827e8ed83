"""What needs a person's word, and what a person's word lets past.

An approval is asked for before the first member of a group may begin a release. An allowance lets one upgrade of one node past health,
window, brakes, approval, canary, pace and turn, once; never past the lease or the rest of another, nor past a hold, nor past anything that
says the picture cannot be trusted. The node's next grant uses it up, whether that needed it or not.
"""

from __future__ import annotations

from datetime import timedelta

from agbot.rules import ids
from agbot.rules.facts import Allowance, Approval, Ask, Group, Policy
from agbot.rules.reasons import Code, Reason
from agbot.rules.seen_time import Now

ALLOWABLE = frozenset(
    {
        Code.PEERS_UNAVAILABLE,
        Code.OUTSIDE_WINDOW,
        Code.BRAKE,
        Code.ORG_BRAKE,
        Code.NOT_APPROVED,
        Code.CANARY,
        Code.PACED,
        Code.TURN,
    }
)
"""Reasons that an allowance lets an upgrade past."""
_AHEAD = timedelta(seconds=10)
"""A date that was corrected by less is no wrong one."""


def not_approved(ask: Ask, group: Group, now: Now) -> Reason | None:
    """Where it is asked for, the first member of a group begins a release only after a person has approved it."""
    if not group.limits.approval or _has_begun(ask, group):
        return None
    policy = group.policies.get(ask.subject)
    if any(_covers(each, ask, group, policy if isinstance(policy, Policy) else None, now) for each in group.approvals):
        return None
    text = f"nobody has approved {ask.claim.subject} in {group.id} yet"
    return Reason(code=Code.NOT_APPROVED, text=text)


def _has_begun(ask: Ask, group: Group) -> bool:
    rollout = group.rollouts.get(ask.subject)
    return rollout is not None and group.id in rollout.started


def _covers(approval: Approval, ask: Ask, group: Group, policy: Policy | None, now: Now) -> bool:
    """Whether this was said of this release here: of a revision that was published before it was said."""
    if (approval.kind, approval.subject) != ask.subject or approval.scope not in {"*", ids.org_of(group.id), group.id}:
        return False
    if approval.since > now.wall + _AHEAD:
        return False  # said by a clock of ours that was wrong: what was published by then is not known
    return policy is not None and policy.revised_at is not None and policy.revised_at <= approval.since


def allowance(ask: Ask, group: Group, now: Now) -> Allowance | None:
    """Return the allowance that this question may use, if there is one."""
    found = group.allowances.get(ask.node)
    if found is None or now.wall >= found.until or found.subject not in {"", ask.claim.subject}:
        return None
    return found


def without_allowed(reasons: tuple[Reason, ...], allowed: Allowance | None) -> tuple[Reason, ...]:
    """Return the reasons that still hold with this allowance, if there is one."""
    if allowed is None:
        return reasons
    return tuple(reason for reason in reasons if reason.code not in ALLOWABLE)
