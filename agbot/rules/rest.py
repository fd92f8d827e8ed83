"""The rest of a group after a successful upgrade: before the next member goes, the upgraded one must have been seen healthy.

A release that reports `running` and crashes 20 s later went through all members of a real group, because the agbot went on at the first
`running` (`reference/agbot-ha.md`, "Service upgrades, live"). So the rest has two parts: a time, and a proof that was read at its end. The
proof is a heartbeat after the end of the upgrade, and containers that run when the time is over: for a service its own, for an agent all
that the node reports.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from agbot.rules import health
from agbot.rules.facts import Agreement, Member, Sight
from agbot.rules.lease import End, Kind
from agbot.rules.limits import Limits
from agbot.rules.reasons import RESTING
from agbot.rules.seen_time import Now, SeenTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """The rest that follows an end."""

    end: End
    until: SeenTime
    """The end of its time."""
    proof_until: SeenTime
    """So long the group waits for the proof; then the other rules alone decide."""
    version_until: SeenTime | None = None
    """So long the member may run another agent version than it reported to have installed; None where that does not matter."""


def rest_after(end: End | None, limits: Limits) -> Rest | None:
    """Return the rest that this end began, if it began one."""
    if end is None or end.is_rested or end.cause not in RESTING:
        return None
    seconds = limits.agent_soak_seconds if end.claim.kind is Kind.AGENT else limits.service_soak_seconds
    until = end.since + timedelta(seconds=seconds)
    proof_until = until + timedelta(seconds=limits.rest_proof_seconds)
    version_until = end.since + timedelta(seconds=limits.version_proof_seconds)
    is_compared = bool(end.version) and limits.version_proof_seconds > 0
    return Rest(end=end, until=until, proof_until=proof_until, version_until=version_until if is_compared else None)


def needs_services(rest: Rest, limits: Limits) -> bool:
    """Tell whether the proof is also in what the member reports of its services, read after the time of the rest."""
    return bool(rest.end.service) or (rest.end.claim.kind is Kind.AGENT and limits.services_must_run)


def why_unproven(rest: Rest, member: Member, limits: Limits, now: Now) -> str | None:
    """Say why the upgraded member does not count as seen healthy, or None when it does."""
    contradiction = why_contradicted(rest, member)
    if contradiction is not None:
        return contradiction
    heard_at = health.heard_at(member.node)
    if heard_at is None or heard_at <= rest.end.at:
        return "no heartbeat of it is newer"
    at_stake = {rest.end.service} if rest.end.service else None
    unavailable = health.why_unavailable(member, limits, now, at_stake=at_stake)
    if unavailable is not None:
        return unavailable
    read_at = member.agreements_read_at
    if needs_services(rest, limits) and (read_at is None or read_at < rest.until):
        return "its services have not been read since"
    if rest.end.service and not any(each.finalized and not health.is_stopped(each) for each in upgraded(rest, member)):
        return f"no agreement of it for {rest.end.service} is final"
    return None


def why_contradicted(rest: Rest, member: Member) -> str | None:
    """Say how the agent version that the member runs contradicts its own report, or None when it does not.

    Only one that was heard since tells what it runs. One that reports no version, or brought only a certificate or a configuration,
    contradicts nothing. A build number that only one of the two names is no difference.
    """
    end, node, heard_at = rest.end, member.node, health.heard_at(member.node)
    if rest.version_until is None or heard_at is None or heard_at <= end.at or not node.agent_version:
        return None
    shorter, longer = sorted((end.version, node.agent_version), key=len)
    if longer.startswith(shorter) and longer[len(shorter) :][:1] in {"", "-", "+"}:
        return None
    return f"{node.id} reported success with agent version {end.version} and runs {node.agent_version}"


def is_waited_for(rest: Rest, member: Member, now: Now) -> bool:
    """Tell whether the group still waits for what the member has to show: a contradiction ends by itself, or is found to be a failure."""
    return now.seen < rest.proof_until or why_contradicted(rest, member) is not None


def why_crashed(rest: Rest, member: Member) -> str | None:
    """Say what has stopped on the upgraded member since its upgrade ended well, or None while nothing has."""
    read_at = member.agreements_read_at
    if not rest.end.service or read_at is None or read_at <= rest.end.since:
        return None
    stopped = next((each for each in upgraded(rest, member) if health.is_stopped(each)), None)
    if stopped is None:
        return None
    return f"{rest.end.service} {stopped.version} on {member.node.id}: {', '.join(stopped.containers)}"


def upgraded(rest: Rest, member: Member) -> tuple[Agreement, ...]:
    """Return the member's agreements for the service that was upgraded, as far as they were read."""
    known: tuple[Agreement, ...] = () if isinstance(member.agreements, Sight) else member.agreements
    return tuple(each for each in known if each.service == rest.end.service)
