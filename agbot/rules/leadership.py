"""Who of several coordinators on one store may grant: decisions from values and `now`. Pure.

One coordinator leads, by a row in the store that names its owner and its **epoch**, and that
expires by the database's clock. The epoch rises with every change of the leader and never goes
back. Two things keep two coordinators from granting at the same moment:

- every write of a leader carries its epoch, and the store refuses it in the same transaction when
  another epoch is in the row; so nothing else here has to be right for that;
- a leader stops granting by its own monotonic clock before the row can expire. It counts from the
  moment at which it *sent* the renewal, and the database counts from a later one.

Seconds are of the monotonic clock of this machine, except for `left_seconds` and `since`, which are
the database's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

_MARGIN_SHARE: Final = 0.2
"""The last part of a term in which nothing is granted: for clocks that run at different speeds."""
RESERVED_SECONDS: Final = 5.0
"""How long a leadership that was handed over to a named coordinator is kept for it."""
GIVES_WAY_SECONDS: Final = 6.0
"""How long a coordinator that has handed over waits for another to take the leadership."""
_SILENT_AFTER: Final = 3
"""A coordinator that has missed so many announcements counts as gone."""
_JUST_EXPIRED_SECONDS: Final = 1.0
"""A standby that reads the row every half second finds it no later than this after its end."""


class Position(StrEnum):
    """The position of a coordinator among those on the same store."""

    LEADING = "leading"
    STANDING_BY = "standing-by"
    """Another leads; questions and operators' requests are forwarded to it."""
    NO_LEADER = "no-leader"
    """None is known to lead."""


_LEADING: Final = Position.LEADING


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long the row of a leader is valid, and how often it is renewed."""

    ttl_seconds: float = 8.0
    renew_seconds: float = 2.0

    @property
    def grants_seconds(self) -> float:
        """For how long after the sending of a renewal grants are allowed."""
        # counted from the sending, so that it is over before the row can expire by the database
        return self.ttl_seconds * (1.0 - _MARGIN_SHARE)

    @property
    def fresh_seconds(self) -> float:
        """For how long the announcement of a coordinator that was killed looks as if it ran."""
        return _SILENT_AFTER * self.renew_seconds

    @property
    def silent_seconds(self) -> float:
        """A coordinator that has not announced itself for this long counts as gone."""
        return max(self.ttl_seconds, self.fresh_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A coordinator as it announces itself to the others."""

    name: str
    """Unique among the coordinators of one store."""
    run: str
    """This start of its process."""
    gateway_url: str = ""
    """Where the others forward questions to; empty if nowhere."""
    console_url: str = ""
    """Where the others forward operators' requests to; empty if nowhere."""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """A coordinator that has announced itself."""

    candidate: Candidate
    silent_seconds: float
    """How long ago, by the database's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """The row of the leader, as it was read."""

    name: str
    run: str
    epoch: int
    since: datetime
    """When it took the leadership, by the database's clock."""
    left_seconds: float
    """Until the row expires, by the database's clock; zero or less if it has, or was given up."""
    is_given_up: bool = False
    """Its leader has ended the term by itself; otherwise it is valid, or has expired unrenewed."""
    gateway_url: str = ""
    console_url: str = ""
    reserved_for: str = ""
    """After a handover: the name of the coordinator that is to lead next."""
    reserved_seconds: float = 0.0
    """For how long it is reserved for that one."""

    @property
    def is_valid(self) -> bool:
        """Whether it leads, as far as the database knows."""
        return self.left_seconds > 0


class Whereabouts(msgspec.Struct, frozen=True, kw_only=True):
    """Who leads, as this coordinator knows it."""

    position: Position = Position.LEADING
    own_name: str = ""
    leader: Leader | None = None
    """The leader, itself included; None if none is known, or if the store is not shared."""
    doubt: str = ""
    """Why it is not known who leads by now: the store cannot be read; empty if it is known."""
    missing: str = ""
    """Why none leads, as the row was last read; empty if one does, or if none has been read."""
    left_seconds: float = 0.0
    """For how long the leader leads without another renewal, as its row was last read."""

    @property
    def leads(self) -> bool:
        """Whether this coordinator leads."""
        return self.position is _LEADING

    @property
    def taken_over_seconds(self) -> int:
        """Until a coordinator that stands by leads, if the leader is gone."""
        return math.ceil(self.left_seconds + _JUST_EXPIRED_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """The end of a term that an operator has ordered, by the coordinator whose term it was."""

    epoch: int
    to: str
    """The name of the one that is to lead next; empty for any other."""
    at_seconds: float

    def is_open(self, found: Leader | None, now_seconds: float) -> bool:
        """Whether another is still to take the row."""
        # Another epoch: one has led since. Valid again: it was not given up after all. Nor is it
        # waited for without limit: none would lead if the named one has died meanwhile.
        is_left = found is not None and found.epoch == self.epoch and not found.is_valid
        return is_left and now_seconds - self.at_seconds < GIVES_WAY_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """The leadership of this coordinator, from its taking to its end."""

    epoch: int
    renewed_seconds: float
    """When the last renewal that the store has confirmed was sent."""


def may_take(found: Leader | None, candidate: Candidate) -> bool:
    """Whether the row may be taken: it has expired, or belongs to this run of this coordinator."""
    if found is None or found.run == candidate.run:
        # Its own row without a term: the answer to the statement that took it was lost. Not by
        # name: that may be the row of its former process, which may still write.
        return True
    is_for_another = found.reserved_seconds > 0 and found.reserved_for != candidate.name
    return not found.is_valid and not is_for_another


def why_taken(before: Leader | None, own: Candidate) -> str:
    """Say why the row, as it was before this coordinator took it, could be taken."""
    if before is None:
        return "no coordinator has led here before"
    if before.run == own.run:
        return "an answer of the store was lost"
    if before.reserved_for == own.name:
        return f"{before.name} has handed over"
    return why_missing(before, own)


def why_missing(found: Leader | None, own: Candidate) -> str:
    """Say why the row, as it was found by this coordinator, names no leader."""
    if found is None:
        return "no coordinator has led here before"
    if found.is_valid and found.name == own.name:
        return f"{found.name} led, ended without giving up the leadership, and was started again"
    ended = f"{max(-found.left_seconds, 0.0):.1f} s ago"
    if not found.is_given_up:
        return f"{found.name} has not renewed its leadership, which expired {ended}"
    return f"{found.name} gave up the leadership {ended}" + (
        f", for {found.reserved_for}" if found.reserved_for else ""
    )


def why_not_granting(term: Term, timing: Timing, now_seconds: float) -> str:
    """Return why the leader of this term may grant nothing now; empty if it may."""
    silent_seconds = now_seconds - term.renewed_seconds
    if silent_seconds < timing.grants_seconds:
        return ""
    return f"this coordinator could not renew its leadership for {silent_seconds:.0f} s; another may lead already"


def renews_in(term: Term, timing: Timing, now_seconds: float) -> float:
    """Return the time until the next renewal is due."""
    return max(term.renewed_seconds + timing.renew_seconds - now_seconds, 0.0)


def namesake(announced: Iterable[Announced], own: Candidate, timing: Timing) -> Announced | None:
    """Return a coordinator that may run, and has the name or an address of this one."""
    for each in announced:
        theirs = each.candidate
        # two that announce one address would forward questions to each other, or to themselves
        is_same = theirs.name == own.name or any(
            address and address in {theirs.gateway_url, theirs.console_url}
            for address in (own.gateway_url, own.console_url)
        )
        # what a process that was killed has announced looks as if it ran, until that is too old
        if is_same and theirs.run != own.run and each.silent_seconds <= timing.fresh_seconds:
            return each
    return None


def same_name(own: Candidate, other: Announced) -> str:
    """Say what two coordinators share that each needs for itself."""
    theirs = other.candidate
    at = theirs.gateway_url or "an unknown address"
    return (
        f"[leadership] another coordinator runs as {theirs.name} at {at} (last seen {other.silent_seconds:.0f} s ago), and this"
        f" one is {own.name} at {own.gateway_url or 'an unknown address'}, on the same store; give each a name, gateway_url and"
        " console_url of its own, or stop the other one"
    )


def _others_ready(announced: Iterable[Announced], own_name: str, timing: Timing) -> list[str]:
    """Return the names of the other coordinators that could lead."""
    return sorted(
        each.candidate.name
        for each in announced
        if each.candidate.name != own_name and each.silent_seconds <= timing.silent_seconds
    )


def why_not_handed_over(announced: Iterable[Announced], own_name: str, to: str, timing: Timing) -> str:
    """Return why the leadership cannot be handed over to `to`, or to any; empty if it can."""
    known = list(announced)
    ready = _others_ready(known, own_name, timing)
    if to and to not in ready:
        silent = next((each.silent_seconds for each in known if each.candidate.name == to), None)
        if silent is None:
            return f"no coordinator is called {to}"
        return f"{to} was last seen {silent:.0f} s ago"
    return "" if ready else "no other coordinator stands by"
