"""The answers of the operators' API, as the handlers write them and the commands read them.

The values of the coordinator that most of them consist of are in `agbot.coordinator.contract`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from agbot.coordinator.contract import GroupView, LeaseView, Overview
from agbot.delivery.receiver import Receiver
from agbot.rules.ids import GroupId
from agbot.rules.leadership import Position


class ErrorText(msgspec.Struct):
    """What was tried, what is wrong, and what to do next."""

    tried: str
    problem: str
    next: str


class ErrorAnswer(msgspec.Struct):
    """Every error of the API."""

    error: ErrorText


class ListedPath(msgspec.Struct):
    """One path."""

    method: str
    path: str
    does: str
    needs_token: bool


class Paths(msgspec.Struct):
    """All paths."""

    paths: Sequence[ListedPath]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorView:
    """One coordinator as it is shown to operators."""

    name: str
    leads: bool
    epoch: int | None = None
    """The epoch of its leadership; None if it stands by, or has the store for itself."""
    since: datetime | None = None
    """Since when it leads, by the database's clock."""
    seen_seconds_ago: float = 0.0
    """When it was last seen, by the database's clock."""
    is_gone: bool = False
    """It had missed its announcements when they were last read."""
    is_known: bool = True
    """False: the store cannot be read, and everything here is as it was when it last could."""
    gateway_url: str = ""
    console_url: str = ""
    version: str = ""


class Coordinators(msgspec.Struct):
    """The coordinators on one store."""

    coordinators: Sequence[CoordinatorView]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary(Overview):
    """The summary of the coordinator, with who leads as far as this one knows."""

    version: str
    position: Position
    leader: str | None
    epoch: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """One thing that a person should know."""

    level: str
    """`bad`, `warn` or `note`: what operators have ordered, and what may be as it should."""
    needs_a_person: bool
    """Whether something fails, or stays as it is, until a person acts: a note does not."""
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Summary):
    """Everything that `agbot status` shows, of one moment."""

    at: datetime
    coordinators: Sequence[CoordinatorView]
    attention: Sequence[Attention]
    receivers: Sequence[Receiver]
    groups: Sequence[GroupView]
    total: int
    """How many groups match."""
    next: GroupId | None
    """`?after=` of the next page; None on the last one."""
    known: int
    """How many groups there are."""


class Groups(msgspec.Struct):
    """A page of groups, or all of them."""

    groups: Sequence[GroupView]
    total: int
    next: GroupId | None


class Leases(msgspec.Struct):
    """The leases that match; `total` counts all groups."""

    leases: Sequence[LeaseView]
    total: int
    lack: str
    """That it is from memory, and why: the lease store cannot be used. Else empty."""


class Receivers(msgspec.Struct):
    """The receivers of events."""

    receivers: Sequence[Receiver]


class Tested(msgspec.Struct):
    """The id that each receiver confirms when it has the test event."""

    event: int
