"""The lease: at most one member of an HA group upgrades, agent or service.

Each group has one lease, which is never deleted. Its token rises by one with every grant and never
goes back, so a late or repeated message about an earlier grant frees nothing: renewals and releases
name the holder and the token. The functions below are the only transitions; each takes a value and
returns a new one. `decide` and `review` decide which transition is right; the store ensures that it
happens once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.progress import Progress
from agbot.rules.reasons import Cause
from agbot.rules.seen_time import Now, SeenTime


class Kind(StrEnum):
    """What is upgraded.

    The agent (a node management policy), a service (a deployment policy), or the operating system
    of the host, which reboots and follows no policy (`docs/decisions/0045`).
    """

    AGENT = "agent"
    SERVICE = "service"
    HOST = "host"


AGENT: Final = Kind.AGENT
SERVICE: Final = Kind.SERVICE
HOST: Final = Kind.HOST
"""What each refusal compares with is a name of a module there: on CPython 3.11 a member costs ten
times as much to look up in its enumeration, and a refusal did so thirty times."""
OF_POLICIES: Final = (Kind.AGENT, Kind.SERVICE)
"""The kinds that follow a policy of the Exchange, which can be approved."""


class State(StrEnum):
    """The state of a lease."""

    FREE = "free"
    HELD = "held"
    SUSPECT = "suspect"


GUARD: Final = "the guard"
"""Asks on a node's behalf where the agbot asked its own database. No identity has this name."""
_MOST_ASKERS = 4
"""Agbots that share a database may ask for each other."""


class IllegalTransitionError(ValueError):
    """The lease is not in a state from which this transition leads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who wants to upgrade what."""

    holder: NodeId
    kind: Kind
    subject: PolicyId
    """Empty if only a service of the holder is known to be down, and not for which policy."""

    @property
    def what(self) -> str:
        """What is upgraded, in words."""
        return self.subject or f"a service of {self.holder}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenure:
    """A member's time with the lease, from the grant to the end."""

    claim: Claim
    granted_at: datetime
    """On the wall clock, because the stamps of the node's reports are compared with it."""
    renewed_at: SeenTime
    expires_at: SeenTime
    progress: Progress

    def expiry(self, lease_seconds: float) -> SeenTime:
        """Return when it expires; a limit that was shortened since the grant applies at once."""
        return min(self.expires_at, self.renewed_at + timedelta(seconds=lease_seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How the previous tenure ended."""

    claim: Claim
    token: int
    cause: Cause
    at: datetime
    """On the wall clock, because heartbeats are compared with it."""
    detail: str = ""
    revision: str = ""
    """The revision of the policy that the upgrade followed."""
    service: str = ""
    """The service that was upgraded: its containers must still run when the group has rested."""
    top_version: str = ""
    """The version that a service was upgraded to: this has failed if it crashes soon after it ran.
    An agent's status has its own."""
    seen_at: SeenTime | None = None
    """The same moment in seen time; None in old records."""
    is_rested: bool = False
    """An operator has ended the rest that followed."""
    version: str = ""
    """The agent version that the node reported as installed: it has to run this one."""
    was_offline: bool = False
    """The holder was offline when it got the lease."""
    is_stopped: bool = False
    """A crash after this end has set the brake: once, since who lifts that brake has seen it."""
    after_success: bool = False
    """This member had nothing to do, and the end before was the success of another one with the
    same release."""

    @property
    def since(self) -> SeenTime:
        """The end in seen time, when the rest of the group begins."""
        return self.seen_at if self.seen_at is not None else SeenTime(self.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The lease of one HA group. `tenure` is None exactly while the state is free."""

    group: GroupId
    token: int = 0
    state: State = State.FREE
    tenure: Tenure | None = None
    last_end: End | None = None

    def __post_init__(self) -> None:
        """Check the one invariant between the fields."""
        if (self.tenure is None) != (self.state is State.FREE):
            message = f"a {self.state} lease of {self.group} cannot have tenure={self.tenure}"
            raise IllegalTransitionError(message)

    @property
    def holder(self) -> NodeId | None:
        """The node that holds it; None if it is free."""
        return self.tenure.claim.holder if self.tenure is not None else None

    def moved(self, step: timedelta) -> Lease:
        """Return the lease after the date was set: wall times move by `step`, seen time stays."""
        tenure = self.tenure and replace(self.tenure, granted_at=self.tenure.granted_at + step)
        end = self.last_end and replace(self.last_end, at=self.last_end.at + step, seen_at=self.last_end.since)
        return replace(self, tenure=tenure, last_end=end)

    def is_held_for(self, claim: Claim) -> bool:
        """Return whether exactly this claim occupies the lease."""
        tenure = self.tenure
        # the holder decides nearly every comparison, and costs less than that of two dataclasses
        return tenure is not None and tenure.claim.holder == claim.holder and tenure.claim == claim

    @property
    def taken_back_at(self) -> datetime | None:
        """When a person released the lease that was held before for the same claim, if at all."""
        end, tenure = self.last_end, self.tenure
        is_same = end is not None and tenure is not None and end.claim == tenure.claim and end.cause is Cause.FORCED
        return end.at if end is not None and is_same else None


def grant(
    lease: Lease, claim: Claim, now: Now, ttl: timedelta, progress: Progress | None = None, *, token_floor: int = 0
) -> Lease:
    """Give a free lease, or take a suspect one over.

    The token rises by one, or above the floor of the store's generation.

    Raises:
        IllegalTransitionError: the lease is held.
    """
    if lease.state is State.HELD:
        message = f"{lease.group} is held by {lease.tenure}"
        raise IllegalTransitionError(message)
    # A takeover ends the former tenure first: a late release of the old holder names a token that
    # is over, and `last_end` shows whom the lease was taken from (`brakes.is_second_to_fall`).
    taken_over = lease
    if lease.state is State.SUSPECT:
        taken_over = release(lease, Cause.SUPERSEDED, now, f"taken over by {claim.holder}")
    tenure = Tenure(
        claim=claim,
        granted_at=now.wall,
        renewed_at=now.seen,
        expires_at=now.seen + ttl,
        progress=progress or Progress(moved_at=now.seen),
    )
    # Above the floor: a store that was replaced by an older copy has lower tokens than some that
    # are still out there.
    return replace(taken_over, token=max(lease.token, token_floor) + 1, state=State.HELD, tenure=tenure)


def renew(lease: Lease, at: SeenTime, ttl: timedelta, progress: Progress | None = None) -> Lease:
    """Extend a lease on evidence of this time; a suspect one is held again. The token stays.

    Raises:
        IllegalTransitionError: the lease is free.
    """
    tenure = occupied(lease)
    renewed = replace(tenure, renewed_at=at, expires_at=at + ttl, progress=progress or tenure.progress)
    return replace(lease, state=State.HELD, tenure=renewed)


def with_progress(lease: Lease, progress: Progress) -> Lease:
    """Record what was seen of the upgrade, which does not extend the lease."""
    return replace(lease, tenure=replace(occupied(lease), progress=progress))


def uphold(lease: Lease, token_floor: int) -> Lease:
    """Record the floor above which an older grant was decided again; 0: it no longer counts."""
    # The token stays: the agbot reports the end under the token that it was given, and a token that
    # rises while the lease is held looks like a second grant (decision 35).
    return with_progress(lease, replace(occupied(lease).progress, upheld_above=token_floor))


def suspect(lease: Lease) -> Lease:
    """Mark an expired lease: it is not known how its upgrade ended.

    Raises:
        IllegalTransitionError: the lease is free.
    """
    return replace(lease, state=State.SUSPECT)


def release(lease: Lease, cause: Cause, now: Now, detail: str = "") -> Lease:
    """Free the lease and remember how it ended. The token stays: the next grant raises it.

    Raises:
        IllegalTransitionError: the lease is free already.
    """
    tenure = occupied(lease)
    revision = tenure.progress.revision
    end = End(
        claim=tenure.claim,
        token=lease.token,
        cause=cause,
        at=now.wall,
        seen_at=now.seen,
        detail=detail,
        revision=revision,
        service=tenure.progress.service,
        top_version=tenure.progress.versions.software if tenure.claim.kind is Kind.SERVICE else "",
        was_offline=tenure.progress.was_offline,
        after_success=cause is Cause.NOTHING_TO_DO and _has_succeeded(lease.last_end, tenure.claim, revision),
    )
    return replace(lease, state=State.FREE, tenure=None, last_end=end)


def _has_succeeded(end: End | None, claim: Claim, revision: str) -> bool:
    """Return whether this end was a success of the release that a claim is for."""
    if end is None or (end.claim.kind, end.claim.subject, end.revision) != (claim.kind, claim.subject, revision):
        return False
    return end.cause is Cause.SUCCEEDED or end.after_success


def occupied(lease: Lease) -> Tenure:
    """Return the tenure of a lease.

    Raises:
        IllegalTransitionError: the lease is free.
    """
    if lease.tenure is None:
        message = f"the lease of {lease.group} is free"
        raise IllegalTransitionError(message)
    return lease.tenure


def repeat(
    lease: Lease, now: Now, ttl: timedelta, max_upgrade: timedelta, by: str = "", *, is_silent: bool = False
) -> Lease:
    """Renew under the same token for a repeated question, while there is progress.

    A holder that asks again is alive and has not begun. `by` is who asks for it, if it does not ask
    by itself; `is_silent`: it is silent.
    """
    tenure = occupied(lease)
    if by:
        asked_by = tuple(dict.fromkeys((by, *tenure.progress.asked_by)))[:_MOST_ASKERS]
        tenure = replace(tenure, progress=replace(tenure.progress, asked_by=asked_by))
        lease = replace(lease, tenure=tenure)
    # A question that another asks for a silent node is no sign of life of that node. And no
    # question renews without limit: an agent that only asks and never reports is hung as well.
    if is_silent or tenure.progress.standstill(now.seen) > max_upgrade:
        return lease
    return renew(lease, now.seen, ttl)
