"""The coordinator's own records beside the leases: values only.

They are deferrals, brakes, operators' decisions, and waiters. `agbot.store.records` defines how
each is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from agbot.rules import reasons
from agbot.rules.facts import Ask
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.seen_time import SeenTime
from agbot.rules.versions import Versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferral:
    """A member whose membership is not enforced until an upgrade of it has ended.

    It came with that upgrade, or the upgrade began without a grant.
    """

    group: GroupId
    node: NodeId
    subject: PolicyId
    """The node management policy. Empty for a service, because it is not known whose agreement has
    ended, but an overlap has its policy."""
    since: datetime
    """When it was first seen; for a service, when its agreement ended."""
    status: str = ""
    kind: Kind = Kind.AGENT
    service: str = ""
    """The service of an overlap, `org/url`; otherwise empty."""
    overlaps: bool = False
    """The upgrade began unasked while another member upgraded."""
    cut_off: str = ""
    """For an agent upgrade that can no longer be reported: the agent version before it, or
    `unknown` (`deferral.left_behind`, `deferral.unreported`)."""

    @property
    def is_overlap(self) -> bool:
        """Whether it began unasked while another member upgraded.

        Old records show that only by having a policy.
        """
        return self.overlaps or (self.kind is Kind.SERVICE and bool(self.subject))

    @property
    def what(self) -> str:
        """The upgrade, in words."""
        if self.is_overlap:
            return f"the {self.kind} upgrade {self.subject}" if self.subject else f"the upgrade of {self.service}"
        return self.subject if self.kind is Kind.AGENT else "the upgrade of its service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Brake:
    """An upgrade that failed in this group and is stopped there."""

    group: GroupId
    kind: Kind
    subject: PolicyId
    revision: str
    since: datetime
    cause: reasons.Cause
    node: NodeId
    token: int
    failed: tuple[Versions, ...] = ()
    """What has failed under this policy, the latest first; empty if no node reported what it
    brought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """An operator lets one upgrade of a node past most rules, once."""

    node: NodeId
    subject: PolicyId
    """The policy of that upgrade; empty for the next upgrade, whatever its policy."""
    since: datetime
    until: datetime
    by: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """An operator's approval of a release.

    `scope` is `*`, an organisation or an `org/group`.
    """

    scope: str
    kind: Kind
    subject: PolicyId
    since: datetime
    by: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """An operator's stop of new grants.

    `scope` is `*` (everything), an organisation, an `org/group`, or `node:org/name` for a single
    node.
    """

    scope: str
    since: datetime
    by: str
    why: str
    until: datetime | None = None


class BusyState(StrEnum):
    """What has been reported of a busy node."""

    BUSY = "busy"
    IGNORED = "ignored"
    """It has lasted longer than `max_busy_seconds`."""
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """A node's own word that its agent is not to be upgraded now."""

    node: NodeId
    since: datetime
    """When it began to say so, without an hour's pause since."""
    until: datetime
    why: str
    state: BusyState = BusyState.BUSY


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """A member that was refused and still asks."""

    ask: Ask
    since: SeenTime
    asked_at: SeenTime
    reasons: tuple[reasons.Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Whether a node asks here before it upgrades its agent."""

    node: NodeId
    asked_at: datetime | None = None
    """When it last asked, to about a day; None if never."""
    bypassed_at: datetime | None = None
    """When it was seen to upgrade its agent without asking, if it has not asked since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """When a member last held the lease, and whether its claim was ever confirmed."""

    group: GroupId
    node: NodeId
    until: SeenTime
    cause: reasons.Cause
