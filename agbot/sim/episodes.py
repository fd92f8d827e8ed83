"""One member's upgrade as it really happened, and what makes two of them at once wrong or excusable. Pure.

An *episode* begins when a node (or the agbot, for its service) acts on a permission and ends when it is back. An episode counts
against its group unless something in it is excused by what the users' documents or the design say; the excuse is kept, so
that a report can list what was forgiven.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from agbot.sim.links import Kind


class Rule(StrEnum):
    """Which promise was broken."""

    ONE_AT_A_TIME = "one at a time"
    NOBODY_LEFT = "nobody left"
    """An agent upgrade began while every other member had long been silent."""


class Excuse(StrEnum):
    """Why an episode does not count against a group."""

    CLUSTER = "a cluster node is not gated"
    NO_GROUP = "the node was in no group"
    DEFERRED = "the node joined while this upgrade was under way"
    LEFT = "the node left the group"
    POLICY_GONE = "its policy was deleted or disabled"
    DEAD = "the node had been silent for longer than a dead one may be"
    OFFLINE_HOLDER = "an offline node does not hold up a service upgrade"
    UNAWARE = "the node had asked the Exchange for its group moments before it joined one"
    UNSEEN = "it was not asked for, and could not be known yet when the other one began"
    UNASKED = "the other one was not asked for"
    UNCONFIRMED = "no status past the gate had reached the Exchange in time"
    FORGIVEN = "excused by the test"


@dataclass(slots=True, kw_only=True)
class Episode:
    """One upgrade of one node (`org/id`); `group` is `org/group`, empty when it is in none."""

    node: str
    kind: Kind
    subject: str
    group: str
    began_at: datetime
    excuse: Excuse | None = None
    ended_at: datetime | None = None
    how: str = ""
    is_unasked: bool = False
    """The coordinator was not asked: nobody could have prevented it, but from some moment on it can be known."""
    is_listed: bool = False
    """The agbot has let it go, and lists it among the upgrades under way."""
    reported: bool = False
    """A status past the gate was in the Exchange at some time since it began."""
    story: list[str] = field(default_factory=list)

    @property
    def counts(self) -> bool:
        """Say whether it counts against its group now."""
        return self.ended_at is None and self.excuse is None and bool(self.group)

    def tell(self) -> str:
        """Say in one paragraph who, what and when."""
        end = f"ended {self.ended_at:%H:%M:%S} ({self.how})" if self.ended_at else "under way"
        steps = "; ".join(self.story) or "nothing reported"
        return f"{self.node} {self.kind} upgrade {self.subject} since {self.began_at:%H:%M:%S}, {end}: {steps}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A broken promise, with everything that is known of it."""

    rule: Rule
    at: datetime
    group: str
    nodes: tuple[str, ...]
    story: str
    together: tuple[Episode, ...] = ()
    """What was under way at once, the newest last."""

    def __str__(self) -> str:
        """Return it as a person reads it."""
        return f"{self.at:%H:%M:%S} {self.group}: {self.rule}: {', '.join(self.nodes)}\n{self.story}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgiven:
    """An episode that went on beside another one, and why that is no violation."""

    at: datetime
    group: str
    node: str
    excuse: Excuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """What the observer was told that the operators accept. Seconds."""

    offline_after_seconds: float = 300.0
    """A node silent for longer does not hold up a service upgrade (P6), and is no member to rely on."""
    dead_after_seconds: float = 1800.0
    """The upgrade of a node silent for longer is given up."""
    unconfirmed_after_seconds: float | None = None
    """A permission that left no trace in the Exchange for longer may be taken back; None: it may not."""
    unseen_seconds: float = 10.0
    """For so long after its begin an upgrade that was not asked for may still be unknown to the coordinator."""
    unaware_seconds: float = 5.0
    """So soon after it has joined a node may begin without a question: it was told that it was in no group."""
    peers_margin_seconds: float = 180.0
    """How much longer than offline the last other member must have been silent before an agent upgrade that begins is wrong."""


def excuse_together(older: Episode, newer: Episode, *, now: datetime, tolerance: Tolerance) -> Excuse | None:
    """Return why nobody could keep these two apart; each of them still counts against every other."""
    if newer.is_unasked:
        return Excuse.UNASKED
    is_new = (now - older.began_at).total_seconds() <= tolerance.unseen_seconds
    return Excuse.UNSEEN if older.is_unasked and is_new else None


def excuse_for(
    older: Episode, newer: Episode, *, silent_seconds: float, now: datetime, tolerance: Tolerance
) -> Excuse | None:
    """Return why `newer` may begin beside `older`, whose node has been silent for so long; None if it may not."""
    if silent_seconds >= tolerance.dead_after_seconds:
        return Excuse.DEAD
    if newer.kind is Kind.SERVICE and silent_seconds >= tolerance.offline_after_seconds:
        return Excuse.OFFLINE_HOLDER
    limit = tolerance.unconfirmed_after_seconds
    if limit is not None and not older.reported and (now - older.began_at).total_seconds() >= limit:
        return Excuse.UNCONFIRMED
    return None
