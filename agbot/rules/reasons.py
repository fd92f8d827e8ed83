"""The closed vocabulary: why a node waits, and why a lease ended.

The same codes stand in logs, the API, metrics and the CLI. A code is never renamed and never reused. `docs/reasons.md` explains each
one, and a test holds that table against this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Code(StrEnum):
    """Why a question was not answered with yes, or was answered with yes without a lease."""

    NOT_A_MEMBER = "not-a-member"
    """The node is not in the HA group it asks for."""
    ORG_EXCLUDED = "org-excluded"
    """The node's organisation is not among those that the coordinator looks after."""
    CLUSTER_NODE = "cluster-node"
    """Only device nodes are gated: granted without a lease."""
    DEFERRED = "deferred"
    """The node joined while its own upgrade was under way; its membership is enforced after that upgrade."""
    UNKNOWN_POLICY = "unknown-policy"
    """The policy does not exist in the Exchange."""
    POLICY_DISABLED = "policy-disabled"
    """The node management policy exists but is disabled."""
    LEASE_HELD = "lease-held"
    """Another upgrade holds the group's lease."""
    OVERLAP = "overlap"
    """An upgrade that was begun unasked, and does not hold the lease, has not ended."""
    AGBOT_UNAVAILABLE = "agbot-unavailable"
    """The agbot's local API cannot be read, so it may be upgrading another member; only agent upgrades wait for that."""
    LEASE_SUSPECT = "lease-suspect"
    """The lease expired without evidence how the upgrade ended."""
    SOAKING = "soaking"
    """The group rests after the last upgrade, or the upgraded member has not been seen healthy yet."""
    BRAKE = "brake"
    """The same upgrade failed in this group; it is stopped until a person resumes it or the node brings something else."""
    ORG_BRAKE = "org-brake"
    """The same upgrade failed in too many groups of the organisation; it begins in none of the others."""
    PAUSED = "paused"
    """A person has paused upgrades here."""
    OUTSIDE_WINDOW = "outside-window"
    """No maintenance window is open."""
    NOT_APPROVED = "not-approved"
    """The first member of a group begins this upgrade only after a person has approved it."""
    CANARY = "canary"
    """Other groups go first with this upgrade and have not finished."""
    PACED = "paced"
    """As many groups as may upgrade at once do so now."""
    PEERS_UNAVAILABLE = "peers-unavailable"
    """With this node down, too few other members would be available."""
    TURN = "turn"
    """Somebody who has waited longer goes first."""
    STORE_UNAVAILABLE = "store-unavailable"
    """The lease store cannot be reached or did not commit in time."""
    STORE_CHANGED = "store-changed"
    """The lease store is not the one that was used last; what that one granted is being looked for."""
    EXCHANGE_UNAVAILABLE = "exchange-unavailable"
    """The Exchange did not answer what the decision rests on in time: the node itself, the latest changes, or the group."""
    VIEW_STALE = "view-stale"
    """The picture of the Exchange is too old or not complete yet; nothing is granted on it."""
    CLOCK_UNTRUSTED = "clock-untrusted"
    """The date has changed and was not compared with the Exchange's since, or the two are hours apart."""
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
    """A service upgrade with a current agreement took the suspect lease of an offline holder over."""


BRAKING = frozenset({Cause.FAILED, Cause.EXPIRED})
"""Causes that stop their subject in the group; `brakes.stops` knows the exception."""

RESTING = frozenset({Cause.SUCCEEDED})
"""Causes after which the group rests."""

NEVER_REMEMBERED = frozenset({Code.NOT_A_MEMBER, Code.ORG_EXCLUDED, Code.UNKNOWN_POLICY, Code.POLICY_DISABLED})
"""Refusals that make nobody a waiter: there is nothing to wait for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason, with the facts it rests on and the earliest time it can go away by itself."""

    code: Code
    text: str
    until: datetime | None = None
    facts: Mapping[str, str | int | float] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return `code: text`, as it stands in answers and logs."""
        return f"{self.code}: {self.text}"
