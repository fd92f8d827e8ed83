"""Events of leases, from the grant to the release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from agbot.events.event import (
    COORDINATOR,
    DecisionRecord,
    Level,
    Moment,
    OfGroup,
    listed,
    of_ask,
    of_claim,
    of_deferral,
)
from agbot.rules.facts import Ask
from agbot.rules.ids import NodeId
from agbot.rules.lease import Kind, Lease
from agbot.rules.reasons import Cause, Reason
from agbot.rules.records import Allowance, Deferral
from agbot.rules.seen_time import Now
from agbot.rules.words import clock


class OfLease(OfGroup, frozen=True, kw_only=True):
    """An event of a lease; node and subject are those of its holder, and None if it is free."""

    token: int


class Granting(OfLease, frozen=True, kw_only=True):
    """An event of a new token."""

    kind: Kind
    taken_from: NodeId | None = None
    """The offline node whose suspect lease was taken over."""
    taken_under: int | None = None
    """The token of that lease."""


class LeaseGranted(Granting, frozen=True, kw_only=True):
    """A member has received the lease of its group and may upgrade."""

    name: ClassVar[str] = "lease.granted"
    words: ClassVar[str] = "{self.node} may upgrade {self.upgrade}"

    expires_at: Moment
    allowed_by: str = ""
    """The operator whose allowance the grant needed."""
    allowed_why: str = ""
    decision_record: DecisionRecord | None = None

    def explanation(self) -> str:
        return f"allowed by {self.allowed_by}: {self.allowed_why}" if self.allowed_by else "every rule allows it"


class LeaseTakenOver(LeaseGranted, frozen=True, kw_only=True):
    """A service upgrade with a current agreement took over an offline holder's suspect lease."""

    name: ClassVar[str] = "lease.taken_over"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "{self.node} may upgrade {self.upgrade}: it has taken over the lease of {self.taken_from}"


class LeaseObserved(Granting, frozen=True, kw_only=True):
    """An unasked upgrade was seen, and its node now holds the lease of the group.

    The agbot lists the upgrade, the node reports it, or a service is down.
    """

    name: ClassVar[str] = "lease.observed"

    began_at: Moment
    """When the upgrade began, as far as is known."""
    released_at: Moment | None = None
    """When a person released the lease that this member had for the same upgrade, if that was the
    group's last one."""

    def in_words(self) -> str:
        seen = f"{self.node} is upgrading {self.subject} without a grant"
        if self.released_at is not None:  # it may have asked: its grant was taken back
            seen = (
                f"{self.node} is upgrading {self.subject}, whose lease a person released at {clock(self.released_at)}"
            )
        return f"{seen if self.subject else f'a service of {self.node} is down'}: it now holds the group's lease"


class LeaseOverlapped(OfGroup, frozen=True, kw_only=True):
    """An unasked upgrade began while another member of the group was upgrading.

    The next grant waits for both.
    """

    name: ClassVar[str] = "lease.overlapped"
    level: ClassVar[Level] = Level.WARNING

    others: Mapping[NodeId, str]
    """The members that were already upgrading, each with its upgrade."""
    began_at: Moment

    def in_words(self) -> str:
        others = f"{listed(self.others) or 'another member'} {'are' if len(self.others) > 1 else 'is'}"
        return f"{self.node} is upgrading {self.upgrade} without a grant, while {others} upgrading too"


class LeaseExempted(OfGroup, frozen=True, kw_only=True):
    """A node may upgrade without a lease, because it is a cluster node or deferred.

    Reported once, until the node asks about something else.
    """

    name: ClassVar[str] = "lease.exempted"
    words: ClassVar[str] = "{self.node} may upgrade {self.upgrade} without a lease: {self.code}"

    code: str
    reason: str
    decision_record: DecisionRecord | None = None


class LeaseRenewed(OfLease, frozen=True, kw_only=True):
    """There is evidence that the holder is still upgrading."""

    name: ClassVar[str] = "lease.renewed"
    level: ClassVar[Level] = Level.DEBUG
    words: ClassVar[str] = "{self.node} is still upgrading {self.upgrade}"

    why: str


class LeaseSuspected(OfLease, frozen=True, kw_only=True):
    """A lease has expired, and it is not known how its upgrade ended.

    No other member may begin until that is resolved.
    """

    name: ClassVar[str] = "lease.suspected"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = (
        "the lease of {self.node} for {self.upgrade} has expired, and it is not known how the upgrade ended"
    )

    why: str
    decision_record: DecisionRecord | None = None


class LeaseReleased(OfLease, frozen=True, kw_only=True):
    """A lease has ended; `cause` is how its upgrade ended."""

    name: ClassVar[str] = "lease.released"
    words: ClassVar[str] = "the lease of {self.node} for {self.upgrade} has ended: {self.cause}"

    cause: Cause
    why: str
    held_seconds: float
    handoff_seconds: float | None = None
    """From the end of the upgrade, if that is known, to the release."""
    decision_record: DecisionRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How and why a lease is released, and by whom."""

    cause: Cause
    why: str
    who: str = COORDINATOR
    ended_at: datetime | None = None
    """When the upgrade ended, if there is evidence."""
    decision_record: DecisionRecord | None = None
    """That of the review that found this end; None if the end was reported."""


def granted(
    lease: Lease, now: Now, decision_record: DecisionRecord | None = None, allowed: Allowance | None = None
) -> LeaseGranted:
    """Describe a grant, from the new lease, the decision record, and the allowance it needed."""
    taken_from = _taken_from(lease, now)
    kind = LeaseTakenOver if taken_from else LeaseGranted
    if lease.tenure is None:
        raise ValueError(f"the lease of {lease.group} is free")
    return kind(
        **_whose(lease),
        **taken_from,
        kind=lease.tenure.claim.kind,
        expires_at=now.shown(lease.tenure.expires_at),
        allowed_by=allowed.by if allowed else "",
        allowed_why=allowed.why if allowed else "",
        decision_record=decision_record,
    )


def observed(lease: Lease, since: datetime, now: Now) -> LeaseObserved:
    """Describe a lease, which is the new one, for an upgrade that began at `since`."""
    kind = lease.tenure.claim.kind if lease.tenure is not None else Kind.SERVICE
    return LeaseObserved(
        **_whose(lease), **_taken_from(lease, now), kind=kind, began_at=since, released_at=lease.taken_back_at
    )


def overlapped(deferral: Deferral, others: Mapping[NodeId, str]) -> LeaseOverlapped:
    """Describe an unasked upgrade that began while these nodes were upgrading."""
    named = {node: str(upgrade) for node, upgrade in others.items()}
    return LeaseOverlapped(**of_deferral(deferral), others=named, began_at=deferral.since)


def exempted(ask: Ask, reason: Reason, decision_record: DecisionRecord | None = None) -> LeaseExempted:
    """Describe a permission without a lease."""
    return LeaseExempted(**of_ask(ask), code=str(reason.code), reason=reason.text, decision_record=decision_record)


def renewed(lease: Lease, why: str) -> LeaseRenewed:
    """Describe a renewal for this evidence."""
    return LeaseRenewed(**_whose(lease), why=why)


def suspected(lease: Lease, why: str, decision_record: DecisionRecord | None = None) -> LeaseSuspected:
    """Describe a lease that has become suspect."""
    return LeaseSuspected(**_whose(lease), why=why, decision_record=decision_record)


def released(lease: Lease, ending: Ending, now: Now) -> LeaseReleased:
    """Describe the end of a lease, from its last value while it was held."""
    # The end may be older than the release by our blindness, or younger by the difference of the
    # two clocks: a hand-off is never negative.
    held_seconds = (now.wall - lease.tenure.granted_at).total_seconds() if lease.tenure else 0.0
    since_end = None if ending.ended_at is None else max((now.wall - ending.ended_at).total_seconds(), 0.0)
    return LeaseReleased(
        **_whose(lease),
        who=ending.who,
        cause=ending.cause,
        why=ending.why,
        held_seconds=round(held_seconds, 3),
        handoff_seconds=None if since_end is None else round(since_end, 3),
        decision_record=ending.decision_record,
    )


def superseded(before: Lease, after: Lease, now: Now) -> list[LeaseReleased]:
    """Describe the end of the tenure that a grant has taken over, if any.

    Args:
        before: The lease before that grant.
        after: The lease after it.
        now: The time of the grant.
    """
    end = after.last_end
    if before.tenure is None or end is None:
        return []
    return [released(before, Ending(cause=end.cause, why=end.detail), now)]


def _whose(lease: Lease) -> dict[str, Any]:
    return {"group": lease.group, "token": lease.token, **(of_claim(lease.tenure.claim) if lease.tenure else {})}


def _taken_from(lease: Lease, now: Now) -> dict[str, Any]:
    """Return whose lease the grant of this moment has taken over; nothing if it was free."""
    end = lease.last_end
    # the last end stays with the lease, and only one of this very moment belongs to this grant
    if end is None or end.cause is not Cause.SUPERSEDED or end.at != now.wall:
        return {}
    return {"taken_from": end.claim.holder, "taken_under": end.token}
