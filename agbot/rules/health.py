"""Who counts as available.

A member is available when its agent is registered, its heartbeat is fresh against its own interval, no upgrade of its own is past the gate
and its membership is not deferred. A node can be a member before its agent is configured (`hzn register --ha-group`), and its heartbeat
stays fresh for minutes after `hzn unregister`: neither runs anything. Statuses of dead agents stay `running` for ever (measured,
`reference/agbot-ha.md`, "Service upgrades, live"), so only the heartbeat tells who lives.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from agbot.rules.facts import Deferral, Member, Node
from agbot.rules.ids import NodeId, PolicyId
from agbot.rules.limits import Limits
from agbot.rules.statuses import GOING_BACK, Phase, Status


def heartbeat_limit_seconds(node: Node, limits: Limits) -> float:
    """Return how old the node's heartbeat may be before it counts as offline."""
    return max(limits.heartbeat_stale_seconds, 2 * node.heartbeat_interval_seconds)


def why_offline(node: Node, limits: Limits, now: datetime) -> str | None:
    """Say why the node counts as offline, or None when it is alive."""
    if node.heartbeat_at is None:
        return "has never sent a heartbeat"
    age_seconds = (now - node.heartbeat_at).total_seconds()
    if age_seconds > heartbeat_limit_seconds(node, limits):
        return f"last heartbeat {int(age_seconds)} s ago"
    return None


def is_dead(node: Node, limits: Limits, now: datetime) -> bool:
    """Tell whether the node has been silent for so long that nobody waits for it any more."""
    limit_seconds = max(limits.dead_after_seconds, heartbeat_limit_seconds(node, limits))
    return node.heartbeat_at is None or (now - node.heartbeat_at).total_seconds() > limit_seconds


def why_unavailable(member: Member, limits: Limits, now: datetime, deferral: Deferral | None = None) -> str | None:
    """Say why this member does not count as available, or None when it does; `deferral` is its own, if it has one."""
    if not member.node.registered:
        return "its agent is not registered"
    offline = why_offline(member.node, limits, now)
    if offline is not None:
        return offline
    subject = upgrading(member, limits, now)
    if subject is not None:
        return f"its own upgrade {subject} is {member.statuses[subject].value}"
    if deferral is None:
        return None
    return (
        f"{deferral.what} has not ended"
        if deferral.is_overlap
        else f"it joined during {deferral.what}, which has not ended"
    )


def upgrading(member: Member, limits: Limits, now: datetime) -> PolicyId | None:
    """Return the policy whose upgrade this member is in the middle of, past the gate."""
    under_way = [each for each, status in member.statuses.items() if is_under_way(status, member, limits, now)]
    return min(under_way, default=None)


def is_under_way(status: Status, member: Member, limits: Limits, now: datetime) -> bool:
    """Tell whether this upgrade of the member is past the gate and not over.

    A final status can be lost, and then `initiated` stands for ever (A7). A member that already runs the version asked for, and is not
    about to lose it again, or whose report is older than the longest upgrade, is not in the middle of it.
    """
    if status.phase is not Phase.UNDER_WAY:
        return False
    reached = bool(status.target_version) and member.node.agent_version == status.target_version
    outlived = now - status.updated_at > timedelta(seconds=limits.max_upgrade_seconds)
    return not outlived and not (reached and status.value not in GOING_BACK)


def required(limits: Limits, members: int) -> int:
    """Return how many members of a group of this size must stay available."""
    return max(limits.min_available, math.ceil(limits.min_available_percent / 100 * members))


def said_required(limits: Limits, members: int) -> str:
    """Say where that number comes from."""
    if required(limits, members) == limits.min_available:
        return f"min_available {limits.min_available}"
    return f"{limits.min_available_percent:g} % of {members}"


def unavailable(
    members: Iterable[Member], deferrals: Mapping[NodeId, Deferral], limits: Limits, now: datetime
) -> dict[NodeId, str]:
    """Return every member that does not count, with the reason."""
    seen = [(member.node.id, why_unavailable(member, limits, now, deferrals.get(member.node.id))) for member in members]
    return {node: why for node, why in seen if why is not None}
