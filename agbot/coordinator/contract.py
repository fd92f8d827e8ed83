"""What the listeners need of the coordinator, and what they get.

The gateway asks, the console shows and acts; neither decides anything. Values here are plain and can be written as JSON as they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from agbot.rules.facts import Allowance, Approval, Ask, Node, Pause
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId
from agbot.rules.reasons import Cause, Reason
from agbot.store.contract import Entry, JournalQuery

Confirm = Callable[[], Awaitable[Node]]
"""Reads the node anew from the Exchange with the asker's own credentials. Raises an `agbot.exchange.errors.ExchangeError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """Yes. `token` is None for a node that is exempt and holds no lease."""

    token: int | None
    exempt: Reason | None = None
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Not yet, or never; `is_final` when asking again cannot help before something changes (not a member, no such policy)."""

    reasons: tuple[Reason, ...]
    is_final: bool = False


Answer = Granted | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The end of a service upgrade was taken down; `released` is False when the node held no such lease (nothing was freed)."""

    released: bool
    token: int | None = None
    refused: str = ""
    """Why it was not taken down although the node holds that lease: somebody else was granted it, or it is another grant."""


class Permission(Protocol):
    """What the gateway needs."""

    def refuse_from_memory(self, ask: Ask) -> Refused | None:
        """Refuse without waiting for anything; None when it may be yes, or when a look at the Exchange could change it.

        Only for somebody whose credentials the Exchange has accepted lately. Nearly all that agents hear is answered here.
        """

    async def ask(self, ask: Ask, confirm: Confirm) -> Answer:
        """Answer a question, after a `confirm`.

        Raises:
            ExchangeError: `confirm` failed; nothing was granted.
        """

    async def report_end(self, ask: Ask, *, succeeded: bool, who: str, token: int | None = None) -> Ended:
        """Take down that a service upgrade has ended. Frees only that node's own lease for that policy.

        Only from the identity that was granted, or with the token of that grant.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseView:
    """A lease as operators see it."""

    group: GroupId
    state: str
    token: int
    holder: NodeId | None = None
    kind: str | None = None
    subject: PolicyId | None = None
    """None also where only a service of the holder is known to be down, and not for which policy."""
    what: str | None = None
    """What is upgraded, for people: the subject, or `a service of org/node`."""
    granted_at: datetime | None = None
    renewed_at: datetime | None = None
    expires_at: datetime | None = None
    status: str = ""
    """The last status the holder reported since the grant."""
    note: str = ""
    """What is odd about it, if anything: why it is suspect, which status is not known."""
    last_holder: NodeId | None = None
    last_subject: PolicyId | None = None
    last_cause: str | None = None
    last_end_at: datetime | None = None
    last_detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitView:
    """One waiter with all its reasons."""

    node: NodeId
    kind: str
    subject: PolicyId
    since: datetime
    asked_at: datetime
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    """One member of a group."""

    node: NodeId
    node_type: str
    available: bool | None
    """None: its heartbeat was not looked at lately, because nothing goes on in its group."""
    why_unavailable: str = ""
    heartbeat_at: datetime | None = None
    agent_version: str = ""
    statuses: Mapping[str, str] = field(default_factory=dict)
    """Policy -> status, where known."""
    deferred_for: str | None = None
    """The upgrade that it came with: a node management policy, or that of its service in words."""
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
    """A row of the real agbot that stays although its upgrade is over: the agbot begins no other one there."""

    node: NodeId
    kind: str
    subject: PolicyId
    defect: str
    """The agbot's weakness that leaves such rows behind; empty where none is known."""
    why: str
    """What shows that the upgrade is over."""
    cure: str
    """The command that deletes the rows of that group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """A group with everything that bears on it."""

    id: GroupId
    members: Sequence[MemberView]
    lease: LeaseView
    waiting: Sequence[WaitView] = ()
    brakes: Sequence[BrakeView] = ()
    pauses: Sequence[Pause] = ()
    """Those of everything, of its organisation, of itself and of its members."""
    required: int = 0
    """How many of the others must be available while one of them upgrades its agent."""
    required_by: str = ""
    """The setting that this number comes from."""
    stuck: Sequence[StuckView] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleView:
    """One rule's word on a question."""

    rule: str
    passes: bool
    code: str = ""
    text: str = ""
    until: datetime | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    """What it looked at: JSON values and times."""
    age_seconds: float | None = None
    """How long ago the oldest of that was read from the Exchange; None where nothing was read. What the change feed announces (policies,
    members, statuses) has not changed since."""


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
    """What would let it go."""
    earliest: datetime | None = None
    """The earliest time that can happen by itself, where one is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgView:
    """How well one organisation is seen."""

    org: str
    groups: int
    members: int
    read_at: datetime | None
    failing: str = ""
    """What the last read of it said, while it fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The coordinator at one glance."""

    sentence: str
    """What the last cycle did."""
    cycle_at: datetime | None
    ready: bool
    not_ready: Sequence[str]
    """Why it is not ready, each a sentence."""
    view_age_seconds: float | None
    """Age of the picture of the Exchange; None before the first."""
    view_ok: bool
    """Whether the picture of the Exchange is young enough to be trusted."""
    store_ok: bool
    orgs: Sequence[OrgView]
    held: int
    suspect: int
    waiting: int
    deferred: int
    overlaps: int
    """How many of those are service upgrades that nobody could stop while another one was under way."""
    brakes: int
    pauses: int
    never_asked: int = 0
    """Members that have never asked here: their agents may ask somebody else, or had nothing to upgrade yet."""
    never_asked_named: Sequence[NodeId] = ()
    """The first of them."""
    bypassing: int = 0
    """Members that were seen to upgrade their agent without asking, and have not asked since."""
    bypassing_named: Sequence[NodeId] = ()
    """The first of them."""
    agbot: str = "none"
    """How well the upgrades that the agbot begins by itself are known: `none` (no local API is configured), `unread`, `listed`,
    `nobody-there` or `unreadable`."""
    agbot_failing: str = ""
    """What its local API said, while it fails."""
    stuck: int = 0
    """How many of its rows stay although their upgrade is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A person's action was carried out."""

    text: str
    lease: LeaseView | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDone:
    """A person's action changed nothing; `text` says why and what to do."""

    text: str
    not_found: bool = False


class Operations(Protocol):
    """What the console and the CLI need. Everything that shows is answered from memory, without any I/O."""

    def overview(self) -> Overview:
        """Summarise."""

    def groups(self) -> Sequence[GroupView]:
        """List every known group, by id."""

    def group(self, group: GroupId) -> GroupView | None:
        """Show one group."""

    def why_excluded(self, org: OrgId) -> str:
        """Say why this organisation is not looked after; empty for one that is."""

    def explain(self, node: NodeId) -> Explanation | None:
        """Answer "why is this node waiting?"; None for a node nobody knows."""

    async def release(self, group: GroupId, *, token: int | None, reason: str, who: str) -> Done | NotDone:
        """Free a lease by force, cause `forced`. With a token only that grant is freed."""

    async def hold(self, pause: Pause) -> Done | NotDone:
        """Stop new grants for a scope."""

    async def resume(self, scope: str, *, subject: PolicyId | None, reason: str, who: str) -> Done | NotDone:
        """End the pause of this scope, or, with a subject, lift the brakes on it in this group, organisation or everywhere."""

    async def allow(self, allowance: Allowance) -> Done | NotDone:
        """Let one upgrade of a node past what `agbot.rules.consent.ALLOWABLE` names, once; never past a lease."""

    async def approve(self, approval: Approval) -> Done | NotDone:
        """Let a release begin where a person's word is asked for."""

    async def journal(self, query: JournalQuery) -> Sequence[Entry]:
        """Read the journal."""


CAUSES_BY_KIND: Mapping[bool, Cause] = {True: Cause.SUCCEEDED, False: Cause.FAILED}
"""What a reported end means."""
