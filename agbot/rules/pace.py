"""How many groups upgrade at once, and which groups go first as canaries.

A group takes part in the rollout of a release once one of its members has held the lease for it.
The first groups that ask are the canaries; they are not named, so none of them can delay the others
by not asking. A canary has finished when its last upgrade has succeeded, no brake is set, and no
member holds the lease for the release, waits for it, or is being observed in its rest. When enough
canaries have finished, all other groups may begin. A canary whose upgrade ended in a way that
proves nothing (taken back, reset, forced, nothing to do, its node or policy gone) loses its place
to another group. That a member has nothing to do takes nothing from the success of the one before.
"""

from __future__ import annotations

from agbot.rules import ids
from agbot.rules.lease import HOST
from agbot.rules.limits import Limits, share_of
from agbot.rules.reasons import Code, Reason
from agbot.rules.rule import NO_EVIDENCE, Case, Evidence, Rule
from agbot.rules.words import count

_NAMED_GROUPS = 5


def _paced(case: Case) -> Reason | None:
    """Refuse while as many groups upgrade as the limits of the organisation and fleet permit."""
    group = case.group
    limits, traffic = group.limits, group.traffic
    if not limits.max_groups_in_org and not limits.max_groups_in_fleet:
        return None
    for limit, busy, where in (
        (limits.max_groups_in_org, traffic.busy_in_org, ids.org_of(group.id)),
        (limits.max_groups_in_fleet, traffic.busy_in_fleet, "the fleet"),
    ):
        if limit and busy >= limit:
            others = count(busy, f"other group of {where} is", f"other groups of {where} are")
            text = f"{others} upgrading now; at most {limit} may upgrade at once"
            return Reason(code=Code.PACED, text=text, facts={"busy": busy, "limit": limit})
    return None


def _traffic(case: Case) -> Evidence:
    traffic, limits = case.group.traffic, case.group.limits
    if not limits.max_groups_in_org and not limits.max_groups_in_fleet:
        return NO_EVIDENCE
    return Evidence(facts={"busy_in_org": traffic.busy_in_org, "busy_in_fleet": traffic.busy_in_fleet})


def _canary(case: Case) -> Reason | None:
    """Refuse all but the canaries until enough of those have succeeded and rested."""
    ask, group = case.ask, case.group
    wanted = _canaries(group.limits, group.org_groups) if ask.claim.kind is not HOST else 0
    rollout = group.rollouts.get(ask.subject) if wanted else None
    # The first groups that ask are the canaries. Named ones could delay all others by not asking.
    if rollout is None or group.id in rollout.places or len(rollout.places) < wanted:
        return None
    if len(rollout.places - rollout.unfinished.keys()) >= wanted:
        return None
    named = sorted(rollout.unfinished)[:_NAMED_GROUPS]
    first = count(len(rollout.places), "group goes first", "groups go first")
    have = "has" if len(rollout.places) == 1 else "have"
    unfinished = "; ".join(f"{each} {rollout.unfinished[each]}" for each in named)
    return Reason(
        code=Code.CANARY,
        text=f"{first} with {ask.claim.subject} and {have} not finished: {unfinished}",
        facts={"canaries": wanted, "started": len(rollout.places), "unfinished": len(rollout.unfinished)},
    )


def _rollout(case: Case) -> Evidence:
    rollout = case.group.rollouts.get(case.ask.subject)
    if rollout is None:
        return NO_EVIDENCE
    unproven = {"unproven": len(rollout.unproven)} if rollout.unproven else {}
    return Evidence(facts={"started": len(rollout.places), "unfinished": len(rollout.unfinished), **unproven})


def _canaries(limits: Limits, groups: int) -> int:
    """Return how many groups of an organisation go first; 0: there is no canary."""
    return share_of(limits.canary_percent, groups)


CANARY = Rule(
    name="canary",
    passes="the groups that go first have finished, or this group is one of them",
    unblocks={Code.CANARY: "wait until the upgrade has ended in the groups that go first"},
    is_allowable=True,
    check=_canary,
    evidence=_rollout,
)

PACE = Rule(
    name="pace",
    passes="fewer groups are upgrading than the limit allows",
    unblocks={Code.PACED: "wait until an upgrade in another group has ended"},
    is_allowable=True,
    check=_paced,
    evidence=_traffic,
)
