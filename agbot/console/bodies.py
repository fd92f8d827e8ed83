"""The bodies of operators' requests."""

from __future__ import annotations

from datetime import datetime

import msgspec

from agbot.rules.lease import Kind


class ReleaseBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/leases/{org}/{group}/release`."""

    reason: str
    token: int | None = None
    by: str = "operator"


class HoldBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/holds`."""

    scope: str
    reason: str
    until: datetime | None = None
    by: str = "operator"


class ResumeBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/resume`."""

    scope: str
    reason: str
    subject: str | None = None
    rest: bool = False
    """End the rests in the scope, not its hold."""
    by: str = "operator"


class AllowBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/allowances`."""

    node: str
    reason: str
    until: datetime
    subject: str | None = None
    by: str = "operator"


class ApproveBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/approvals`."""

    scope: str
    subject: str
    reason: str
    kind: Kind = Kind.AGENT
    by: str = "operator"


class WithdrawAllowanceBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/allowances/withdraw`."""

    node: str
    reason: str
    by: str = "operator"


class WithdrawApprovalBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/approvals/withdraw`."""

    scope: str
    subject: str
    reason: str
    kind: Kind = Kind.AGENT
    by: str = "operator"


class LeadBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/lead`."""

    reason: str
    to: str | None = None
    """The coordinator that is to lead; any other if it is missing."""
    by: str = "operator"


class TestBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/receivers/test`."""

    by: str = "operator"
