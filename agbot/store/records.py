"""The types of records that a store keeps beside leases and the journal: one line of `KEPT` for each.

Keys, rows and statements derive from that line and from the fields of the dataclass (`codec`, `statements`), for every store alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from types import MappingProxyType

from agbot.rules.facts import Allowance, Approval, Ask, Brake, Contact, Deferral, Pause, Served, Waiter
from agbot.rules.seen_time import ClockMark

Record = Allowance | Approval | Brake | ClockMark | Contact | Deferral | Pause | Served | Waiter


@dataclass(frozen=True, slots=True)
class Key:
    """Names one record of a type: no two of the same type have the same values."""

    of: type[Record]
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How one type of record is kept."""

    of: type[Record]
    table: str
    key: tuple[str, ...]
    """The fields, dotted where they are nested, by which a record is known; none: there is only one such record."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Names of columns that differ from `codec.COLUMNS`, by field."""

    @property
    def is_of_group(self) -> bool:
        """Whether such records belong to a group, which then comes first in their keys."""
        return bool(self.key) and self.key[0].rpartition(".")[2] == "group"


_WAITER_KEY = ("ask.group", "ask.claim.holder", "ask.claim.kind", "ask.claim.subject")

KEPT: Mapping[type, Kept] = MappingProxyType(
    {
        each.of: each
        for each in (
            Kept(of=Allowance, table="allowance", key=("node",)),
            Kept(of=Approval, table="approval", key=("scope", "kind", "subject")),
            Kept(of=Brake, table="brake", key=("group", "kind", "subject")),
            Kept(of=ClockMark, table="seen_clock", key=()),
            Kept(of=Contact, table="contact", key=("node",)),
            Kept(of=Deferral, table="deferral", key=("group", "node")),
            Kept(of=Pause, table="pause", key=("scope",)),
            Kept(of=Served, table="served", key=("group", "node")),
            Kept(of=Waiter, table="waiter", key=_WAITER_KEY, columns={"holder": "node_id"}),
        )
    }
)
_KEY_FIELDS = {kept.of: tuple(attrgetter(path) for path in kept.key) for kept in KEPT.values()}


def key_of(record: Record) -> Key:
    """Return the key of a record."""
    of = type(record)
    return Key(of, tuple([read(record) for read in _KEY_FIELDS[of]]))


def waiter_key(ask: Ask) -> Key:
    """Return the key of the waiter with this question."""
    return Key(Waiter, (ask.group, *waiter_name(ask)))


def waiter_name(ask: Ask) -> tuple[str, ...]:
    """Return what tells the waiter with this question from the others of its group."""
    return ask.claim.holder, ask.claim.kind, ask.claim.subject
