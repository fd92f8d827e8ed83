"""The facts that rules decide on: values only, taken from one moment's picture and one moment's store.

All datetimes are on the coordinator's wall clock (the rim has corrected the Exchange's); what an age is counted from is a `SeenTime`,
which goes on only while we can see. What has not been read is `Sight.UNREAD`, what was
read and is not there is `Sight.ABSENT`: the difference between "unknown" and "gone" is the difference between keeping and releasing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType

from agbot.rules import reasons
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.seen_time import SeenTime
from agbot.rules.statuses import Status
from agbot.rules.versions import Versions

_NO_STATUSES: Mapping[PolicyId, Status] = MappingProxyType({})
_NO_PROPERTIES: Mapping[str, str] = MappingProxyType({})


class Sight(Enum):
    """Why a fact is missing."""

    UNREAD = "unread"
    ABSENT = "absent"


class NodeType(Enum):
    """The Exchange's `nodeType`; empty counts as device there."""

    DEVICE = "device"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What the Exchange says of a node (`GET orgs/{org}/nodes/{id}`)."""

    id: NodeId
    group: GroupId | None = None
    node_type: NodeType = NodeType.DEVICE
    heartbeat_at: datetime | None = None
    is_dated: bool = True
    heartbeat_earliest: datetime | None = None
    """Unless `is_dated`, `heartbeat_at` is when its last heartbeat was sent at the latest, and this at the earliest; None: any time."""
    heartbeat_stamp: str = field(default="", compare=False)
    heartbeat_interval_seconds: float = 0.0
    """The node's own longest interval between heartbeats (`heartbeatIntervals.maxInterval`); 0 when it has none."""
    agent_version: str = ""
    arch: str = ""
    pattern: str = ""
    """The pattern, `org/name`, that its services come from; empty where deployment policies bring them."""
    unseen_until: datetime | None = None
    """Until then it could not be looked at although somebody tried, or was shown as it had been: its silence goes on from there."""
    silent_before: timedelta = timedelta()
    """For how long it had been silent already when it could last be looked at before that."""
    registered: bool = False
    """The agent has published its key (`publicKey`); `hzn unregister` empties it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A node management policy or deployment policy as far as rules need it."""

    id: PolicyId
    enabled: bool = True
    revision: str = ""
    """`lastUpdated` as the Exchange wrote it: a new revision lifts a brake."""
    revised_at: datetime | None = None
    """The same moment on the coordinator's clock; at the latest, where that is not known."""
    service: str = ""
    """Deployment policies: `org/url` of the service."""
    arch: str = ""
    """Deployment policies: the architecture of the nodes they are for; empty or `*`: any."""
    pattern: str = ""
    """The pattern, `org/name`, of which this is one service; empty for a policy that stands for itself."""
    top_version: str = ""
    versions: tuple[str, ...] = ()
    """Deployment policies: all versions, the one of highest priority, `top_version`, first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One agreement of a node, with what its containers report."""

    id: str
    service: str
    """`org/url`."""
    finalized: bool = False
    version: str = ""
    """The version that runs under it, from the node's status; empty when not reported."""
    containers: tuple[str, ...] = ()
    """The state of each container, from the node's status."""
    stamp: str = field(default="", compare=False)
    updated_at: datetime | None = None
    """When the node last wrote it, which it does while it is being made; None where that is not known."""

    @property
    def runs(self) -> bool:
        """Whether containers are reported and every one of them runs."""
        return bool(self.containers) and all(state.lower() == "running" for state in self.containers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of the group as the rules see it."""

    node: Node
    statuses: Mapping[PolicyId, Status] = field(default_factory=lambda: _NO_STATUSES)
    agreements: tuple[Agreement, ...] | Sight = Sight.UNREAD
    agreements_read_at: SeenTime | None = None
    joined_at: datetime | None = None
    """When it was seen to join its group, if that was lately."""
    service_lost_at: datetime | None = None
    """When an agreement of it ended, if it joined at that time and its agreements have been read since."""
    agreement_ended_at: datetime | None = None
    """When an agreement of it last ended, as far as the feed has shown it lately."""
    properties: Mapping[str, str] = field(default_factory=lambda: _NO_PROPERTIES)
    """The properties of its node policy, where somebody goes by one."""
    unreadable: str = ""
    """What of it is there in the Exchange and cannot be read: it is a member, and nobody knows how it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An upgrade that the real agbot has begun by itself, as its local API lists it."""

    kind: Kind
    group: GroupId
    node: NodeId
    subject: PolicyId
    """`org/name`; of a policy that a pattern made the name alone, without the pattern's organisation (W18)."""

    @property
    def what(self) -> str:
        """The upgrade, for people."""
        return f"the {self.kind} upgrade {self.subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question: may this node upgrade now?"""

    group: GroupId
    claim: Claim
    agreement_bound: bool = False
    """A service upgrade of a node that has a current agreement for it."""
    by: str = field(default="", compare=False)
    """Who asks on the node's behalf, `org/name`; empty for the node itself. Another one's is the same question."""

    @property
    def node(self) -> NodeId:
        """The node that wants to upgrade."""
        return self.claim.holder

    @property
    def subject(self) -> tuple[Kind, PolicyId]:
        """What is upgraded: a node management policy and a deployment policy may have the same name."""
        return self.claim.kind, self.claim.subject

    @property
    def is_agent(self) -> bool:
        """Whether the agent itself is to be upgraded."""
        return self.claim.kind is Kind.AGENT

    @property
    def is_bound_service(self) -> bool:
        """Whether this is the upgrade of a service that runs under a current agreement: no offline peer may block it (P6)."""
        return self.claim.kind is Kind.SERVICE and self.agreement_bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferral:
    """A member whose membership is not enforced until the upgrade it came with, or that nobody could stop, has ended."""

    group: GroupId
    node: NodeId
    subject: PolicyId
    """The node management policy; for a service empty, as nobody tells whose agreement has ended, but for an overlap."""
    since: datetime
    """When it was first seen; of a service, when its agreement ended."""
    status: str = ""
    kind: Kind = Kind.AGENT
    service: str = ""
    """The service of an overlap, `org/url`; otherwise empty."""
    overlaps: bool = False
    """It was begun unasked while another member upgraded."""
    cut_off: str = ""
    """Of an agent upgrade that can be reported no more: the agent version before it, or `unknown` (`deferral.left_behind`)."""

    @property
    def is_overlap(self) -> bool:
        """Whether it was begun unasked while another member upgraded. Former records say so by their policy alone."""
        return self.overlaps or (self.kind is Kind.SERVICE and bool(self.subject))

    @property
    def what(self) -> str:
        """The upgrade, for people."""
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
    """What has failed under this policy, the latest first; empty where nobody reported what it brought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """A person's word that one upgrade of one node may go past health, window, brake, pace and turn, once."""

    node: NodeId
    subject: PolicyId
    """The policy that is meant; empty for whichever comes next."""
    since: datetime
    until: datetime
    by: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person's word that a release may begin. `scope` is `*`, an organisation or an `org/group`."""

    scope: str
    kind: Kind
    subject: PolicyId
    since: datetime
    by: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """How many other groups have a lease at this moment."""

    busy_in_org: int = 0
    busy_in_fleet: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How far a release is in an organisation."""

    started: frozenset[GroupId] = frozenset()
    """Groups of which a member has held the lease for it."""
    unfinished: Mapping[GroupId, str] = field(default_factory=dict)
    """Those of them that have not finished, each with the reason."""
    unproven: frozenset[GroupId] = frozenset()
    """Those of them that do nothing for it any more, and of which the last end was no success."""

    @property
    def places(self) -> frozenset[GroupId]:
        """The groups that go first, or have gone: an end that proves nothing gives its group's place to another."""
        return self.started - self.unproven


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A person's stop. `scope` is `*` (everything), an organisation, an `org/group`, or `node:org/name` for a single node."""

    scope: str
    since: datetime
    by: str
    why: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """Somebody who asked and was told to wait."""

    ask: Ask
    since: SeenTime
    asked_at: SeenTime
    reasons: tuple[reasons.Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Whether a node asks here before it upgrades its agent."""

    node: NodeId
    asked_at: datetime | None = None
    """When it last asked, to about a day; None: never."""
    bypassed_at: datetime | None = None
    """When it was seen to upgrade its agent without asking, if it has not asked since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """When a member last held the lease, and whether its claim was ever confirmed."""

    group: GroupId
    node: NodeId
    until: SeenTime
    cause: reasons.Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One HA group at one moment."""

    id: GroupId
    members: Mapping[NodeId, Member]
    lease: Lease
    limits: Limits
    deferrals: Mapping[NodeId, Deferral] = field(default_factory=dict)
    brakes: tuple[Brake, ...] = ()
    pauses: tuple[Pause, ...] = ()
    waiters: tuple[Waiter, ...] = ()
    served: Mapping[NodeId, Served] = field(default_factory=dict)
    policies: Mapping[tuple[Kind, PolicyId], Policy | Sight] = field(default_factory=dict)
    """The policies that somebody asks for or holds the lease for."""
    org_brakes: tuple[Brake, ...] = ()
    """The brakes of the whole organisation, this group's included."""
    org_groups: int = 0
    """How many groups the organisation has."""
    traffic: Traffic = Traffic()
    rollouts: Mapping[tuple[Kind, PolicyId], Rollout] = field(default_factory=dict)
    """How far the releases are that somebody here asks for; only where a limit looks at it."""
    allowances: Mapping[NodeId, Allowance] = field(default_factory=dict)
    approvals: tuple[Approval, ...] = ()
    token_floor: int = 0
    """A lease under this token or a lower one is from a store that was replaced since: it may have ended there."""
    rows: tuple[Row, ...] = ()
    """Upgrades that the agbot has begun here by itself, as far as they have to be waited for."""
    agbot_doubt: reasons.Reason | None = None
    """Why it is not known what the agbot has begun by itself, if it is not."""
    doubts: tuple[reasons.Reason, ...] = ()
    """Why the store or the view of the Exchange cannot be trusted at this moment."""
