"""What needs an operator's approval, and what an operator's allowance overrides.

An approval is required before the first member of a group may begin a release. An allowance lets
one upgrade of one node past the rules that permit it (`Rule.is_allowable`), once. It never
overrides the lease or the rest of another member, a hold, or a doubt about the picture. Nor does it
override a failure that came after it: whoever gave it did not know of that. The node's next grant
uses it up, whether or not the grant needed it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from agbot.rules import ids
from agbot.rules.facts import Ask, Policy
from agbot.rules.group import Group
from agbot.rules.lease import HOST
from agbot.rules.reasons import Code, Reason
from agbot.rules.records import Allowance, Approval
from agbot.rules.rule import NO_EVIDENCE, Case, Evidence, Rule
from agbot.rules.seen_time import Now
from agbot.rules.words import clock

_AHEAD = timedelta(seconds=10)
"""A date that was corrected by less than this counts as right."""


def not_approved(case: Case) -> Reason | None:
    """Refuse the first upgrade of a release in a group without the approval that it requires."""
    ask, group = case.ask, case.group
    if not group.limits.approval or ask.claim.kind is HOST or _has_begun(ask, group):
        return None  # a host follows no policy that could be approved
    known = group.policies.get(ask.subject)
    policy = known if isinstance(known, Policy) else None
    if any(_covers(each, ask, group, policy, case.at) for each in group.approvals):
        return None
    text = f"{ask.claim.subject} has not been approved in {group.id} yet"
    return Reason(code=Code.NOT_APPROVED, text=text)


def _approvals(case: Case) -> Evidence:
    scopes = [each.scope for each in case.group.approvals if (each.kind, each.subject) == case.ask.subject]
    return Evidence(facts={"approved_in": scopes}) if scopes else NO_EVIDENCE


def _has_begun(ask: Ask, group: Group) -> bool:
    rollout = group.rollouts.get(ask.subject)
    return rollout is not None and group.id in rollout.started


def _covers(approval: Approval, ask: Ask, group: Group, policy: Policy | None, now: Now) -> bool:
    """Whether the approval covers this release: it was published before the approval was given."""
    if (approval.kind, approval.subject) != ask.subject or approval.scope not in {"*", ids.org_of(group.id), group.id}:
        return False
    if approval.since > now.wall + _AHEAD:
        # given while the clock was wrong: it is not known what had been published by then
        return False
    # of an unreadable date `revised_at` is the latest possible one, so that it is not approved by
    # an approval which may be older than the revision (decision 30)
    return policy is not None and policy.revised_at is not None and policy.revised_at <= approval.since


def allowance(ask: Ask, group: Group, now: Now) -> Allowance | None:
    """Return the allowance that this question may use, if there is one."""
    found = group.allowances.get(ask.node)
    if found is None or now.wall >= found.until or found.subject not in {"", ask.claim.subject}:
        return None
    return found


def overrides(given: Allowance | None, rule: Rule, case: Case) -> bool:
    """Return whether the allowance lets this question past the rule that refuses it."""
    if given is None or not rule.is_allowable:
        return False
    arose_at = rule.arose_at(case)
    return arose_at is None or _knew_of(given, arose_at, case.at)


def too_old(case: Case, arose_at: datetime) -> str:
    """Say that the node has an allowance which is older than this failure; empty if it has none."""
    given = allowance(case.ask, case.group, case.at)
    if given is None or _knew_of(given, arose_at, case.at):
        return ""
    return f"; {given.by} allowed this upgrade at {clock(given.since)}, before it failed: that does not override the failure"


def _knew_of(given: Allowance, arose_at: datetime, now: Now) -> bool:
    """Whether the allowance was given after the failure."""
    # one from the future was given while the clock was wrong: it is not known what had failed then
    return arose_at <= given.since <= now.wall + _AHEAD


APPROVED = Rule(
    name="approved",
    passes="the release has been approved, or needs no approval",
    unblocks={Code.NOT_APPROVED: "run `agbot approve {group} --subject {policy}{service} --reason …`"},
    is_allowable=True,
    check=not_approved,
    evidence=_approvals,
)
