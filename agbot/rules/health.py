"""Which members count as available.

A member is available when its agent is registered, its heartbeat is fresh by its own interval, no
upgrade of its own is past the gate, its membership is not deferred, and its services run as far as
it reports them. A node can be a member before its agent is configured (`hzn register --ha-group`),
and its heartbeat stays fresh for minutes after `hzn unregister`: in both cases it runs nothing. The
statuses of a dead agent stay `running` indefinitely (measured, `reference/agbot-ha.md`, "Service
upgrades, live"), so only the heartbeat shows that an agent is alive. What a live agent reports of
its containers is accepted.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from math import inf

from agbot.rules.facts import Agreement, Member, Node, Sight
from agbot.rules.ids import PolicyId
from agbot.rules.limits import Limits, share_of
from agbot.rules.records import Deferral
from agbot.rules.seen_time import Now, SeenTime, settling_of
from agbot.rules.statuses import GOING_BACK, Phase, Status
from agbot.rules.words import duration

_UNDER_WAY = Phase.UNDER_WAY


def _heartbeat_limit_seconds(node: Node, limits: Limits) -> float:
    """Return how old the node's heartbeat may be before it counts as offline."""
    return max(limits.heartbeat_stale_seconds, 2 * _interval_seconds(node, limits))


def _interval_seconds(node: Node, limits: Limits) -> float:
    """Return the node's own heartbeat interval, limited."""
    # a node that claimed an interval of a year would count as alive for two years
    return min(node.heartbeat_interval_seconds, 2 * limits.dead_after_seconds)


def why_offline(node: Node, limits: Limits, now: Now) -> str | None:
    """Say why the node counts as offline; None if it is alive."""
    if node.heartbeat_at is None:
        return "has never sent a heartbeat"
    alive = alive_at(node)
    if alive is None:
        return "the time of its last heartbeat cannot be right"
    age_seconds = (now.wall - alive).total_seconds()
    # the first limit is the lowest, and nearly every heartbeat meets it
    if age_seconds > limits.heartbeat_stale_seconds and age_seconds > _heartbeat_limit_seconds(node, limits):
        return f"last heartbeat {duration(now.wall - node.heartbeat_at)} ago"
    return None


def alive_at(node: Node) -> datetime | None:
    """Return the earliest time at which the node may last have proved that it is alive.

    None if that is not known.
    """
    return node.heartbeat_at if node.is_dated else node.heartbeat_earliest


def why_silent(node: Node, limits: Limits, now: Now) -> str | None:
    """Say for how long the node has been silent; None if that is not long enough to act on.

    Unlike `why_offline` it counts only the time in which a heartbeat could have been seen: from
    silence follows more than a refusal.
    """
    if _silent_seconds(node, limits, now) <= _heartbeat_limit_seconds(node, limits):
        return None
    if node.heartbeat_at is None:
        return "has never sent a heartbeat"
    return f"last heartbeat {duration(now.wall - node.heartbeat_at)} ago"


def is_long_silent(node: Node, limits: Limits, now: Now) -> bool:
    """Return whether the last heartbeat is too old, counted while the Exchange could be seen.

    Right after a blindness the next one may be due only now: no more than a remark follows from it.
    """
    if node.heartbeat_at is None:
        return True
    return now.age_of(node.heartbeat_at).total_seconds() > _heartbeat_limit_seconds(node, limits)


def is_dead(node: Node, limits: Limits, now: Now) -> bool:
    """Return whether the node has been silent for so long that the others no longer wait for it."""
    return _silent_seconds(node, limits, now) > _dead_after_seconds(node, limits)


def dead_at(node: Node, limits: Limits, now: Now) -> SeenTime | None:
    """Return when the node counts as dead if it stays silent; None if that is not known now."""
    if node.heartbeat_at is None or not is_settled(node, limits, now):
        return None
    left_seconds = _dead_after_seconds(node, limits) - _silent_seconds(node, limits, now)
    return now.seen + timedelta(seconds=left_seconds)


def _dead_after_seconds(node: Node, limits: Limits) -> float:
    # a node cannot be dead before it counts as silent
    return max(limits.dead_after_seconds, _heartbeat_limit_seconds(node, limits))


def is_settled(node: Node, limits: Limits, now: Now) -> bool:
    """Return whether the node could have sent a heartbeat since it can be read again."""
    interval_seconds = _interval_seconds(node, limits)
    if not now.is_settled(interval_seconds):
        return False
    settling = settling_of(interval_seconds)
    return node.unseen_until is None or now.age_of(node.unseen_until) >= settling


def _silent_seconds(node: Node, limits: Limits, now: Now) -> float:
    """Return for how long a heartbeat could have been seen and was not."""
    if not is_settled(node, limits, now):
        return 0.0  # the blindness has just ended, and the next heartbeat may not be due yet
    heartbeat_at = node.heartbeat_at
    # A node that never sent one counts as silent without limit, but not right after a time in which
    # it could not be read: an Exchange that was restored may have lost its heartbeats.
    if node.unseen_until is None or (heartbeat_at is not None and heartbeat_at >= node.unseen_until):
        return inf if heartbeat_at is None else now.age_of(heartbeat_at).total_seconds()
    # without what came before, each restore or outage would restart the wait for a dead node (P5)
    return (node.silent_before + now.age_of(node.unseen_until)).total_seconds()


def why_unavailable(
    member: Member,
    limits: Limits,
    now: Now,
    deferral: Deferral | None = None,
    at_stake: Collection[str] | None = None,
) -> str | None:
    """Say why this member does not count as available; None if it does.

    `deferral` is the member's own, if it has one. `at_stake` are the services (`org/url`) that the
    member has to run; None: all of them.
    """
    # Its heartbeat before its services: the statuses of a dead agent stay `running` (measured).
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
        return why_not_running(member, limits, now, at_stake)
    return (
        f"{deferral.what} has not ended"
        if deferral.is_overlap
        else f"it joined during {deferral.what}, which has not ended"
    )


def _unreadable_report(member: Member) -> str:
    """Name a report that cannot be read and may be about an upgrade past the gate.

    Empty if there is none.
    """
    garbled = [policy for policy, status in member.statuses.items() if status.is_garbled]
    return f"its report for {min(garbled)} cannot be read: {member.statuses[min(garbled)].value}" if garbled else ""


def why_not_running(member: Member, limits: Limits, now: Now, at_stake: Collection[str] | None = None) -> str | None:
    """Say which of the member's services does not run; None if all run or nothing is known.

    An agreement that has ended leaves a gap in which nothing is reported (5 to 35 s on real agents,
    `reference/agbot-ha.md`, "Service upgrades, live").
    """
    agreements, ended_at = member.agreements, member.agreement_ended_at
    if not limits.services_must_run or isinstance(agreements, Sight):
        return None  # missing knowledge is no reason to stop a fleet (decision 15)
    wanted = agreements if at_stake is None else [each for each in agreements if each.service in at_stake]
    stopped = next(filter(is_stopped, wanted), None)
    if stopped is not None:
        return f"its service {stopped.service} {stopped.version} is {', '.join(stopped.containers)}"
    if ended_at is None or now.age_of(ended_at) > timedelta(seconds=limits.lease_seconds):
        return None  # the agreement may have ended for good
    lacking = _lacking(agreements, ended_at, at_stake)
    return f"one of its agreements ended {duration(now.age_of(ended_at))} ago and {lacking}" if lacking else None


def _lacking(agreements: Collection[Agreement], ended_at: datetime, at_stake: Collection[str] | None) -> str:
    """Say what does not run again since an agreement ended; empty if nothing lacks."""
    running = [each for each in agreements if each.finalized and not is_stopped(each)]
    if at_stake is None:
        # which agreement ended is not known, so any new one that runs fills the gap
        return "" if any(is_since(each, ended_at) for each in running) else "no new one runs"
    # Several may have ended at once: the return of one proves nothing about the others.
    lacking = sorted(set(at_stake).difference(each.service for each in running))
    return f"{', '.join(lacking)} does not run" if lacking else ""


def may_lack_a_service(member: Member, limits: Limits, now: Now) -> bool:
    """Return whether the services at stake decide if this member is available.

    Otherwise `why_not_running` gives the same answer for any of them.
    """
    agreements, ended_at = member.agreements, member.agreement_ended_at
    if isinstance(agreements, Sight):
        return False
    has_lost_one = ended_at is not None and now.age_of(ended_at) <= timedelta(seconds=limits.lease_seconds)
    return has_lost_one or any(map(is_stopped, agreements))


def is_stopped(agreement: Agreement) -> bool:
    """Return whether containers are reported and at least one of them does not run."""
    return bool(agreement.containers) and not agreement.runs


def is_since(agreement: Agreement, at: datetime) -> bool:
    """Return whether an agreement was written at this time or later; False if that is not known."""
    return agreement.updated_at is not None and agreement.updated_at >= at


def services_at_stake(member: Member | None) -> frozenset[str] | None:
    """Return the services that stop when this member goes down; None if they are unknown."""
    if member is None or isinstance(member.agreements, Sight):
        return None
    # One that reports nothing may run. One that is down already costs nothing more: a version that
    # is bad on every member must not keep the agent upgrade away that repairs it (decision 15).
    return frozenset([each.service for each in member.agreements if not is_stopped(each)])


def upgrading(member: Member, limits: Limits, now: Now) -> PolicyId | None:
    """Return the policy whose upgrade, past the gate, this member is in."""
    under_way = [each for each, status in member.statuses.items() if is_under_way(status, member, limits, now)]
    return min(under_way) if under_way else None


def is_under_way(status: Status, member: Member, limits: Limits, now: Now) -> bool:
    """Return whether this upgrade of the member is past the gate and not over."""
    if status.phase is not _UNDER_WAY:
        return False
    # A final status can be lost, and then `initiated` stays for good (A7): an old report, or the
    # version itself, shows the end as well.
    reached = bool(status.target_version) and member.node.agent_version == status.target_version
    outlived = now.age_of(status.updated_at) > timedelta(seconds=limits.max_upgrade_seconds)
    return not outlived and not (reached and status.value not in GOING_BACK)


def _required(limits: Limits, members: int) -> int:
    """Return how many members of a group of this size must stay available."""
    if not limits.min_available_percent:
        return limits.min_available
    return max(limits.min_available, share_of(limits.min_available_percent, members))


def required_of_others(limits: Limits, members: int) -> int:
    """Return how many others must be available while one member of such a group is down."""
    # a group of one is not gated, and more than all others cannot be asked for
    return max(min(_required(limits, members), members - 1), 0)


def required_by(limits: Limits, members: int) -> str:
    """Return the setting that this number comes from, in words."""
    if _required(limits, members) == limits.min_available:
        return f"min_available {limits.min_available}"
    return f"{limits.min_available_percent:g} % of {members}"
