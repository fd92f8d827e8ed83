"""Events of operators' orders: holds, allowances and approvals."""

from __future__ import annotations

from typing import Any, ClassVar

from agbot.events.event import COORDINATOR, Event, Moment
from agbot.rules import ids
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.records import Allowance, Approval, Hold
from agbot.rules.words import clock
from agbot.rules.words import scope as named_scope


class OfHold(Event, frozen=True, kw_only=True):
    """An event of a hold."""

    group: GroupId | None = None
    """The group, if the hold covers exactly one group."""
    node: NodeId | None = None
    scope: str
    """`*`, an organisation, an `org/group`, or `node:org/name`."""
    why: str

    @property
    def where(self) -> str:
        """The scope, for people."""
        return named_scope(self.scope)


class HoldSet(OfHold, frozen=True, kw_only=True):
    """An operator stopped new grants for a node, a group, an organisation or the fleet."""

    name: ClassVar[str] = "hold.set"

    until: Moment | None = None
    """When it expires."""

    def in_words(self) -> str:
        until = f" until {clock(self.until)}" if self.until else ""
        return f"{self.where} is on hold{until}: no upgrade may begin"


class HoldEnded(OfHold, frozen=True, kw_only=True):
    """A hold was ended by an operator, or has expired."""

    name: ClassVar[str] = "hold.ended"
    words: ClassVar[str] = "{self.where} is no longer on hold"


class AllowanceGiven(Event, frozen=True, kw_only=True):
    """An operator allowed a node to begin one upgrade although rules are against it."""

    name: ClassVar[str] = "allowance.given"
    words: ClassVar[str] = "{self.node} may begin {self.upgrade} once, past all rules but the lease and the holds"

    node: NodeId
    subject: PolicyId | None = None
    """The policy; None for the next upgrade under any policy."""
    why: str
    until: Moment

    @property
    def upgrade(self) -> str:
        """The allowed upgrade, for people."""
        return self.subject or "its next upgrade"


class AllowanceEnded(Event, frozen=True, kw_only=True):
    """An allowance expired, or an operator withdrew it, and it had not been needed."""

    name: ClassVar[str] = "allowance.ended"

    node: NodeId
    subject: PolicyId | None = None
    why: str

    def in_words(self) -> str:
        how = "ended unused" if self.who == COORDINATOR else "been withdrawn"
        return f"the allowance of {self.node} has {how}"


class OfApproval(Event, frozen=True, kw_only=True):
    """An event of an approval."""

    subject: PolicyId
    scope: str
    """`*`, an organisation, or an `org/group`."""
    kind: Kind
    why: str

    @property
    def where(self) -> str:
        """The scope, for people."""
        return named_scope(self.scope)


class ApprovalGiven(OfApproval, frozen=True, kw_only=True):
    """An operator approved an upgrade that may not begin without approval."""

    name: ClassVar[str] = "approval.given"
    words: ClassVar[str] = "the {self.kind} upgrade {self.subject} has been approved for {self.where}"


class ApprovalWithdrawn(OfApproval, frozen=True, kw_only=True):
    """An operator withdrew an approval. Groups in which the upgrade has begun go on."""

    name: ClassVar[str] = "approval.withdrawn"
    words: ClassVar[str] = "the {self.kind} upgrade {self.subject} is no longer approved for {self.where}"


def hold_set(hold: Hold) -> HoldSet:
    """Describe a new hold."""
    return HoldSet(**_of_hold(hold), who=hold.by, why=hold.why, until=hold.until)


def hold_ended(hold: Hold, why: str, who: str = COORDINATOR) -> HoldEnded:
    """Describe the end of a hold."""
    return HoldEnded(**_of_hold(hold), who=who, why=why)


def allowance_given(allowance: Allowance) -> AllowanceGiven:
    """Describe a new allowance."""
    return AllowanceGiven(**_of_allowance(allowance), who=allowance.by, why=allowance.why, until=allowance.until)


def allowance_ended(allowance: Allowance, why: str, who: str = COORDINATOR) -> AllowanceEnded:
    """Describe the end of an unneeded allowance."""
    return AllowanceEnded(**_of_allowance(allowance), who=who, why=why)


def approval_given(approval: Approval) -> ApprovalGiven:
    """Describe a new approval."""
    return ApprovalGiven(
        subject=approval.subject, who=approval.by, scope=approval.scope, kind=approval.kind, why=approval.why
    )


def approval_withdrawn(approval: Approval, why: str, who: str) -> ApprovalWithdrawn:
    """Describe the end of an approval."""
    return ApprovalWithdrawn(subject=approval.subject, who=who, scope=approval.scope, kind=approval.kind, why=why)


def _of_hold(hold: Hold) -> dict[str, Any]:
    node = ids.node_of_scope(hold.scope)
    # so that `agbot history GROUP` finds it; a hold of more has no group of its own
    group = GroupId(hold.scope) if "/" in hold.scope and node is None else None
    return {"group": group, "node": node, "scope": hold.scope}


def _of_allowance(allowance: Allowance) -> dict[str, Any]:
    return {"node": allowance.node, "subject": allowance.subject or None}
