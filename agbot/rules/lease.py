"""The lease: at most one member of an HA group upgrades, agent or service.

Each group has one lease for ever. Its token rises by one with every grant and never goes back, so that a late or repeated message
about an earlier grant frees nothing else: renewals and releases name (holder, token). The transitions are the functions below and no
others; each takes a value and returns a new one. Which transition is right is decided in `decide` and `review`; that it happens once
is the store's promise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2s

from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.reasons import Cause
from agbot.rules.seen_time import Now, SeenTime
from agbot.rules.versions import Versions


class Kind(StrEnum):
    """What is upgraded: the agent (a node management policy) or a service (a deployment policy)."""

    AGENT = "agent"
    SERVICE = "service"


class State(StrEnum):
    """Where a lease stands."""

    FREE = "free"
    HELD = "held"
    SUSPECT = "suspect"


_MOST_ASKERS = 4
"""Agbots that share a database may ask for each other."""
_MOST_MARKS = 32
"""An upgrade passes through at most a dozen statuses; an agreement changes less often than that."""


class IllegalTransitionError(ValueError):
    """The lease is not in a state from which this transition leads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who wants to upgrade what."""

    holder: NodeId
    kind: Kind
    subject: PolicyId
    """Empty where only a service of the holder is known to be down, and not for which policy."""

    @property
    def what(self) -> str:
        """What is upgraded, for people."""
        return self.subject or f"a service of {self.holder}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What has been seen of the holder's upgrade since the grant."""

    moved_at: SeenTime
    """When a change of status was last seen; at first the time of the grant."""
    status: str = ""
    """The last status (agent) or the last digest of agreements and containers (service); empty while nothing was seen."""
    stamp: str = ""
    """The Exchange's own stamp of that status."""
    confirmed: bool = False
    """An active status has been seen: the claim is real."""
    pending_since: SeenTime | None = None
    """Since when a status stands that ends the lease only after a grace period."""
    target_version: str = ""
    """The agent version that the upgrade leads to, as the node reported it."""
    version_before: str = ""
    """The agent version at the grant: only a change of it proves anything."""
    revision: str = ""
    """The revision of the policy at the grant: a brake stops this one and no later one."""
    service: str = ""
    """The service that is upgraded, `org/url`."""
    agreements_before: tuple[str, ...] = ()
    """The agreements at the grant of a service upgrade: its end is an agreement that is not among them."""
    observed: bool = False
    """Nobody asked: the upgrade was seen in the Exchange when it had begun."""
    pattern: str = ""
    """The pattern that the upgraded service comes from, `org/name`; empty where it is a deployment policy."""
    certificate: str = ""
    """The version of the agent's certificate that the upgrade brings, as the node reported it."""
    configuration: str = ""
    """The same of its configuration."""
    top_version: str = ""
    """The policy's top version at the grant of a service upgrade."""
    asked_by: tuple[str, ...] = ()
    """The identities that were told yes on the node's behalf, the last one first: only they may report the end without the token."""
    marks: tuple[str, ...] = ()
    """What was reported since the grant, each in short: what comes again is no progress."""
    advanced_at: SeenTime | None = None
    """When something was last reported that had not been before; None: at the last change."""

    @property
    def versions(self) -> Versions:
        """What the upgrade brings, as far as is known."""
        software = self.target_version or self.top_version
        return Versions(software=software, certificate=self.certificate, configuration=self.configuration)

    def standstill(self, now: SeenTime) -> timedelta:
        """Return for how long nothing was reported that had not been reported before."""
        return now - (self.advanced_at or self.moved_at)

    def reported(self, report: str, now: SeenTime) -> Progress:
        """Return it after a report: moved by each, advanced by one that was not there before. Both are counted in seen time.

        A node that reports the same again and again, or two things in turn, moves for ever and never advances.
        """
        mark = blake2s(report.encode(), digest_size=6).hexdigest()
        if mark in self.marks or len(self.marks) >= _MOST_MARKS:
            return replace(self, moved_at=now, advanced_at=self.advanced_at or self.moved_at)
        return replace(self, moved_at=now, advanced_at=now, marks=(*self.marks, mark))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The present occupation of a lease."""

    claim: Claim
    granted_at: datetime
    """On the wall clock: what the node writes is compared with it."""
    renewed_at: SeenTime
    expires_at: SeenTime
    progress: Progress

    def expiry(self, lease_seconds: float) -> SeenTime:
        """Return when it expires by the limit that holds now: a shorter one holds for leases that were granted under a longer one."""
        return min(self.expires_at, self.renewed_at + timedelta(seconds=lease_seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How the previous occupation ended."""

    claim: Claim
    token: int
    cause: Cause
    at: datetime
    """On the wall clock: heartbeats are compared with it."""
    detail: str = ""
    revision: str = ""
    """The revision of the policy that was carried out."""
    service: str = ""
    """The service that was upgraded: its containers must still run when the group has rested."""
    top_version: str = ""
    """The version that a service was upgraded to: what has failed, if it crashes soon after it ran. An agent's status tells its own."""
    seen_at: SeenTime | None = None
    """The same moment in seen time; None in what was stored before there was any."""

    is_rested: bool = False
    """A person has ended the rest that followed."""
    version: str = ""
    """The agent version that the node reported to have installed: what it runs itself has to become that."""

    @property
    def since(self) -> SeenTime:
        """The end in seen time: the rest of the group begins here."""
        return self.seen_at if self.seen_at is not None else SeenTime(self.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The lease of one HA group. `hold` is None exactly while the state is free."""

    group: GroupId
    token: int = 0
    state: State = State.FREE
    hold: Hold | None = None
    last_end: End | None = None

    def __post_init__(self) -> None:
        """Hold the one invariant between the fields."""
        if (self.hold is None) != (self.state is State.FREE):
            message = f"a {self.state} lease of {self.group} cannot have hold={self.hold}"
            raise IllegalTransitionError(message)

    def moved(self, step: timedelta) -> Lease:
        """Return it with the date moved by this: what is compared with stamps moves along, what is counted in seen time does not."""
        hold = self.hold and replace(self.hold, granted_at=self.hold.granted_at + step)
        end = self.last_end and replace(self.last_end, at=self.last_end.at + step, seen_at=self.last_end.since)
        return replace(self, hold=hold, last_end=end)

    def is_held_for(self, claim: Claim) -> bool:
        """Tell whether exactly this claim occupies the lease."""
        return self.hold is not None and self.hold.claim == claim


def grant(
    lease: Lease, claim: Claim, now: Now, ttl: timedelta, progress: Progress | None = None, *, token_floor: int = 0
) -> Lease:
    """Give a free lease, or take a suspect one over; the token rises by one, or above the floor of the store's generation.

    Raises:
        IllegalTransitionError: the lease is held.
    """
    if lease.state is State.HELD:
        message = f"{lease.group} is held by {lease.hold}"
        raise IllegalTransitionError(message)
    taken_over = lease
    if lease.state is State.SUSPECT:
        taken_over = release(lease, Cause.SUPERSEDED, now, f"taken over by {claim.holder}")
    hold = Hold(
        claim=claim,
        granted_at=now.wall,
        renewed_at=now.seen,
        expires_at=now.seen + ttl,
        progress=progress or Progress(moved_at=now.seen),
    )
    return replace(taken_over, token=max(lease.token, token_floor) + 1, state=State.HELD, hold=hold)


def renew(lease: Lease, at: SeenTime, ttl: timedelta, progress: Progress | None = None) -> Lease:
    """Extend a lease on evidence of this time; a suspect one is held again. The token stays.

    Raises:
        IllegalTransitionError: the lease is free.
    """
    hold = _occupied(lease)
    renewed = replace(hold, renewed_at=at, expires_at=at + ttl, progress=progress or hold.progress)
    return replace(lease, state=State.HELD, hold=renewed)


def take_down(lease: Lease, progress: Progress) -> Lease:
    """Keep what was seen of the upgrade, which extends nothing."""
    return replace(lease, hold=replace(_occupied(lease), progress=progress))


def suspect(lease: Lease) -> Lease:
    """Mark an expired lease whose end nobody knows."""
    _occupied(lease)
    return replace(lease, state=State.SUSPECT)


def release(lease: Lease, cause: Cause, now: Now, detail: str = "") -> Lease:
    """Free the lease and remember how it ended. The token stays: the next grant raises it.

    Raises:
        IllegalTransitionError: the lease is free already.
    """
    hold = _occupied(lease)
    end = End(
        claim=hold.claim,
        token=lease.token,
        cause=cause,
        at=now.wall,
        seen_at=now.seen,
        detail=detail,
        revision=hold.progress.revision,
        service=hold.progress.service,
        top_version=hold.progress.versions.software if hold.claim.kind is Kind.SERVICE else "",
    )
    return replace(lease, state=State.FREE, hold=None, last_end=end)


def _occupied(lease: Lease) -> Hold:
    if lease.hold is None:
        message = f"the lease of {lease.group} is free"
        raise IllegalTransitionError(message)
    return lease.hold


def repeat(lease: Lease, now: Now, ttl: timedelta, max_upgrade: timedelta, by: str = "") -> Lease:
    """Answer the holder's repeated question: renewed under the same token, but not for ever without any progress.

    A holder that asks again is alive and has not begun. After `max_upgrade` without a change of status its questions keep nothing alive.
    """
    hold = _occupied(lease)
    if by:
        asked_by = tuple(dict.fromkeys((by, *hold.progress.asked_by)))[:_MOST_ASKERS]
        hold = replace(hold, progress=replace(hold.progress, asked_by=asked_by))
        lease = replace(lease, hold=hold)
    if hold.progress.standstill(now.seen) > max_upgrade:
        return lease
    return renew(lease, now.seen, ttl)


def why_not_ended_by(lease: Lease, who: str, token: int | None) -> str:
    """Say why this identity may not report the end of this occupation; empty when it may.

    The token names the grant, and so does the identity that was granted. An upgrade that nobody asked for was granted to nobody. One
    that was granted before identities were kept is ended by any agbot.
    """
    progress = _occupied(lease).progress
    if token is not None:
        return "" if token == lease.token else f"token {token} is not that of the present grant"
    if progress.observed:
        return f"nobody asked for it, so {who} has to name its token"
    if progress.asked_by and who not in progress.asked_by:
        return f"it was granted to {progress.asked_by[0]}, so {who} has to name the token of that grant"
    return ""
