"""The contract of a lease store: one test suite (`tests/contract`) for all implementations.

- `swap` is compare and set: it replaces a lease only if the stored one still has the expected token
  and state. A lost race is a value (`Lost`, with the present lease), never an error. The records
  and journal entries given with it are written in the same transaction or not at all. The stored
  token never goes back: a swap to a lower token is refused as a programming error.
- When a call has returned, its effect is durable: it survives `kill -9` and a power failure.
- An unreachable, full, locked or damaged store raises `StoreUnavailableError`. The write may or may
  not have happened then; the caller reads the lease again before it decides anything. All writes
  are idempotent.
- A cancelled caller leaves no open transaction behind.
- The journal is the outbox of the deliveries. Ids rise in the order of commits: once an entry can
  be read, no entry with a lower id appears any more. A reader that reads `after` the last id it has
  seen misses nothing.
- Ids have no gaps: a write that was lost, refused or rolled back uses none. A missing id therefore
  means that its entry was committed and has been pruned or trimmed since.
- The caller provides all times. A store asks the clock of its host only to find tokens above all
  earlier ones.
- A store that is not the one that was last used here is another `Generation`: its tokens begin
  above all earlier ones, and its doubt remains until `settle`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, Self, TypeVar

from agbot.events import catalogue
from agbot.events.event import COORDINATOR, DECISION_RECORD, Event, Unread
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Lease
from agbot.rules.seen_time import SeenTime
from agbot.store.records import Key, Record

_R = TypeVar("_R", bound=Record)


class StoreError(Exception):
    """The lease store has failed."""

    def parted(self) -> tuple[str, str]:
        """Return what is wrong, and what to do: where its text states that, after a semicolon."""
        problem, _, advice = str(self).rpartition("; ")
        return (problem, advice) if problem else (advice, "")


class StoreUnavailableError(StoreError):
    """The store could not be reached or did not commit.

    It is unknown whether the write has happened.
    """


class StoreRefusedError(StoreUnavailableError):
    """The database does not let us in, or lacks what an operator has to create."""


class StoreTakenError(StoreUnavailableError):
    """What a copy or a move is to write has content already. Nothing was done."""


class NotLeadingError(StoreUnavailableError):
    """Another coordinator leads, so this write was refused. It has not happened."""


class StoreLockedError(StoreError):
    """Another daemon uses this store."""


class StoreSchemaError(StoreError):
    """The store's schema is newer than this program, or damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the journal: an event with its time.

    A row may be older or newer than this program, and keeps what it says.
    """

    at: datetime
    event: str
    """`noun.verb`, the same name as in the log."""
    group: GroupId | None = None
    node: NodeId | None = None
    subject: PolicyId | None = None
    token: int | None = None
    who: str = COORDINATOR
    facts: Mapping[str, object] = field(default_factory=dict)
    """JSON values only, no secrets."""
    id: int = 0
    """Assigned by the store, rising with every entry. 0 before it is stored."""
    written_of: Event | None = field(default=None, compare=False, repr=False)
    """The event, if this process has written the row: it need not be read back to be logged."""

    @classmethod
    def of(cls, event: Event, at: datetime) -> Self:
        """Write an event as a row."""
        return cls(at=at, event=event.name, facts=event.facts, written_of=event, **event.columns)

    def read(self) -> Event | Unread:
        """Return the event; `Unread` if this program does not know it or its facts."""
        if self.written_of is not None:
            return self.written_of
        columns: dict[str, Any] = {"group": self.group, "node": self.node, "subject": self.subject, "token": self.token}
        named = {name: value for name, value in columns.items() if value is not None}
        return catalogue.read(self.event, {**named, "who": self.who}, self.facts)

    @property
    def delivered_facts(self) -> dict[str, object]:
        """The facts for other systems, without the decision record, which is large."""
        return {name: fact for name, fact in self.facts.items() if name != DECISION_RECORD}


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """The rest of a transaction: records to put, keys to drop, journal entries to append."""

    put: Sequence[Record] = ()
    drop: Sequence[Key] = ()
    entries: Sequence[Entry] = ()
    moved: Sequence[Lease] = ()
    """Leases whose wall-clock times have been shifted: written if token and state are still the
    same."""


NOTHING = Writes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The lease was not as expected; `current` is the present one."""

    current: Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Identifies the store.

    A new generation begins when an older copy or another store has replaced the one in use.
    """

    id: str = ""
    token_floor: int = 0
    """No earlier token is higher, and every later one is."""
    doubt: str = ""
    """Why the last grants are not known; empty once that is settled."""

    @property
    def replaced_at(self) -> datetime | None:
        """About when this store replaced another one; None if it has replaced none.

        Tokens begin there above the milliseconds of that moment (`generation.floor_above`).
        """
        return datetime.fromtimestamp(self.token_floor / 1000, UTC) if self.token_floor else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Everything that a coordinator loads at its start."""

    leases: Mapping[GroupId, Lease]
    generation: Generation = Generation()
    records: Sequence[Record] = ()
    """By type, in the order of `records.KEPT`, and then by key."""

    def of(self, kind: type[_R]) -> list[_R]:
        """Return the records of one type."""
        return [record for record in self.records if isinstance(record, kind)]


ENTRY_BYTES = 256
"""The approximate size of an entry without its facts: columns and indexes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalQuery:
    """The entries to read: newest first, or in order from `after` on."""

    org: str | None = None
    """Entries about this organisation: its groups, its nodes, and the holds that cover it."""
    group: GroupId | None = None
    node: NodeId | None = None
    events: tuple[str, ...] = ()
    """Only these events; if empty, all."""
    without: tuple[str, ...] = ()
    """All but these. What a newer program has written is among the others."""
    since: datetime | None = None
    after: int | None = None
    before: int | None = None
    """Only entries with a lower id: the next page, newest first."""
    limit: int = 100


Pace = Callable[[float], Awaitable[bool]]
"""Awaited between the short transactions of a long deletion, with the duration of the last in
seconds: whether to continue."""


async def at_once(_seconds: float) -> bool:
    """Continue at once."""
    return True


class Store(Protocol):
    """See the docstring of the module."""

    async def open(self) -> None:
        """Make the store ready: take the lock, check or migrate the schema.

        Raises:
            StoreLockedError: another daemon has it.
            StoreSchemaError: the schema is newer than this program.
            StoreUnavailableError: it cannot be reached.
        """

    async def close(self) -> None:
        """Finish the current write and release the lock. Closing twice is allowed."""

    async def load(self) -> Stored:
        """Load all live data, after repairing what can be repaired after a failure."""

    async def check(self) -> None:
        """Verify that writes still go to the store that was opened.

        Raises:
            StoreUnavailableError: they do not; nothing written now would be found again.
        """

    async def settle(self, entry: Entry) -> None:
        """End the doubt of the generation, with a journal entry, in one transaction."""

    async def lease(self, group: GroupId) -> Lease:
        """Read one lease; a group that has never had one has a free lease with token 0."""

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        """Replace the lease if token and state are those of `expected`, with `writes`, atomically.

        Raises:
            ValueError: `new` is of another group, its token is lower than the expected one, or it
                is a grant under a token that is not above the generation's floor.
        """

    async def write(self, writes: Writes) -> None:
        """Write records and entries in one transaction."""

    async def journal(self, query: JournalQuery) -> Sequence[Entry]:
        """Read journal entries."""

    async def last_entry_id(self) -> int:
        """Return the id of the last journal entry ever committed, even if it has been deleted.

        0 before the first.
        """

    async def cursor(self, sink: str) -> int | None:
        """Return the id of the last journal entry that this sink has confirmed.

        None if it has confirmed none.
        """

    async def save_cursor(self, sink: str, entry_id: int) -> None:
        """Save how far a sink has confirmed the journal.

        A cursor never goes back: a lower id has no effect.
        """

    async def prune(self, before: datetime, pace: Pace = at_once, *, turns: SeenTime | None = None) -> int:
        """Delete journal entries older than this, and turns older than `turns`.

        Return the number of deleted entries.

        Entries are deleted by age, confirmed or not. Cursors stay. The transactions are short, so
        that other writers do not wait; after an interruption the next call continues.
        """

    async def trim(self, most_bytes: int, pace: Pace = at_once) -> int:
        """Delete the oldest journal entries until the rest takes at most this size.

        Return the number of deleted entries.

        An entry counts as the UTF-8 bytes of its facts plus `ENTRY_BYTES`. The transactions are
        short, as in `prune`.
        """
