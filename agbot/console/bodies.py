"""The bodies of operators' requests. `agbot.console.api` has the path of each."""

from __future__ import annotations

from datetime import datetime

import msgspec

from agbot.rules.lease import Kind


class Signed(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What every request has."""

    by: str = "operator"
    """Who orders it. It is not verified: all operators share one token."""


class TestBody(Signed):
    """A test event for all receivers."""


class Order(Signed, kw_only=True):
    """What every order has."""

    reason: str


class ReleaseBody(Order, kw_only=True):
    """Frees the lease of the group in the path."""

    token: int | None = None
    """Only the grant with this token."""


class HoldBody(Order, kw_only=True):
    """Stops new grants in a scope."""

    scope: str
    until: datetime | None = None


class ResumeBody(Order, kw_only=True):
    """Ends the hold of a scope."""

    scope: str
    subject: str | None = None
    """Lift the brakes on this policy in the scope, and end no hold."""
    rest: bool = False
    """End the rests in the scope, and no hold."""


class OfNode(Order, kw_only=True):
    """An order about one node."""

    node: str


class AllowBody(OfNode, kw_only=True):
    """Gives an allowance."""

    until: datetime
    subject: str | None = None
    """None: the next upgrade, whichever it is."""


class WithdrawAllowanceBody(OfNode):
    """Takes an allowance back."""


class OfUpgrade(Order, kw_only=True):
    """An order about one upgrade in a scope."""

    scope: str
    subject: str
    kind: Kind = Kind.AGENT


class ApproveBody(OfUpgrade):
    """Gives an approval."""


class WithdrawApprovalBody(OfUpgrade):
    """Takes an approval back."""


class LeadBody(Order, kw_only=True):
    """Hands the leadership over."""

    to: str | None = None
    """The coordinator that is to lead; any other if it is missing."""
