"""The holder of an occupied lease, as far as it was seen, and the lease under review."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from agbot.rules import health
from agbot.rules.facts import Agreement, Node, Policy, Sight
from agbot.rules.lease import Kind, Lease, Tenure, occupied
from agbot.rules.limits import Limits
from agbot.rules.seen_time import SETTLING, Now, SeenTime
from agbot.rules.statuses import Status
from agbot.rules.verdict import Keep

CLOCK_TOLERANCE = timedelta(seconds=2)
"""The Exchange's `Date` header, from which its clock is known, has a resolution of one second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of the holder at this moment."""

    node: Node | Sight = Sight.UNREAD
    policy: Policy | Sight = Sight.UNREAD
    status: Status | Sight = Sight.UNREAD
    """The holder's status for the lease's policy (agent upgrades)."""
    agreements: tuple[Agreement, ...] | Sight = Sight.UNREAD
    """The holder's agreements (service upgrades)."""
    node_read_at: SeenTime | None = None
    """None if that is not known."""
    status_read_at: SeenTime | None = None
    agreements_read_at: SeenTime | None = None
    unreadable: str = ""
    """What exists of the holder in the Exchange and cannot be read. That is no blindness of ours
    and does not end by itself."""
    is_listed: bool | None = None
    """Whether the agbot lists this upgrade as under way; None if it cannot be asked."""
    hides_report: bool = False
    """The feed has announced a report of the holder since the grant, and no read shows it."""
    recreated: bool = False
    """The Exchange has announced a new node under the holder's name since the grant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One review of an occupied lease, with everything that its verdict depends on."""

    lease: Lease
    seen: Seen
    limits: Limits
    now: Now
    tenure: Tenure = field(init=False, repr=False, compare=False)
    """The tenure of the lease."""

    def __post_init__(self) -> None:
        """Refuse a free lease.

        Raises:
            IllegalTransitionError: the lease is free; there is nothing to review.
        """
        object.__setattr__(self, "tenure", occupied(self.lease))

    @property
    def holder(self) -> str:
        """The node that holds the lease."""
        return self.tenure.claim.holder

    @property
    def expires_at(self) -> SeenTime:
        """When the lease expires by the current limit."""
        return self.tenure.expiry(self.limits.lease_seconds)

    @property
    def keep(self) -> Keep:
        """The verdict that changes nothing."""
        return Keep(progress=self.tenure.progress)

    @property
    def alive_at(self) -> SeenTime | None:
        """The earliest possible time of the holder's last sign of life; None if unknown."""
        node = self.seen.node
        alive_at = health.alive_at(node) if isinstance(node, Node) else None
        return self.now.seen_at(alive_at) if alive_at is not None else None

    @property
    def claimed_at(self) -> SeenTime:
        """The time from which a sign of the upgrade is due."""
        granted_at = self.now.seen_at(self.tenure.granted_at)
        if self.tenure.claim.kind is not Kind.SERVICE:
            # a node that asks again without ever reporting the requested upgrade shows nothing by
            # asking, and would keep an invented claim for good (A8)
            return granted_at
        # An agbot that asks again did not get the first grant and has not begun: it begins with
        # this one. The grant is in the comparison, because its time moves with the Exchange's
        # clock, as the stamps do.
        return max(self.tenure.renewed_at, granted_at)

    @property
    def settled_at(self) -> SeenTime | None:
        """Its last sign of life, once it could report what came before; None if unknown."""
        # A node that comes back acts first on what it has missed, and repeats what it could not
        # report: for a minute the Exchange shows what was before its silence (a seed of the
        # simulation: the agbot had cancelled its agreement while it was away).
        back_at = self.seen.node.back_at if isinstance(self.seen.node, Node) else None
        alive_at = self.alive_at
        is_back = back_at is not None and alive_at is not None and alive_at - self.now.seen_at(back_at) < SETTLING
        return None if is_back else alive_at

    def was_alive_after(self, moment: SeenTime) -> bool:
        """Return whether the holder has sent a heartbeat since this moment, and could report."""
        alive_at = self.settled_at
        # a heartbeat from the future is that of a wrong clock, and no sign of life
        return alive_at is not None and moment <= alive_at <= self.now.seen + CLOCK_TOLERANCE
