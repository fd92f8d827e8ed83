"""What operators are shown of a group, of a node, and of the coordinator as a whole.

The values are plain and can be written as JSON. `listings` has those of many groups at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.reasons import Reason
from agbot.rules.records import Hold
from agbot.rules.verdict import Outlook


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseView:
    """A lease as it is shown to operators."""

    group: GroupId
    state: str
    token: int
    holder: NodeId | None = None
    kind: str | None = None
    subject: PolicyId | None = None
    """None also if it is known that a service of the holder is down, but not for which policy."""
    what: str | None = None
    """What is upgraded, in words: the subject, or `a service of org/node`."""
    granted_at: datetime | None = None
    """When its tenure began, also of an unasked upgrade."""
    is_unasked: bool = False
    """It was not granted: its upgrade began without a question, and was seen."""
    renewed_at: datetime | None = None
    expires_at: datetime | None = None
    status: str = ""
    """The last status that the holder has reported since the grant."""
    note: str = ""
    """What is unusual about it, if anything: why it is suspect, or which status is unknown."""
    next: Outlook | None = None
    """What becomes of it if nothing new is seen of its holder; None of a free lease."""
    last_holder: NodeId | None = None
    last_subject: PolicyId | None = None
    last_kind: str | None = None
    last_cause: str | None = None
    last_end_at: datetime | None = None
    last_detail: str = ""
    last_rest_ended: bool = False
    """An operator has ended the rest that followed."""
    rests_until: datetime | None = None
    """When the time of the rest that follows is over; None if it is, or none follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitView:
    """One waiter with all its reasons."""

    node: NodeId
    kind: str
    subject: PolicyId
    since: datetime
    asked_at: datetime | None
    """When it last asked. None if it has not asked since this coordinator read the store."""
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    """One member of a group."""

    node: NodeId
    node_type: str
    available: bool | None
    """None: not known, as its heartbeat was not read lately, because its group is idle."""
    why_unavailable: str = ""
    """Why it is not available; of one of which that is not known, why it was not at `read_at`."""
    read_at: datetime | None = None
    """When the node, with its heartbeat, was last read from the Exchange."""
    was_alive: bool = False
    """Whether it was registered and its heartbeat fresh at that time."""
    heartbeat_at: datetime | None = None
    agent_version: str = ""
    statuses: Mapping[str, str] = field(default_factory=dict)
    """Policy -> status, where known."""
    deferred_for: str | None = None
    """The upgrade that it joined in the middle of: a policy, or a service upgrade in words."""
    holds_lease: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BrakeView:
    """An upgrade that is stopped in a group."""

    subject: PolicyId
    since: datetime
    cause: str
    node: NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckView:
    """A row of the real agbot that remains although its upgrade is over: it begins no other."""

    node: NodeId
    kind: str
    subject: PolicyId
    defect: str
    """The defect of the agbot that leaves such rows behind; empty if none is known."""
    why: str
    """What shows that the upgrade is over."""
    cure: str
    """The command that deletes the rows of that group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """A group with everything that is relevant to it."""

    id: GroupId
    members: Sequence[MemberView]
    lease: LeaseView
    waiting: Sequence[WaitView] = ()
    brakes: Sequence[BrakeView] = ()
    holds: Sequence[Hold] = ()
    """Those of the fleet, of its organisation, of the group and of its members."""
    required: int = 0
    """How many of the other members must be available while one upgrades its agent."""
    required_by: str = ""
    """The setting that this number comes from."""
    stuck: Sequence[StuckView] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleView:
    """The result of one rule for a question."""

    rule: str
    passes: bool
    code: str = ""
    text: str = ""
    until: datetime | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    """The facts that it used: JSON values and times."""
    age_seconds: float | None = None
    """How long ago the oldest of these facts was read from the Exchange; None if none was read.

    What the change feed announces (policies, members, statuses) has not changed since.
    """
    at_latest: bool = False
    """The reason can pass before `until`, by what a node reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a node waits, or what it does."""

    node: NodeId
    group: GroupId | None
    answer: str
    """One sentence that answers the question."""
    subject: PolicyId | None = None
    kind: str | None = None
    since: datetime | None = None
    rules: Sequence[RuleView] = ()
    """Every rule in order; empty when the node asks for nothing."""
    lease: LeaseView | None = None
    unblock: str = ""
    """What would allow its upgrade."""
    earliest: datetime | None = None
    """The earliest time at which that can happen without an operator, if it is known."""
    at_latest: bool = False
    """It can also happen before that time, which is then the latest one for its reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgView:
    """How well one organisation can be read."""

    org: str
    groups: int
    members: int
    read_at: datetime | None
    failing: str = ""
    """The error of the last read of it, while it fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedView:
    """Members on which the agent upgrade of one policy has failed, and is not taken up again."""

    subject: PolicyId
    members: int
    named: Sequence[NodeId]
    """The first of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The summary of the coordinator."""

    sentence: str
    """What the last cycle has done."""
    cycle_at: datetime | None
    ready: bool
    not_ready: Sequence[str]
    """Why it is not ready, each a sentence."""
    view_age_seconds: float | None
    """Age of the picture of the Exchange; None before the first read."""
    view_ok: bool
    """Whether the picture of the Exchange is recent enough to be trusted."""
    store_ok: bool
    store_failing: str = ""
    """Why the lease store cannot be used, while it cannot: everything shown is from memory then."""
    orgs: Sequence[OrgView]
    held: int
    suspect: int
    waiting: int
    deferred: int
    overlaps: int
    """How many of those are unasked service upgrades that began during another upgrade."""
    brakes: int
    holds: int
    never_asked: int = 0
    """Members that never asked here: their agents ask another agbot, or had no upgrade yet."""
    asked_since: datetime | None = None
    """When the lease store replaced another one: who asked before that is not known."""
    never_asked_named: Sequence[NodeId] = ()
    """The first of them."""
    bypassing: int = 0
    """Members that have upgraded their agent without a question, and have not asked since."""
    bypassing_named: Sequence[NodeId] = ()
    """The first of them."""
    failed: int = 0
    """Members whose last agent upgrade has failed, which no brake stops and which do not ask."""
    failed_named: Sequence[NodeId] = ()
    """The first of them."""
    failed_by_policy: Sequence[FailedView] = ()
    unmatched_scopes: Sequence[str] = ()
    """The scopes of the settings that match no organisation or group, a sentence each."""
    settings_refused: Sequence[str] = ()
    """The mistakes for which the last reload was refused; empty if it was not."""
    agbot: str = "none"
    """How well the unasked upgrades of the agbot are known.

    `none` (no local API is configured), `unread`, `listed`, `not-running` or `unreadable`.
    """
    agbot_failing: str = ""
    """The error of its local API, while it fails."""
    guard: str = "none"
    """Whether the guard works: `none` (it is not enabled), `unread` (not known yet), `works` or
    `fails`."""
    guard_failing: str = ""
    """Why it does not work, while it fails."""
    stuck: int = 0
    """How many of its rows remain although their upgrade is over."""
    stuck_in: Sequence[GroupId] = ()
    """The first groups with such a row."""
    mode: str = "gateway"
    """`gateway`, or `shadow`: it decides as it would, and grants nothing."""
    compared: int = 0
    """In shadow mode: how many decisions of the agbot were compared since the start."""
    differs: int = 0
    """How many of them the coordinator would have made differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An operator's action has been carried out."""

    text: str
    lease: LeaseView | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDone:
    """An operator's action has changed nothing; `text` states why and what to do."""

    text: str
    not_found: bool = False
