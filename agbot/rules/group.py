"""One HA group at one moment: the facts that the rules decide on, and when they were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from agbot.rules import reasons
from agbot.rules.facts import Member, Policy, Row, Sight
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.records import Allowance, Approval, Brake, Busy, Deferral, Hold, Turn, Waiter
from agbot.rules.seen_time import SeenTime

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_NOTHING: Mapping[Any, Any] = {}


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """How many other groups have a lease at this moment."""

    busy_in_org: int = 0
    busy_in_fleet: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How far a release is in an organisation."""

    started: frozenset[GroupId] = frozenset()
    """Groups in which a member has held the lease for it."""
    unfinished: Mapping[GroupId, str] = field(default_factory=dict)
    """Those of them that have not finished, each with the reason."""
    unproven: frozenset[GroupId] = frozenset()
    """Those of them that no longer upgrade for it and whose last end was no success."""

    @property
    def places(self) -> frozenset[GroupId]:
        """The groups that go first, or went first, without those whose end proves nothing."""
        return self.started - self.unproven


class ReadTimes(msgspec.Struct, frozen=True, kw_only=True):
    """When the facts of a group that are not a member's own were last read. None: never."""

    feed: SeenTime | None = None
    """When the change feed of the Exchange was read to its end."""
    asker: SeenTime | None = None
    """The node that asks, whether or not it is a member."""
    policy: SeenTime | None = None
    """The requested policy."""
    rows: SeenTime | None = None
    """The agbot's list of its own upgrades."""


NEVER_READ = ReadTimes()


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """One HA group at one moment."""

    id: GroupId
    members: Mapping[NodeId, Member]
    lease: Lease
    limits: Limits
    deferrals: Mapping[NodeId, Deferral] = msgspec.field(default_factory=dict)
    brakes: tuple[Brake, ...] = ()
    holds: tuple[Hold, ...] = ()
    waiters: tuple[Waiter, ...] = ()
    turns: Mapping[NodeId, Turn] = msgspec.field(default_factory=dict)
    policies: Mapping[tuple[Kind, PolicyId], Policy | Sight] = msgspec.field(default_factory=dict)
    """The policies that a waiter, the asker or the holder of the lease names."""
    org_brakes: tuple[Brake, ...] = ()
    """The brakes of the whole organisation, this group's included."""
    org_groups: int = 0
    """How many groups the organisation has."""
    traffic: Traffic = Traffic()
    rollouts: Mapping[tuple[Kind, PolicyId], Rollout] = msgspec.field(default_factory=dict)
    """How far the requested releases are; only if a limit depends on it."""
    allowances: Mapping[NodeId, Allowance] = msgspec.field(default_factory=dict)
    approvals: tuple[Approval, ...] = ()
    busy: Mapping[NodeId, Busy] = msgspec.field(default_factory=dict)
    token_floor: int = 0
    """A lease with this token or a lower one comes from a store that was replaced since: it may
    have ended there."""
    rows: tuple[Row, ...] = ()
    """Upgrades that the agbot has begun by itself in this group and that have to be waited for."""
    agbot_doubt: reasons.Reason | None = None
    """Why it is not known what the agbot has begun by itself; None if it is known."""
    doubts: tuple[reasons.Reason, ...] = ()
    """Why the store or the picture of the Exchange cannot be trusted at this moment."""
    reads: ReadTimes = NEVER_READ

    def lasting(self) -> Group:
        """Return it with copies of the mappings that may be changed in place."""
        return msgspec.structs.replace(
            self,
            deferrals=_copy(self.deferrals),
            turns=_copy(self.turns),
            allowances=_copy(self.allowances),
        )


def _copy(mapping: Mapping[_Key, _Value]) -> Mapping[_Key, _Value]:
    """Return a copy. Most are empty, and thousands may be kept for a while."""
    return dict(mapping) if mapping else _NOTHING
