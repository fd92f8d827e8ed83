"""Who counts as available.

A member is available when its agent is registered, its heartbeat is fresh against its own interval, no upgrade of its own is past the gate,
its membership is not deferred, and its services run as far as it reports them. A node can be a member before its agent is configured
(`hzn register --ha-group`), and its heartbeat stays fresh for minutes after `hzn unregister`: neither runs anything. Statuses of dead
agents stay `running` for ever (measured, `reference/agbot-ha.md`, "Service upgrades, live"), so only the heartbeat tells who lives; what a
living one says of its containers is believed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from agbot.rules.facts import Agreement, Deferral, Member, Node, Sight
from agbot.rules.ids import NodeId, PolicyId
from agbot.rules.limits import Limits
from agbot.rules.seen_time import Now, settling_of
from agbot.rules.statuses import GOING_BACK, Phase, Status
from agbot.rules.words import duration


def heartbeat_limit_seconds(node: Node, limits: Limits) -> float:
    """Return how old the node's heartbeat may be before it counts as offline."""
    return max(limits.heartbeat_stale_seconds, 2 * _interval_seconds(node, limits))


def _interval_seconds(node: Node, limits: Limits) -> float:
    """Return the node's own heartbeat interval, as far as it is believed: one that claims a year would count as alive for two."""
    return min(node.heartbeat_interval_seconds, 2 * limits.dead_after_seconds)


def why_offline(node: Node, limits: Limits, now: Now) -> str | None:
    """Say why the node counts as offline, or None when it is alive."""
    if node.heartbeat_at is None:
        return "has never sent a heartbeat"
    heard = heard_at(node)
    if heard is None:
        return "the time of its last heartbeat cannot be right"
    age_seconds = (now.wall - heard).total_seconds()
    if age_seconds > heartbeat_limit_seconds(node, limits):
        return f"last heartbeat {duration(now.wall - node.heartbeat_at)} ago"
    return None


def heard_at(node: Node) -> datetime | None:
    """Return when the node last proved that it lives, at the earliest; None where that is not known."""
    return node.heartbeat_at if node.is_dated else node.heartbeat_earliest


def why_silent(node: Node, limits: Limits, now: Now) -> str | None:
    """Say for how long the node has been silent, or None while it has not been for long enough: of this, more follows than a no.

    Silence counts only over time in which we could have heard it.
    """
    if node.heartbeat_at is None:
        return "has never sent a heartbeat"
    silent_seconds = _silent_seconds(node, node.heartbeat_at, limits, now)
    if silent_seconds > heartbeat_limit_seconds(node, limits):
        return f"last heartbeat {duration(now.wall - node.heartbeat_at)} ago"
    return None


def is_dead(node: Node, limits: Limits, now: Now) -> bool:
    """Tell whether the node has been silent for so long that nobody waits for it any more."""
    limit_seconds = max(limits.dead_after_seconds, heartbeat_limit_seconds(node, limits))
    return node.heartbeat_at is None or _silent_seconds(node, node.heartbeat_at, limits, now) > limit_seconds


def is_settled(node: Node, limits: Limits, now: Now) -> bool:
    """Tell whether the node has had the time to be heard since it can be looked at again."""
    interval_seconds = _interval_seconds(node, limits)
    if not now.is_settled(interval_seconds):
        return False
    settling = settling_of(interval_seconds)
    return node.unseen_until is None or now.age_of(node.unseen_until) >= settling


def _silent_seconds(node: Node, heartbeat_at: datetime, limits: Limits, now: Now) -> float:
    """Return for how long a heartbeat could have been heard and was not; nothing as long as a blindness has just ended."""
    if not is_settled(node, limits, now):
        return 0.0
    if node.unseen_until is None or heartbeat_at >= node.unseen_until:
        return now.age_of(heartbeat_at).total_seconds()
    return (node.silent_before + now.age_of(node.unseen_until)).total_seconds()


def why_unavailable(
    member: Member,
    limits: Limits,
    now: Now,
    deferral: Deferral | None = None,
    at_stake: Collection[str] | None = None,
) -> str | None:
    """Say why this member does not count as available, or None when it does.

    `deferral` is its own, if it has one; `at_stake` are the services (`org/url`) for which it is counted on, None all of them.
    """
    unreadable = member.unreadable or _unreadable_report(member)
    if unreadable:
        return unreadable
    if not member.node.registered:
        return "its agent is not registered"
    offline = why_offline(member.node, limits, now)
    if offline is not None:
        return offline
    subject = upgrading(member, limits, now)
    if subject is not None:
        return f"its own upgrade {subject} is {member.statuses[subject].value}"
    if deferral is None:
        return why_not_serving(member, limits, now, at_stake)
    return (
        f"{deferral.what} has not ended"
        if deferral.is_overlap
        else f"it joined during {deferral.what}, which has not ended"
    )


def _unreadable_report(member: Member) -> str:
    """Say which report of the member cannot be read and may be about an upgrade past the gate; empty when there is none."""
    garbled = min((policy for policy, status in member.statuses.items() if status.is_garbled), default=None)
    return "" if garbled is None else f"its report for {garbled} cannot be read: {member.statuses[garbled].value}"


def why_not_serving(member: Member, limits: Limits, now: Now, at_stake: Collection[str] | None = None) -> str | None:
    """Say which of the member's services does not run, or None when all do, or nothing is known of them.

    An agreement that has ended leaves a gap in which nothing is reported (5 to 35 s on real agents, `reference/agbot-ha.md`, "Service
    upgrades, live"). What is at stake is waited for until it runs, as long as a lease lasts, for it may have ended for good. Several
    agreements may end at once: that one of them is back tells nothing of the others.
    """
    agreements, ended_at = member.agreements, member.agreement_ended_at
    if not limits.services_must_run or isinstance(agreements, Sight) or (at_stake is not None and not at_stake):
        return None
    stopped = next(
        (each for each in agreements if is_stopped(each) and (at_stake is None or each.service in at_stake)), None
    )
    if stopped is not None:
        return f"its service {stopped.service} {stopped.version} is {', '.join(stopped.containers)}"
    if ended_at is None or now.age_of(ended_at) > timedelta(seconds=limits.lease_seconds):
        return None
    ended = f"an agreement of it ended {duration(now.age_of(ended_at))} ago"
    serving = [each for each in agreements if each.finalized and not is_stopped(each)]
    if at_stake is None:
        return None if any(is_since(each, ended_at) for each in serving) else f"{ended} and no new one runs"
    lacking = sorted(set(at_stake).difference(each.service for each in serving))
    return f"{ended} and {', '.join(lacking)} does not run" if lacking else None


def is_stopped(agreement: Agreement) -> bool:
    """Tell whether containers are reported and one of them does not run."""
    return bool(agreement.containers) and not agreement.runs


def is_since(agreement: Agreement, at: datetime) -> bool:
    """Tell whether an agreement was written at this time or later, as far as that is known."""
    return agreement.updated_at is not None and agreement.updated_at >= at


def served_by(member: Member | None) -> frozenset[str] | None:
    """Return the services that stop when this member goes down: those that run, or are not reported. None when that is unknown."""
    if member is None or isinstance(member.agreements, Sight):
        return None
    return frozenset([each.service for each in member.agreements if not is_stopped(each)])


def upgrading(member: Member, limits: Limits, now: Now) -> PolicyId | None:
    """Return the policy whose upgrade this member is in the middle of, past the gate."""
    under_way = [each for each, status in member.statuses.items() if is_under_way(status, member, limits, now)]
    return min(under_way, default=None)


def is_under_way(status: Status, member: Member, limits: Limits, now: Now) -> bool:
    """Tell whether this upgrade of the member is past the gate and not over.

    A final status can be lost, and then `initiated` stands for ever (A7). A member that already runs the version asked for, and is not
    about to lose it again, or whose report is older than the longest upgrade, is not in the middle of it.
    """
    if status.phase is not Phase.UNDER_WAY:
        return False
    reached = bool(status.target_version) and member.node.agent_version == status.target_version
    outlived = now.age_of(status.updated_at) > timedelta(seconds=limits.max_upgrade_seconds)
    return not outlived and not (reached and status.value not in GOING_BACK)


def required(limits: Limits, members: int) -> int:
    """Return how many members of a group of this size must stay available."""
    return max(limits.min_available, math.ceil(limits.min_available_percent / 100 * members))


def required_of_others(limits: Limits, members: int) -> int:
    """Return how many of the others must be available while one member of a group of this size is down."""
    return max(min(required(limits, members), members - 1), 0)


def said_required(limits: Limits, members: int) -> str:
    """Say where that number comes from."""
    if required(limits, members) == limits.min_available:
        return f"min_available {limits.min_available}"
    return f"{limits.min_available_percent:g} % of {members}"


def unavailable(
    members: Iterable[Member],
    deferrals: Mapping[NodeId, Deferral],
    limits: Limits,
    now: Now,
    at_stake: Collection[str] | None = None,
) -> dict[NodeId, str]:
    """Return every member that does not count, with the reason; `at_stake` as in `why_unavailable`."""
    found: dict[NodeId, str] = {}
    for member in members:
        why = why_unavailable(member, limits, now, deferrals.get(member.node.id), at_stake)
        if why is not None:
            found[member.node.id] = why
    return found
