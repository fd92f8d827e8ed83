"""One member's upgrade as it actually happened, and when two at once are a violation. Pure.

An *episode* begins when a node (or the agbot, for its service) acts on a permission, and ends when
the node is back. An episode counts against its group unless the users' documents or the design
excuse it. The excuse is kept, so a report can list what was forgiven.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from agbot.sim.links import Kind


class Rule(StrEnum):
    """The promise that was broken."""

    ONE_AT_A_TIME = "one at a time"
    NO_MEMBER_LEFT = "no member left"
    """An agent upgrade began long after the last other member had fallen silent."""


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
    """The coordinator was not asked. It could not have prevented the upgrade, but it can learn of
    it some time later."""
    is_listed: bool = False
    """The agbot has permitted it, and lists it among the upgrades under way."""
    reported: bool = False
    """The Exchange has had a status past the gate since it began."""
    story: list[str] = field(default_factory=list)

    @property
    def counts(self) -> bool:
        """Return whether it counts against its group now."""
        return self.ended_at is None and self.excuse is None and bool(self.group)

    def describe(self) -> str:
        """Describe in one paragraph which node did what, and when."""
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
    """The upgrades that were under way at once, the newest last."""

    def __str__(self) -> str:
        """Return it as text for people."""
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
    """What the operators accept, in seconds."""

    offline_after_seconds: float = 300.0
    """A node that is silent for longer does not hold up a service upgrade (P6), and does not count
    as an available peer."""
    dead_after_seconds: float = 1800.0
    """The upgrade of a node that is silent for longer is given up."""
    unconfirmed_after_seconds: float | None = None
    """A permission without a trace in the Exchange may be taken back after this long. None: it may
    not."""
    unseen_seconds: float = 10.0
    """For this long after its beginning, an upgrade without a question may be unknown to the
    coordinator."""
    unaware_seconds: float = 5.0
    """For this long after it has joined, a node may begin without a question: the Exchange had
    answered that it was in no group."""
    peers_margin_seconds: float = 180.0
    """An agent upgrade that begins is wrong if the last other member has been offline for longer
    than this."""
    acting_seconds: float = 0.0
    """How long after a yes its upgrade begins. What was right then is right although the other node
    has come back in between."""
    is_guarded: bool = False
    """Whether the agbot's database asks for every upgrade that the agbot permits or begins, so that
    none of them is without a question."""


def excuse_together(older: Episode, newer: Episode, *, now: datetime, tolerance: Tolerance) -> Excuse | None:
    """Return why it was impossible to keep these two apart, or None.

    Each of them still counts against every other.
    """
    if newer.is_unasked:
        return Excuse.UNASKED
    is_new = (now - older.began_at).total_seconds() <= tolerance.unseen_seconds
    return Excuse.UNSEEN if older.is_unasked and is_new else None


def excuse_for(
    older: Episode, newer: Episode, *, silent_seconds: float, now: datetime, tolerance: Tolerance
) -> Excuse | None:
    """Return why `newer` may begin beside `older`, whose node has been silent for so long.

    None if it may not.
    """
    if silent_seconds >= tolerance.dead_after_seconds:
        return Excuse.DEAD
    if newer.kind is Kind.SERVICE and silent_seconds >= tolerance.offline_after_seconds:
        return Excuse.OFFLINE_HOLDER
    limit = tolerance.unconfirmed_after_seconds
    if limit is not None and not older.reported and (now - older.began_at).total_seconds() >= limit:
        return Excuse.UNCONFIRMED
    return None
