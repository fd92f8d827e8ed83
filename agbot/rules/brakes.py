"""Brakes: a release that failed does not reach the next member, and one that fails in group after group stops in the whole organisation.

There is one kind of record, a brake of one upgrade in one group. That an organisation is stopped follows from how many of its groups have
one for the same revision, so lifting them lets it go on, and a new revision starts from nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from agbot.rules import ids
from agbot.rules.facts import Ask, Brake, Group, Policy
from agbot.rules.ids import GroupId
from agbot.rules.lease import Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.reasons import BRAKING, Cause, Code, Reason
from agbot.rules.seen_time import Now
from agbot.rules.words import clock

_NAMED_GROUPS = 5
_FELL_SILENT = frozenset({Cause.SUPERSEDED, Cause.EXPIRED})
"""How the hold of a node that has died ends: a peer has taken the lease over, or nobody has in time."""


def brake(ask: Ask, group: Group, _now: Now) -> Reason | None:
    """A release that failed here does not reach the next member until a person, or a new revision, lifts the brake."""
    if not group.brakes:
        return None
    revision = revision_of(ask, group)
    for set_brake in group.brakes:
        if (set_brake.kind, set_brake.subject) == ask.subject and still_set(set_brake, revision):
            return Reason(
                code=Code.BRAKE,
                text=f"{set_brake.subject} {set_brake.cause} on {set_brake.node} at {clock(set_brake.since)}",
                facts={"node": set_brake.node, "cause": set_brake.cause, "token": set_brake.token},
            )
    return None


def org_brake(ask: Ask, group: Group, _now: Now) -> Reason | None:
    """A release that failed in too many groups of the organisation begins in none of the others."""
    if not group.org_brakes:
        return None
    failed = failed_groups(ask, group.org_brakes, revision_of(ask, group))
    limit = org_limit(group.limits, group.org_groups)
    if limit is None or len(failed) < limit:
        return None
    named = ", ".join(failed[:_NAMED_GROUPS]) + (" …" if len(failed) > _NAMED_GROUPS else "")
    return Reason(
        code=Code.ORG_BRAKE,
        text=f"{ask.claim.subject} failed in {len(failed)} groups of {ids.org_of(group.id)} ({named}); "
        f"{limit} stop it in all of them",
        facts={"failed": len(failed), "limit": limit, "groups": group.org_groups},
    )


def stops(lease: Lease, cause: Cause) -> bool:
    """Tell whether the upgrade that holds this lease, and ends like this, is stopped in its group.

    Not a service whose node has died: that says nothing about the release, and an offline peer never blocks a service (P6). Unless it is
    the second in a row: then it is the release.
    """
    if lease.hold is None or cause not in BRAKING:
        return False
    return lease.hold.claim.kind is Kind.AGENT or cause is not Cause.EXPIRED or is_second_to_fall(lease)


def is_second_to_fall(lease: Lease) -> bool:
    """Tell whether another member fell silent in the middle of the same release just before the present holder began it."""
    hold, end = lease.hold, lease.last_end
    if hold is None or end is None or end.cause not in _FELL_SILENT or end.claim.holder == hold.claim.holder:
        return False
    now, then = hold.claim, end.claim
    return (then.kind, then.subject, end.revision) == (now.kind, now.subject, hold.progress.revision)


def failed_groups(ask: Ask, org_brakes: Iterable[Brake], revision: str | None) -> list[GroupId]:
    """Return the groups in which this very release failed and was not resumed, sorted."""
    return sorted(
        each.group for each in org_brakes if (each.kind, each.subject) == ask.subject and still_set(each, revision)
    )


def org_limit(limits: Limits, groups: int) -> int | None:
    """Return how many failed groups stop a release in an organisation of so many groups; None: it never stops."""
    by_share = math.ceil(limits.org_brake_percent / 100 * groups) if limits.org_brake_percent else 0
    wanted = [each for each in (limits.org_brake_groups, by_share) if each > 0]
    return min(wanted, default=None)


def still_set(set_brake: Brake, revision: str | None) -> bool:
    """Tell whether a brake still holds: a changed policy is a different release. An unread one changes nothing."""
    return revision is None or revision == set_brake.revision


def revision_of(ask: Ask, group: Group) -> str | None:
    """Return the revision that is asked for, None if the policy was not read."""
    policy = group.policies.get(ask.subject)
    return policy.revision if isinstance(policy, Policy) else None
