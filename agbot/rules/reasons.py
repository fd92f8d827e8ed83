"""The closed vocabulary: why a node waits, and why a lease ended.

Logs, the API, metrics and the CLI use the same codes. A code is never renamed and never reused.
`docs/reasons.md` explains each one, and a test holds that table against this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

import msgspec


class Code(StrEnum):
    """Why a question was refused, or granted without a lease."""

    NOT_A_MEMBER = "not-a-member"
    """The node is not in the HA group it asks for."""
    ORG_EXCLUDED = "org-excluded"
    """The node's organisation is not among those that the coordinator looks after."""
    CLUSTER_NODE = "cluster-node"
    """Only device nodes are gated: granted without a lease."""
    DEFERRED = "deferred"
    """The node joined while its own upgrade was under way; its membership is enforced after that
    upgrade."""
    UNKNOWN_POLICY = "unknown-policy"
    """The policy does not exist in the Exchange."""
    POLICY_DISABLED = "policy-disabled"
    """The node management policy exists but is disabled."""
    LEASE_HELD = "lease-held"
    """Another upgrade holds the group's lease."""
    OVERLAP = "overlap"
    """An upgrade that began unasked, and does not hold the lease, has not ended."""
    AGBOT_UNAVAILABLE = "agbot-unavailable"
    """The agbot's local API cannot be read, so it may be upgrading another member; only agent
    upgrades wait for it."""
    LEASE_SUSPECT = "lease-suspect"
    """The lease expired without evidence of how the upgrade ended."""
    SOAKING = "soaking"
    """The group rests after the last upgrade, or the upgraded member has not been seen healthy
    yet."""
    BRAKE = "brake"
    """The same upgrade failed in this group; it is stopped until an operator resumes it or the node
    brings another version."""
    ORG_BRAKE = "org-brake"
    """The same upgrade failed in too many groups of the organisation; it begins in none of the
    others."""
    PAUSED = "paused"
    """An operator has stopped new grants here."""
    OUTSIDE_WINDOW = "outside-window"
    """No maintenance window is open."""
    NODE_BUSY = "node-busy"
    """A workload of the node asks for no agent upgrade now."""
    NOT_APPROVED = "not-approved"
    """The first member of a group begins this upgrade only after an operator has approved it."""
    CANARY = "canary"
    """Other groups go first with this upgrade and have not finished."""
    PACED = "paced"
    """As many groups as may upgrade at once do so now."""
    PEERS_UNAVAILABLE = "peers-unavailable"
    """With this node down, too few other members would be available."""
    TURN = "turn"
    """A member that has waited longer, or comes first in the group's order, goes first."""
    STORE_UNAVAILABLE = "store-unavailable"
    """The lease store cannot be reached or did not commit in time."""
    STORE_CHANGED = "store-changed"
    """The lease store is not the one that was used last; the leases that were granted in that one
    are being looked for."""
    EXCHANGE_UNAVAILABLE = "exchange-unavailable"
    """The Exchange did not deliver in time what the decision needs: the node itself, the latest
    changes, or the group."""
    VIEW_STALE = "view-stale"
    """The picture of the Exchange is out of date or incomplete; nothing is granted on it."""
    CLOCK_UNTRUSTED = "clock-untrusted"
    """The date was changed and has not been compared with the Exchange's since, or the two are
    hours apart."""
    NO_LEADER = "no-leader"
    """Several coordinators share one store, and none of them is known to lead at present."""
    STOPPING = "stopping"
    """The coordinator is shutting down and grants nothing new."""
    BUSY = "busy"
    """Too many questions are open at once."""
    INTERNAL_ERROR = "internal-error"
    """The coordinator failed on this question; the traceback is in its log."""


class Cause(StrEnum):
    """How a lease ended."""

    SUCCEEDED = "succeeded"
    NOTHING_TO_DO = "nothing-to-do"
    FAILED = "failed"
    LEFT_GROUP = "left-group"
    NODE_DELETED = "node-deleted"
    POLICY_DELETED = "policy-deleted"
    UNREGISTERED = "unregistered"
    RESET = "reset"
    UNCONFIRMED = "unconfirmed"
    FORCED = "forced"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    """A service upgrade with a current agreement took the suspect lease of an offline holder
    over."""


BRAKING = frozenset({Cause.FAILED, Cause.EXPIRED})
"""Causes that stop their subject in the group; `brakes.stops` knows the exception."""

COMPLETING = frozenset({Cause.SUCCEEDED, Cause.NOTHING_TO_DO})
"""Causes after which the member is done."""

RESTING = frozenset({Cause.SUCCEEDED})
"""Causes after which the group rests."""

UNBLOCKS: Mapping[Code, str] = MappingProxyType(
    {
        Code.ORG_EXCLUDED: "add the organisation to `[exchange] organisations`, or point the node's agent at the real agbot",
        Code.CLUSTER_NODE: "nothing to do: cluster nodes are not gated",
        Code.STORE_UNAVAILABLE: "repair the lease store; the daemon's log says what failed",
        Code.STORE_CHANGED: "wait until every organisation has been read, or run `agbot resume --store --reason …`",
        Code.EXCHANGE_UNAVAILABLE: "wait until the Exchange answers; the daemon's log says what failed",
        Code.VIEW_STALE: "wait until the Exchange answers; `agbot status` shows what is missing",
        Code.CLOCK_UNTRUSTED: "wait for the next comparison with the Exchange's clock; if the two are far apart, correct the wrong one",
        Code.NO_LEADER: "wait until a coordinator leads, which takes seconds; `agbot status` shows all of them",
        Code.STOPPING: "start the coordinator again",
        Code.BUSY: "ask less often, or at other times than the others",
        Code.INTERNAL_ERROR: "look into the daemon's log and report the traceback: this is a defect of the coordinator",
    }
)
"""What ends the reasons that no rule gives by itself. The others are in the rule that gives them
(`agbot.rules.rulebook`)."""


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One reason, with its facts and the earliest time at which it can pass by itself."""

    code: Code
    text: str
    until: datetime | None = None
    facts: Mapping[str, str | int | float] = msgspec.field(default_factory=dict)

    def __str__(self) -> str:
        """Return `code: text`, the form in answers and logs."""
        return f"{self.code}: {self.text}"
