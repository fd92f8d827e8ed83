"""Faults of a simulated server: what goes wrong, for whom and how often.

A fault selects requests by method, path, organisation and caller. It then happens with a
probability that is drawn from a seeded generator, so a run can be repeated. The server applies the
faults that a value can express; its transport carries out the others (`Dropped`, `Hang`, a reply
with a delay or a truncated body).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, TypeVar

Reply = TypeVar("Reply")


class FaultKind(StrEnum):
    """What goes wrong."""

    LATENCY = "latency"
    """The reply comes `seconds` later, plus or minus up to `jitter_seconds`."""
    STATUS = "status"
    """The reply is `status` with an error body, and the request was not carried out."""
    DROP = "drop"
    """The connection ends without a reply. With `applied`, the request was carried out before."""
    TRUNCATE = "truncate"
    """The body ends half way, then the connection does."""
    GARBAGE = "garbage"
    """The body is `text`, with the right status."""
    FREEZE = "freeze"
    """The change feed shows nothing newer than the moment when the fault was added."""
    STALE = "stale"
    """Reads get the answer that they got first after the fault was added, and the feed is frozen,
    as if an old copy or a cache answered."""
    LATE = "late"
    """A share (`rate`) of the rows of the change feed appears only `seconds` after their time, with
    their old ids."""
    RACE = "race"
    """A member is added to a group on the basis of a read that another request has outdated:
    500."""
    REFUSE = "refuse"
    """The connection is refused. This is for calls in one process; a listener on a real socket is
    closed instead."""
    HANG = "hang"
    """No answer ever comes, and the request was not carried out unless `applied`."""
    CLOCK = "clock"
    """The server's clock is off by `seconds`; the selectors have no effect."""
    SKEW = "skew"
    """The request is handled by another server on the same database, whose clock is off by
    `seconds`."""
    DATE = "date"
    """The `Date` header is that of a proxy in front of the server, whose clock is off by
    `seconds`."""
    ABSENT = "absent"
    """Reads are answered as if nothing existed: 404."""
    EMPTY = "empty"
    """A list of nodes is empty."""
    SHORT = "short"
    """A list of nodes leaves out those that match `node`."""
    NO_GROUP = "no group"
    """Nodes show no `ha_group`."""
    FUTURE = "future"
    """In a node's own data `lastUpdated` is in the year 9999."""
    NESTED = "nested"
    """A node's own data contains JSON that is nested too deep for a recursive parser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. Empty selectors match everything; `path` and `caller` are regular expressions."""

    kind: FaultKind
    rate: float = 1.0
    """The probability that a selected request is hit, 0 to 1."""
    seconds: float = 0.0
    jitter_seconds: float = 0.0
    status: int = 503
    text: str = '{"changes": [{"orgId": '
    applied: bool = False
    path: str = ""
    method: str = ""
    org: str = ""
    """The organisation in the path (`/orgs/{org}`)."""
    caller: str = ""
    """Searched for in the caller's `org/id`."""
    node: str = ""
    """Searched for in the `org/id` of the nodes in a reply, by kinds that change the data of
    nodes."""
    times: int | None = None
    """At most so many requests are hit; None means no limit."""

    def selects(self, method: str, path: str, caller: str) -> bool:
        """Return whether a request is selected."""
        if self.method and self.method != method:
            return False
        if self.org and not re.search(rf"/orgs/{re.escape(self.org)}(/|$)", path):
            return False
        return bool(re.search(self.path, path) and re.search(self.caller, caller))

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Fault:
        """Parse one fault in the form that `FaultPlan.to_json` writes.

        Raises:
            ValueError: an unknown field or kind, or a value of the wrong type.
        """
        known = {one.name: one for one in fields(cls)}
        if unknown := given.keys() - known.keys():
            message = f"unknown field {min(unknown)!r}; known are {', '.join(known)}"
            raise ValueError(message)
        try:
            fault = cls(**{**given, "kind": FaultKind(given.get("kind", ""))})
            re.compile(fault.path), re.compile(fault.caller), re.compile(fault.node)
            valid = 0 <= fault.rate <= 1 and float(fault.seconds) == fault.seconds and int(fault.status) > 0
        except (TypeError, re.error) as error:
            message = f"not a fault: {error}"
            raise ValueError(message) from error
        if not valid:
            message = "rate must be between 0 and 1"
            raise ValueError(message)
        return fault


class Dropped(Exception):
    """The connection breaks without a reply."""


class Hang(Exception):
    """No reply ever comes."""


class NotListening(Exception):
    """The connection is refused."""


@dataclass(slots=True)
class _Active:
    fault: Fault
    mark: int
    hits: int = 0
    replies: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    """What an old copy has answered, by request."""


class FaultPlan:
    """The active faults. Adding and removing takes effect with the next request."""

    def __init__(self, seed: int = 0, *, mark: Callable[[], int] = lambda: 0) -> None:
        """Start without faults; `mark` returns the point of the feed at which a freeze begins."""
        self._random = random.Random(seed)
        self._mark = mark
        self._active: dict[int, _Active] = {}
        self._next = 1

    def add(self, fault: Fault) -> int:
        """Add a fault and return its handle."""
        handle, self._next = self._next, self._next + 1
        self._active[handle] = _Active(fault, self._mark())
        return handle

    def remove(self, handle: int) -> None:
        """Remove a fault; removing it twice has no effect."""
        self._active.pop(handle, None)

    def clear(self) -> None:
        """Remove every fault."""
        self._active.clear()

    def __bool__(self) -> bool:
        """Return whether any fault is active."""
        return bool(self._active)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the active faults, with handle and number of hits."""
        return [{"handle": handle, "hits": one.hits, **asdict(one.fault)} for handle, one in self._active.items()]

    @property
    def clock_offset_seconds(self) -> float:
        """Return the offset of the server's clock: the sum of the clock faults."""
        return sum(one.fault.seconds for one in self._active.values() if one.fault.kind is FaultKind.CLOCK)

    def skew_seconds(self, method: str, path: str, caller: str) -> float:
        """Return the offset of the clock of the server that handles this request."""
        fault = self.hit(FaultKind.SKEW, method, path, caller)
        return fault.seconds if fault is not None else 0.0

    def hit(self, kind: FaultKind, method: str, path: str, caller: str) -> Fault | None:
        """Return the first fault of a kind that hits this request, and count the hit."""
        active = self._first_hit(kind, method, path, caller)
        return active.fault if active else None

    def frozen_at(self, method: str, path: str, caller: str) -> int | None:
        """Return the point at which the feed is frozen for this request, or None."""
        active = self._first_hit(FaultKind.FREEZE, method, path, caller) or self._first_hit(
            FaultKind.STALE, method, path, caller
        )
        return active.mark if active else None

    def as_first_read(self, at: tuple[str, str, str], reply: Reply) -> Reply:
        """Return the reply of an old copy to this request; `reply` is the current one."""
        active = self._first_hit(FaultKind.STALE, *at)
        return active.replies.setdefault(at, reply) if active else reply

    def selected(self, kind: FaultKind, method: str, path: str, caller: str) -> Fault | None:
        """Return the first fault of a kind that selects this request, without drawing a chance."""
        for one in self._active.values():
            if one.fault.kind is kind and one.fault.selects(method, path, caller):
                one.hits += 1
                return one.fault
        return None

    def delay_seconds(self, method: str, path: str, caller: str) -> float:
        """Return the delay of the reply: the sum of the latency faults that hit this request."""
        total = 0.0
        for one in list(self._active.values()):
            if one.fault.kind is FaultKind.LATENCY and self._hits(one, method, path, caller):
                jitter = one.fault.jitter_seconds
                total += max(0.0, one.fault.seconds + self._random.uniform(-jitter, jitter))
        return total

    def _first_hit(self, kind: FaultKind, method: str, path: str, caller: str) -> _Active | None:
        for one in self._active.values():
            if one.fault.kind is kind and self._hits(one, method, path, caller):
                return one
        return None

    def _hits(self, one: _Active, method: str, path: str, caller: str) -> bool:
        fault = one.fault
        if fault.times is not None and one.hits >= fault.times:
            return False
        if not fault.selects(method, path, caller):
            return False
        if fault.rate < 1 and self._random.random() >= fault.rate:
            return False
        one.hits += 1
        return True
