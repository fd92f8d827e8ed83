"""A rollout as `/v1/rollouts` shows it and `agbot rollout` reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from agbot.console.answers import Attention


class EndView(msgspec.Struct, kw_only=True):
    """When the groups that need no person will be done, if the pace stays as it is."""

    likely: datetime | None = None
    """None if it is not known; then `why` states why."""
    earliest: datetime | None = None
    latest: datetime | None = None
    """Between the two in four of five cases."""
    remaining: int = 0
    pace_seconds: float = 0.0
    """Mean time between two groups."""
    why: str = ""
    known: str = ""
    """What is known without an estimate, in sentences."""
    shut: int = 0
    """Groups that wait for a maintenance window; they are not among those that remain."""
    opens_at: datetime | None = None
    """When the last of these windows opens."""


class SummaryView(msgspec.Struct, kw_only=True):
    """How far all groups are."""

    groups: int
    """All groups that were looked at: those of the policy's organisation and others that take
    part."""
    expected: int
    """Groups in which a member is known to follow the policy."""
    counts: Mapping[str, int]
    """Of the expected groups, how many by their standing."""
    reasons: Mapping[str, int]
    """Of those that wait, how many by the reason's code, the most frequent first."""
    members_done: int
    members: int


class RolloutLine(msgspec.Struct, kw_only=True):
    """One rollout in the list."""

    policy: str
    kind: str
    is_active: bool
    """Under way, waited for or stopped somewhere."""
    last_at: datetime | None = None
    """When a member last began or ended."""
    running: int
    waiting: int
    stopped: int
    summary: SummaryView | None = None
    """Of the first rollouts only: it goes through all groups."""
    end: EndView | None = None
    """Of active rollouts with a summary."""


class RolloutList(msgspec.Struct, kw_only=True):
    """Running and recent rollouts."""

    at: datetime
    rollouts: Sequence[RolloutLine]
    lack: str
    """What is missing of the past, and why; else empty."""
    total: int = 0
    """How many there are; the first ones are listed."""


class PointView(msgspec.Struct, kw_only=True):
    """How many groups had begun and were done at a moment."""

    at: datetime
    begun: int
    done: int


class StandView(msgspec.Struct, kw_only=True):
    """How far one group is."""

    group: str
    standing: str
    text: str
    code: str = ""
    """Of a group that waits: the first reason of the member that has waited longest."""
    done: int
    members: int
    done_at: datetime | None = None


class RolloutView(msgspec.Struct, kw_only=True):
    """One rollout, and a page of its groups: those first that need a look."""

    at: datetime
    policy: str
    kind: str
    begun_at: datetime | None = None
    summary: SummaryView
    end: EndView
    attention: Sequence[Attention]
    """What of the rollout needs a person."""
    accuracy: str
    """How the estimates of past rollouts turned out, in words; empty while none has ended."""
    over_time: Sequence[PointView]
    groups: Sequence[StandView]
    total: int
    """How many groups match the filters."""
    lack: str
