"""Fault switches: what goes wrong with a simulated server, for whom and how often.

A fault selects requests by method, path, organisation and caller, and then happens with a probability drawn from a seeded
generator, so that a run can be repeated. The server applies faults that can be said as a value; its transport enacts
the rest (`Dropped`, `Hang`, a reply with a delay or a body cut short).
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
    """The reply comes `seconds` later, give or take up to `jitter_seconds`."""
    STATUS = "status"
    """The reply is `status` with an error body, and nothing was done."""
    DROP = "drop"
    """The connection ends without a reply; with `applied` the request was carried out before."""
    TRUNCATE = "truncate"
    """The body ends half way, then the connection does."""
    GARBAGE = "garbage"
    """The body is `text`, with the right status."""
    FREEZE = "freeze"
    """The change feed shows nothing newer than the moment when the fault was added."""
    STALE = "stale"
    """What is read is repeated as it was first read after the fault was added, and the feed is frozen: an old copy answers, or a cache."""
    LATE = "late"
    """A share (`rate`) of the rows of the change feed appears only `seconds` after their time, with their old ids."""
    RACE = "race"
    """A member is added to a group on the strength of what was read before another request put it into one: 500."""
    REFUSE = "refuse"
    """Nobody listens: the connection is refused. In one process; a listener on a real socket is closed instead."""
    HANG = "hang"
    """No answer ever, and nothing was done unless `applied`."""
    CLOCK = "clock"
    """The server's clock is off by `seconds`; selection does not matter."""
    DATE = "date"
    """The `Date` header is a proxy's in front of the server, whose clock is off by `seconds`."""
    ABSENT = "absent"
    """What was read is answered as if it did not exist: 404."""
    EMPTY = "empty"
    """A list of nodes is empty."""
    SHORT = "short"
    """A list of nodes leaves some out: those of `node`."""
    NO_GROUP = "no group"
    """Nodes show no `ha_group`."""
    FUTURE = "future"
    """In a node's own data `lastUpdated` is in the year 9999."""
    NESTED = "nested"
    """In a node's own data is JSON nested deeper than a parser likes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. Empty selectors match everything; `path` and `caller` are regular expressions searched for."""

    kind: FaultKind
    rate: float = 1.0
    """Probability that a selected request is hit, 0 to 1."""
    seconds: float = 0.0
    jitter_seconds: float = 0.0
    status: int = 503
    text: str = '{"changes": [{"orgId": '
    applied: bool = False
    path: str = ""
    method: str = ""
    org: str = ""
    """Organisation in the path (`/orgs/{org}`)."""
    caller: str = ""
    """Searched for in the caller's `org/id`."""
    node: str = ""
    """Searched for in the `org/id` of the nodes in a reply, by kinds that change what is said of nodes."""
    times: int | None = None
    """At most so many requests are hit; None is without end."""

    def selects(self, method: str, path: str, caller: str) -> bool:
        """Say whether a request is one of those meant."""
        if self.method and self.method != method:
            return False
        if self.org and not re.search(rf"/orgs/{re.escape(self.org)}(/|$)", path):
            return False
        return bool(re.search(self.path, path) and re.search(self.caller, caller))

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Fault:
        """Read one fault as `FaultPlan.to_json` writes it.

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
    """The faults that are switched on. Adding and removing takes effect with the next request."""

    def __init__(self, seed: int = 0, *, mark: Callable[[], int] = lambda: 0) -> None:
        """Start without faults; `mark` gives the point of the change feed at which a freeze begins."""
        self._random = random.Random(seed)
        self._mark = mark
        self._active: dict[int, _Active] = {}
        self._next = 1

    def add(self, fault: Fault) -> int:
        """Switch a fault on and return its handle."""
        handle, self._next = self._next, self._next + 1
        self._active[handle] = _Active(fault, self._mark())
        return handle

    def remove(self, handle: int) -> None:
        """Switch a fault off; one that is off already stays off."""
        self._active.pop(handle, None)

    def clear(self) -> None:
        """Switch every fault off."""
        self._active.clear()

    def __bool__(self) -> bool:
        """Say whether any fault is on."""
        return bool(self._active)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the faults that are on, with handle and number of hits."""
        return [{"handle": handle, "hits": one.hits, **asdict(one.fault)} for handle, one in self._active.items()]

    @property
    def clock_offset_seconds(self) -> float:
        """Return how far the server's clock is off: the sum of the clock faults."""
        return sum(one.fault.seconds for one in self._active.values() if one.fault.kind is FaultKind.CLOCK)

    def hit(self, kind: FaultKind, method: str, path: str, caller: str) -> Fault | None:
        """Return the first fault of a kind that hits this request, and count the hit."""
        struck = self._struck(kind, method, path, caller)
        return struck.fault if struck else None

    def frozen_at(self, method: str, path: str, caller: str) -> int | None:
        """Return the point at which the feed stands still for this request, or None."""
        struck = self._struck(FaultKind.FREEZE, method, path, caller) or self._struck(
            FaultKind.STALE, method, path, caller
        )
        return struck.mark if struck else None

    def as_first_read(self, at: tuple[str, str, str], reply: Reply) -> Reply:
        """Return the reply that an old copy gives to this request, which would be this one now."""
        struck = self._struck(FaultKind.STALE, *at)
        return struck.replies.setdefault(at, reply) if struck else reply

    def selected(self, kind: FaultKind, method: str, path: str, caller: str) -> Fault | None:
        """Return the first fault of a kind that means this request, without drawing a chance."""
        for one in self._active.values():
            if one.fault.kind is kind and one.fault.selects(method, path, caller):
                one.hits += 1
                return one.fault
        return None

    def delay_seconds(self, method: str, path: str, caller: str) -> float:
        """Return how long the reply to this request is held back: the sum of the latency faults that hit it."""
        total = 0.0
        for one in list(self._active.values()):
            if one.fault.kind is FaultKind.LATENCY and self._hits(one, method, path, caller):
                jitter = one.fault.jitter_seconds
                total += max(0.0, one.fault.seconds + self._random.uniform(-jitter, jitter))
        return total

    def _struck(self, kind: FaultKind, method: str, path: str, caller: str) -> _Active | None:
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
