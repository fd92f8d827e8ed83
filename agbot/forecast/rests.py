"""How the last upgrade in each group ended, after which the group may still rest. Pure.

The coordinator knows the end of every lease. Where it was not read, a member's own report shows a
success, after which a coordinator would have let the group rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from agbot.forecast.snapshot import Ended, Snapshot
from agbot.rules.facts import Policy
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, End, Kind
from agbot.rules.limits import LimitsOf
from agbot.rules.reasons import Cause
from agbot.rules.rest import rest_after
from agbot.rules.seen_time import Now, SeenTime
from agbot.rules.statuses import Phase, Status


def last_ends(snapshot: Snapshot) -> Mapping[GroupId, End]:
    """Return the last end in each group that has one."""
    known = {each.group: each for each in snapshot.orders.ends}
    found = {group: known.get(group) or _reported(snapshot, group) for group in snapshot.groups}
    policies = {**snapshot.services, **{name: aim.policy for name, aim in snapshot.aims.items()}}
    return {group: _end(each, policies.get(each.subject)) for group, each in found.items() if each is not None}


def rests_until(end: End, group: GroupId, limits_of: LimitsOf) -> datetime | None:
    """Return when the time of the rest after this end is over; None if no rest follows."""
    rest, now = rest_after(end, limits_of(group)), Now(wall=end.at, seen=SeenTime(end.at))
    return now.shown(rest.until) if rest is not None else None


def resting(snapshot: Snapshot, limits_of: LimitsOf) -> Mapping[GroupId, datetime]:
    """Return the groups that rest at the time of the snapshot, each with the end of its rest."""
    found = {group: rests_until(end, group, limits_of) for group, end in last_ends(snapshot).items()}
    return {group: until for group, until in found.items() if until is not None and until > snapshot.taken_at}


def _reported(snapshot: Snapshot, group: GroupId) -> Ended | None:
    """Return the latest success that a member reports of an agent upgrade."""
    found: list[tuple[datetime, NodeId, PolicyId]] = [
        (status.updated_at, node, policy)
        for node in snapshot.groups[group]
        for policy, status in snapshot.statuses.get(node, {}).items()
        if _is_success(status, snapshot.taken_at)
    ]
    if not found:
        return None
    at, node, policy = max(found)
    return Ended(group=group, node=node, kind=Kind.AGENT, subject=policy, at=at, cause=Cause.SUCCEEDED)


def _is_success(status: Status, now: datetime) -> bool:
    # an undated one counts as written when it was first read: every group would rest from now on
    return status.phase is Phase.ENDED_WELL and status.is_dated and status.updated_at <= now


def _end(each: Ended, policy: Policy | None) -> End:
    """Return the end as a lease has it, of the present revision unless that was written since."""
    # a group whose last end was of an earlier revision is no canary of this one
    is_present = policy is not None and (policy.revised_at is None or policy.revised_at <= each.at)
    return End(
        claim=Claim(holder=each.node, kind=each.kind, subject=each.subject),
        token=0,
        cause=each.cause,
        at=each.at,
        is_rested=each.is_rested,
        revision=policy.revision if policy is not None and is_present else "",
    )
