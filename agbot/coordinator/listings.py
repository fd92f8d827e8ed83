"""What operators are shown of many groups at once: a page of them, a rollout, what was ordered.

The values are plain and come from memory. `agbot.coordinator.contract` has those of one group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId, org_of
from agbot.rules.lease import Kind
from agbot.rules.records import Allowance, Approval, Brake, Hold
from agbot.rules.statuses import Phase


class GroupState(StrEnum):
    """What groups can be filtered by."""

    BUSY = "busy"
    """Anything of the others, a hold of the group or of a member, or a row of the agbot that
    stays."""
    HELD = "held"
    SUSPECT = "suspect"
    WAITING = "waiting"
    BRAKED = "braked"
    DEFERRED = "deferred"
    QUIET = "quiet"
    """Not busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupQuery:
    """Which groups, in the order of their ids."""

    find: str = ""
    """A part of the id `org/name`; upper and lower case do not differ."""
    state: GroupState | None = None
    org: str | None = None
    offset: int = 0
    after: str = ""
    """Only groups after this id: for the next page, whatever has come or gone since the last."""
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPage:
    """The ids of one page, and how many groups match in all."""

    total: int
    groups: Sequence[GroupId]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberProgress:
    """How far a member is with one upgrade, as far as it was read."""

    node: NodeId
    is_gated: bool
    """Whether it asks for the lease: cluster nodes do not."""
    status: str = ""
    phase: Phase | None = None
    """None: no status of it for this policy is known."""
    agent_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingMember:
    """Why a member waits for this upgrade: its first reason."""

    node: NodeId
    since: datetime
    code: str
    text: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupProgress:
    """How far one group is with one upgrade."""

    group: GroupId
    members: Sequence[MemberProgress]
    holder: NodeId | None = None
    """The member that holds the lease for this upgrade."""
    is_suspect: bool = False
    token: int = 0
    """Of that lease; 0 if no member holds it for this upgrade."""
    waiting: Sequence[WaitingMember] = ()
    brake: Brake | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One upgrade that is under way, waited for or stopped somewhere."""

    kind: Kind
    policy: PolicyId
    running: int = 0
    waiting: int = 0
    stopped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowView:
    """Maintenance windows that apply to the same groups."""

    windows: Sequence[str]
    """As in the settings."""
    groups: int
    example: GroupId
    is_open: bool
    changes_at: datetime | None
    """When they open or close next, if that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitedApproval:
    """An upgrade for which members wait until an operator approves it."""

    kind: Kind
    subject: PolicyId
    groups: int
    example: GroupId

    @property
    def scope(self) -> GroupId | OrgId:
        """The scope of an approval for all of them."""
        # an organisation is the widest scope that is surely right: others may have another policy
        return self.example if self.groups == 1 else org_of(self.example)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What operators have ordered or are waited for to order, and the windows of the settings."""

    holds: Sequence[Hold]
    allowances: Sequence[Allowance]
    approvals: Sequence[Approval]
    brakes: Sequence[Brake]
    windows: Sequence[WindowView]
    awaited: Sequence[AwaitedApproval] = ()
    """Approvals that members wait for."""
    lack: str = ""
    """That it is from memory, and why: the store cannot be used. Else empty."""


class Noun(StrEnum):
    """What a name is the name of."""

    GROUP = "group"
    NODE = "node"
    POLICY = "policy"
    SCOPE = "scope"
    """`*`, an organisation, `org/group`, or `node:org/name`."""
