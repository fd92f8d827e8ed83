"""The record types of a store besides leases and the journal: one line of `KEPT` each.

Keys, rows and statements derive from that line and from the fields of the dataclass (`codec`,
`statements`), for every store in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from types import MappingProxyType

from agbot.rules.facts import Ask
from agbot.rules.records import Allowance, Approval, Brake, Busy, Contact, Deferral, Hold, Turn, Waiter
from agbot.rules.seen_time import ClockMark

Record = Allowance | Approval | Brake | Busy | ClockMark | Contact | Deferral | Hold | Turn | Waiter


@dataclass(frozen=True, slots=True)
class Key:
    """Identifies one record of a type."""

    of: type[Record]
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The description of one record type."""

    of: type[Record]
    table: str
    key: tuple[str, ...]
    """The fields of the key, dotted if nested; empty if there is only one such record."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Field -> name of its column, where it differs from `codec.COLUMNS`."""

    @property
    def is_of_group(self) -> bool:
        """Whether such records belong to a group, which is then first in the key."""
        return bool(self.key) and self.key[0].rpartition(".")[2] == "group"


_WAITER_KEY = ("ask.group", "ask.claim.holder", "ask.claim.kind", "ask.claim.subject")

KEPT: Mapping[type, Kept] = MappingProxyType(
    {
        each.of: each
        for each in (
            Kept(of=Allowance, table="allowance", key=("node",)),
            Kept(of=Approval, table="approval", key=("scope", "kind", "subject")),
            Kept(of=Brake, table="brake", key=("group", "kind", "subject")),
            Kept(of=Busy, table="busy", key=("node",)),
            Kept(of=ClockMark, table="seen_clock", key=()),
            Kept(of=Contact, table="contact", key=("node",)),
            Kept(of=Deferral, table="deferral", key=("group", "node")),
            Kept(of=Hold, table="hold", key=("scope",)),
            Kept(of=Turn, table="turn", key=("group", "node")),
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
    """Return the rest of the waiter's key within its group."""
    return ask.claim.holder, ask.claim.kind, ask.claim.subject
