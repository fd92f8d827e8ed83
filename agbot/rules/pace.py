"""How many groups upgrade at once, and who goes first: a canary share of the groups, the rest when those have finished and rested.

A group takes part in the rollout of a release once one of its members has held the lease for it. The first so many groups that ask are the
canaries; nobody names them, so none can hold the others up by not asking. One has finished when its last upgrade has succeeded, none of its
members holds the lease for the release, waits for it, or is being watched in its rest, and no brake stands. When so many have finished, all
others may go. A canary whose upgrade ended in a way that proves nothing (taken back, reset, forced, its node or policy gone) is none any
more: another group takes its place.
"""

from __future__ import annotations

import math

from agbot.rules import ids
from agbot.rules.facts import Ask, Group
from agbot.rules.limits import Limits
from agbot.rules.reasons import Code, Reason
from agbot.rules.seen_time import Now

_NAMED_GROUPS = 5


def paced(_ask: Ask, group: Group, _now: Now) -> Reason | None:
    """At most so many groups of an organisation, and of the fleet, upgrade at once."""
    limits, traffic = group.limits, group.traffic
    if not limits.max_groups_in_org and not limits.max_groups_in_fleet:
        return None
    for limit, busy, where in (
        (limits.max_groups_in_org, traffic.busy_in_org, ids.org_of(group.id)),
        (limits.max_groups_in_fleet, traffic.busy_in_fleet, "the fleet"),
    ):
        if limit and busy >= limit:
            text = f"{busy} other groups of {where} upgrade now, {limit} may at once"
            return Reason(code=Code.PACED, text=text, facts={"busy": busy, "limit": limit})
    return None


def canary(ask: Ask, group: Group, _now: Now) -> Reason | None:
    """All but the first groups wait until so many have finished this release with success and rested."""
    wanted = canaries(group.limits, group.org_groups)
    rollout = group.rollouts.get(ask.subject) if wanted else None
    if rollout is None or group.id in rollout.places or len(rollout.places) < wanted:
        return None
    if len(rollout.places - rollout.unfinished.keys()) >= wanted:
        return None
    named = sorted(rollout.unfinished)[:_NAMED_GROUPS]
    said = "; ".join(f"{each} {rollout.unfinished[each]}" for each in named)
    return Reason(
        code=Code.CANARY,
        text=f"{len(rollout.places)} groups go first with {ask.claim.subject} and have not finished: {said}",
        facts={"canaries": wanted, "started": len(rollout.places), "unfinished": len(rollout.unfinished)},
    )


def canaries(limits: Limits, groups: int) -> int:
    """Return how many groups of an organisation go first; 0: there is no canary."""
    return math.ceil(limits.canary_percent / 100 * groups) if limits.canary_percent else 0
