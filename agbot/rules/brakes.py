"""Brakes: a release that failed does not reach the next member, and one that fails in group after group stops in the whole organisation.

There is one kind of record, a brake of one upgrade in one group. It is about what failed: the policy, and the versions that the failed node
reported. A new revision lifts it only for nodes that bring something else, for a node goes on under its old download for a while. That an
organisation is stopped follows from how many of its groups have one that holds the asker, so lifting them lets it go on.
"""

from __future__ import annotations

import math

from agbot.rules import ids
from agbot.rules.facts import Ask, Brake, Group, Policy
from agbot.rules.ids import GroupId
from agbot.rules.lease import Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.reasons import BRAKING, Cause, Code, Reason
from agbot.rules.seen_time import Now
from agbot.rules.versions import NO_VERSIONS, Versions, is_same
from agbot.rules.words import clock

_NAMED_GROUPS = 5
_REMEMBERED = 8
"""How many failed versions of one policy are remembered."""
_FELL_SILENT = frozenset({Cause.SUPERSEDED, Cause.EXPIRED})
"""How the hold of a node that has died ends: a peer has taken the lease over, or nobody has in time."""


def brake(ask: Ask, group: Group, _now: Now) -> Reason | None:
    """A release that failed here does not reach the next member until a person lifts the brake, or that member brings something else."""
    for set_brake in group.brakes:
        if (set_brake.kind, set_brake.subject) == ask.subject and holds(set_brake, ask, group):
            text = f"{set_brake.subject} {set_brake.cause} on {set_brake.node} at {clock(set_brake.since)}"
            return Reason(
                code=Code.BRAKE,
                text=f"{text}{_contradicted(set_brake, group)}{_still_brings(set_brake, ask, group)}",
                facts={"node": set_brake.node, "cause": set_brake.cause, "token": set_brake.token},
            )
    return None


def _contradicted(set_brake: Brake, group: Group) -> str:
    """Name both versions where the failure was that they contradict each other."""
    end = group.lease.last_end
    is_this = end is not None and end.token == set_brake.token and end.cause is Cause.FAILED and end.version
    return f": {end.detail}" if end is not None and is_this else ""


def _still_brings(set_brake: Brake, ask: Ask, group: Group) -> str:
    if not is_other_revision(set_brake, revision_of(ask, group)):
        return ""
    brought = brought_by(ask, group)
    if ask.is_agent:
        return f"; there is a new revision, but {ask.node} still reports {brought}, which failed, until it has downloaded anew"
    return f"; there is a new revision, but it still brings {brought}, which failed"


def org_brake(ask: Ask, group: Group, _now: Now) -> Reason | None:
    """A release that failed in too many groups of the organisation begins in none of the others."""
    if not group.org_brakes:
        return None
    failed = failed_groups(ask, group)
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


def failed_groups(ask: Ask, group: Group) -> list[GroupId]:
    """Return the groups of the organisation in which what is asked for failed and was not resumed, sorted."""
    mine = (each for each in group.org_brakes if (each.kind, each.subject) == ask.subject)
    return sorted(each.group for each in mine if holds(each, ask, group))


def org_limit(limits: Limits, groups: int) -> int | None:
    """Return how many failed groups stop a release in an organisation of so many groups; None: it never stops."""
    by_share = math.ceil(limits.org_brake_percent / 100 * groups) if limits.org_brake_percent else 0
    wanted = [each for each in (limits.org_brake_groups, by_share) if each > 0]
    return min(wanted, default=None)


def holds(set_brake: Brake, ask: Ask, group: Group) -> bool:
    """Tell whether a brake holds this asker: the policy has not changed since, or the asker still brings what failed.

    Where nobody has reported what failed, or what is brought, the revision alone decides. An unread policy changes nothing.
    """
    if not is_other_revision(set_brake, revision_of(ask, group)):
        return True
    return names_failed(set_brake, brought_by(ask, group))


def names_failed(set_brake: Brake, brought: Versions) -> bool:
    """Tell whether this is something that failed."""
    return any(is_same(failed, brought) for failed in set_brake.failed)


def is_other_revision(set_brake: Brake, revision: str | None) -> bool:
    """Tell whether the policy has changed since. An unread one has not, as far as is known."""
    return revision is not None and revision != set_brake.revision


def brought_by(ask: Ask, group: Group) -> Versions:
    """Return what the asker would install: an agent what its own status names, a service the policy's top version."""
    policy, member = group.policies.get(ask.subject), group.members.get(ask.node)
    if not ask.is_agent:
        return Versions(software=policy.top_version) if isinstance(policy, Policy) else NO_VERSIONS
    status = member.statuses.get(ask.claim.subject) if member is not None else None
    return status.versions if status is not None else NO_VERSIONS


def added(before: Brake | None, failed: Versions) -> tuple[Versions, ...]:
    """Return all that has failed under a policy, the latest first: a node may still bring what failed before the last time."""
    earlier = before.failed if before is not None else ()
    return tuple(each for each in dict.fromkeys((failed, *earlier)) if each)[:_REMEMBERED]


def revision_of(ask: Ask, group: Group) -> str | None:
    """Return the revision that is asked for, None if the policy was not read."""
    policy = group.policies.get(ask.subject)
    return policy.revision if isinstance(policy, Policy) else None
