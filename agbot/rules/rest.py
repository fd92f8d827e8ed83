"""The rest of a group after a successful upgrade, until its member has been seen healthy.

On real agents a release that reported `running` and crashed 20 s later reached all members of a
group, because the agbot continued at the first `running` (`reference/agbot-ha.md`, "Service
upgrades, live"). So the rest has two parts: a time, and a proof that is read at its end. The proof
is a heartbeat after the end of the upgrade, and containers that run when the time is over: those of
the service, or after an agent upgrade all that the node reports.
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
    """The rest that follows the end of a tenure."""

    end: End
    until: SeenTime
    """The end of its time."""
    proof_until: SeenTime
    """The group waits for the proof until then; after that the other rules alone decide."""
    version_until: SeenTime | None = None
    """Until then the member may run another agent version than it reported as installed; None if
    that does not matter."""


def rest_after(end: End | None, limits: Limits) -> Rest | None:
    """Return the rest that follows this end; None if none does."""
    if end is None or end.is_rested or end.cause not in RESTING:
        return None
    seconds = limits.service_soak_seconds if end.claim.kind is Kind.SERVICE else limits.agent_soak_seconds
    until = end.since + timedelta(seconds=seconds)
    proof_until = until + timedelta(seconds=limits.rest_proof_seconds)
    version_until = end.since + timedelta(seconds=limits.version_proof_seconds)
    # a node that reported no version, or brought only a certificate, contradicts nothing
    is_compared = bool(end.version) and limits.version_proof_seconds > 0
    return Rest(end=end, until=until, proof_until=proof_until, version_until=version_until if is_compared else None)


def needs_services(rest: Rest, limits: Limits) -> bool:
    """Return whether the proof includes the member's services, read after the time of the rest."""
    return bool(rest.end.service) or (rest.end.claim.kind is not Kind.SERVICE and limits.services_must_run)


def why_unproven(rest: Rest, member: Member, limits: Limits, now: Now) -> str | None:
    """Say why the upgraded member does not count as seen healthy; None if it does."""
    contradiction = why_contradicted(rest, member)
    if contradiction is not None:
        return contradiction
    alive_at = health.alive_at(member.node)
    if alive_at is None or alive_at <= rest.end.at:
        return "it has sent no heartbeat since"
    return health.why_unavailable(member, limits, now, at_stake=_at_stake(rest)) or _why_services_unproven(
        rest, member, limits, now
    )


def needs_services_again(rest: Rest, member: Member, limits: Limits, now: Now) -> bool:
    """Return whether what the member runs must be read again before the rest ends."""
    # A service that was upgraded may still crash, so it is looked at until the end. After an agent
    # upgrade one look at what runs is enough, and only a heartbeat is waited for.
    return bool(rest.end.service) or _why_services_unproven(rest, member, limits, now) is not None


def _why_services_unproven(rest: Rest, member: Member, limits: Limits, now: Now) -> str | None:
    """Say why the upgraded member's services do not count as seen running; None if they do."""
    stopped = health.why_not_running(member, limits, now, _at_stake(rest))
    if stopped is not None:
        return stopped
    read_at = member.agreements_read_at
    # a look from before the end of the rest misses a crash within it (20 s after the first
    # `running`, measured)
    if needs_services(rest, limits) and (read_at is None or read_at < rest.until):
        return "its services have not been read since"
    if rest.end.service and not any(each.finalized and not health.is_stopped(each) for each in _upgraded(rest, member)):
        return f"none of its agreements for {rest.end.service} is final"
    return None


def _at_stake(rest: Rest) -> set[str] | None:
    """Return the service that has to run; None: all of the member's."""
    return {rest.end.service} if rest.end.service else None


def why_contradicted(rest: Rest, member: Member) -> str | None:
    """Say how the member's agent version contradicts its own report; None if it does not."""
    end, node, alive_at = rest.end, member.node, health.alive_at(member.node)
    # The agent writes its version when it starts: before a heartbeat after the end, the Exchange
    # still shows the former one.
    if rest.version_until is None or alive_at is None or alive_at <= end.at or not node.agent_version:
        return None
    # `2.32.0` and `2.32.0-1519`: a build number that only one of the two names is no difference
    shorter, longer = sorted((end.version, node.agent_version), key=len)
    if longer.startswith(shorter) and longer[len(shorter) :][:1] in {"", "-", "+"}:
        return None
    return f"{node.id} reported success with agent version {end.version} but runs {node.agent_version}"


def why_failed(rest: Rest, member: Member, read_at: SeenTime | None) -> str | None:
    """Return how the member contradicts its own report for good; None if it does not."""
    # by a read after the time in which it may run its former version: one from before cannot show
    # what it ran at the end
    is_late = rest.version_until is not None and read_at is not None and read_at >= rest.version_until
    return why_contradicted(rest, member) if is_late else None


def is_waited_for(rest: Rest, member: Member, now: Now) -> bool:
    """Return whether the group still waits for the member's proof."""
    # a contradiction has no limit of its own: it ends by itself, or counts as a failure
    return now.seen < rest.proof_until or why_contradicted(rest, member) is not None


def lacks_proof(rest: Rest, member: Member, limits: Limits, now: Now) -> bool:
    """Return whether the group still waits for the member's proof, and has not got it."""
    return is_waited_for(rest, member, now) and why_unproven(rest, member, limits, now) is not None


def is_under_way(rest: Rest, member: Member | Sight, limits: Limits, now: Now) -> bool:
    """Return whether the group still rests: for its time, or for the proof of its member."""
    if now.seen < rest.until:
        return True
    if isinstance(member, Sight):
        # one that is gone has nothing to prove; one that could not be read may lack its proof
        return member is Sight.UNREAD and now.seen < rest.proof_until
    return lacks_proof(rest, member, limits, now)


def why_crashed(rest: Rest, member: Member) -> str | None:
    """Say what has stopped on the member since its successful upgrade; None if nothing has."""
    read_at = member.agreements_read_at
    # a look from before the end may show a container that was still starting
    if not rest.end.service or read_at is None or read_at <= rest.end.since:
        return None
    stopped = next((each for each in _upgraded(rest, member) if health.is_stopped(each)), None)
    if stopped is None:
        return None
    return f"{rest.end.service} {stopped.version} on {member.node.id}: {', '.join(stopped.containers)}"


def _upgraded(rest: Rest, member: Member) -> tuple[Agreement, ...]:
    """Return the known agreements of the member for the upgraded service."""
    known: tuple[Agreement, ...] = () if isinstance(member.agreements, Sight) else member.agreements
    return tuple(each for each in known if each.service == rest.end.service)
