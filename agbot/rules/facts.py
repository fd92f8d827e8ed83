"""Facts from the Exchange and the agbot, and the asker: values from one moment's picture.

All datetimes are on the coordinator's wall clock (the rim has corrected the Exchange's). An age is
counted from a `SeenTime`, which advances only while the coordinator can see. A fact that has not
been read is `Sight.UNREAD`; one that was read and does not exist is `Sight.ABSENT`. A lease is kept
while a fact is unread, and may be released when it is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType

import msgspec

from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import AGENT, SERVICE, Claim, Kind
from agbot.rules.seen_time import SeenTime
from agbot.rules.statuses import Status

_NO_STATUSES: Mapping[PolicyId, Status] = MappingProxyType({})
_NO_PROPERTIES: Mapping[str, str] = MappingProxyType({})


class Sight(Enum):
    """Why a fact is missing."""

    UNREAD = "unread"
    ABSENT = "absent"


class NodeType(Enum):
    """The Exchange's `nodeType`; there an empty one counts as a device."""

    DEVICE = "device"
    CLUSTER = "cluster"


class Node(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A node as the Exchange has it (`GET orgs/{org}/nodes/{id}`). There are tens of thousands."""

    id: NodeId
    group: GroupId | None = None
    node_type: NodeType = NodeType.DEVICE
    heartbeat_at: datetime | None = None
    is_dated: bool = True
    heartbeat_earliest: datetime | None = None
    """If not `is_dated`, `heartbeat_at` is the latest time at which its last heartbeat may have
    been sent, and this the earliest; None: any time."""
    heartbeat_stamp: str = ""
    """As the Exchange wrote it, until it is dated."""
    heartbeat_interval_seconds: float = 0.0
    """The node's own longest interval between heartbeats (`heartbeatIntervals.maxInterval`); 0
    when it has none."""
    agent_version: str = ""
    arch: str = ""
    pattern: str = ""
    """The pattern, `org/name`, that its services come from; empty if deployment policies bring
    them."""
    unseen_until: datetime | None = None
    """Until then attempts to read it failed, or returned an old state: its silence is counted from
    there."""
    silent_before: timedelta = timedelta()
    """How long it had been silent when it could last be read before that."""
    back_at: datetime | None = None
    """Its first heartbeat after the last longer pause, as far as it was seen: what it had to report
    may come a while after that."""
    registered: bool = False
    """The agent has published its key (`publicKey`); `hzn unregister` empties it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the rules need of a node management policy or a deployment policy."""

    id: PolicyId
    enabled: bool = True
    revision: str = ""
    """`lastUpdated` as the Exchange wrote it: a new revision lifts a brake."""
    revised_at: datetime | None = None
    """The same moment on the coordinator's clock; if that is not known, the latest possible one."""
    service: str = ""
    """Deployment policies: `org/url` of the service."""
    arch: str = ""
    """Deployment policies: the architecture of their nodes; empty or `*`: any."""
    pattern: str = ""
    """The pattern, `org/name`, that this service belongs to; empty for a real policy."""
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
    """When the node last wrote it, which it does while the agreement is being made; None if
    unknown."""

    @property
    def runs(self) -> bool:
        """Whether containers are reported and every one of them runs."""
        return bool(self.containers) and all(state.lower() == "running" for state in self.containers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of the group as the rules see it."""

    node: Node
    read_at: SeenTime | None = field(default=None, compare=False)
    """When the node itself was last read."""
    statuses: Mapping[PolicyId, Status] = field(default_factory=lambda: _NO_STATUSES)
    statuses_read_at: SeenTime | None = field(default=None, compare=False)
    agreements: tuple[Agreement, ...] | Sight = Sight.UNREAD
    agreements_read_at: SeenTime | None = None
    joined_at: datetime | None = None
    """When it was seen to join its group, if that was recent."""
    service_lost_at: datetime | None = None
    """When one of its agreements ended, if it joined at that time and its agreements have been read
    since."""
    agreement_ended_at: datetime | None = None
    """When one of its agreements last ended, as far as the feed has shown it recently."""
    properties: Mapping[str, str] = field(default_factory=lambda: _NO_PROPERTIES)
    """The properties of its node policy, if an order uses one."""
    properties_read_at: SeenTime | None = field(default=None, compare=False)
    unreadable: str = ""
    """What exists of it in the Exchange and cannot be read: it is a member whose state is
    unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An upgrade that the real agbot has begun by itself, as its local API lists it."""

    kind: Kind
    group: GroupId
    node: NodeId
    subject: PolicyId
    """`org/name`; for a policy that a pattern made, the name alone, without the pattern's
    organisation (W18)."""

    @property
    def what(self) -> str:
        """The upgrade, in words."""
        return f"the {self.kind} upgrade {self.subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question: may this node upgrade now?"""

    group: GroupId
    claim: Claim
    agreement_bound: bool = False
    """A service upgrade of a node that has a current agreement for it."""
    by: str = field(default="", compare=False)
    """Who asks on the node's behalf, `org/name`; empty for the node itself. The question is the
    same, whoever asks."""

    @property
    def node(self) -> NodeId:
        """The node that wants to upgrade."""
        return self.claim.holder

    @property
    def subject(self) -> tuple[Kind, PolicyId]:
        """What is upgraded. The kind is part of it: policies of both kinds may share a name."""
        return self.claim.kind, self.claim.subject

    @property
    def is_agent(self) -> bool:
        """Whether the agent itself is to be upgraded."""
        return self.claim.kind is AGENT

    @property
    def is_service(self) -> bool:
        """Whether a service is to be upgraded. Otherwise the whole node goes down."""
        return self.claim.kind is SERVICE

    @property
    def is_bound_service(self) -> bool:
        """Whether it upgrades a service that has an agreement; no offline peer blocks it (P6)."""
        return self.agreement_bound and self.claim.kind is SERVICE
