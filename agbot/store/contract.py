"""What a lease store promises. One contract, one test suite (`tests/contract`), several implementations.

- `swap` is compare and set: it replaces a lease only if the stored one still has the expected token and state. A lost race is a value
  (`Lost`, with the lease that stands there now), never an error. The records and journal entries given with it are written in the same
  transaction, or not at all. The stored token never goes back: a swap to a lower token is refused as a programming error.
- Whatever a call has returned from is durable: it survives `kill -9` and the loss of power.
- An unreachable, full, locked or broken store raises `StoreUnavailableError`. After that error the write may or may not have happened;
  the caller reads the lease again before it decides anything. Every write here may be repeated without harm.
- A cancelled caller leaves no open transaction behind.
- The journal is the outbox of what other systems are told. Ids rise in the order of commits: once an entry can be read, no entry with a
  lower id appears any more. Whoever reads `after` the last id that it has seen therefore misses nothing.
- Ids are counted without a gap: a write that was lost, refused or rolled back uses none up. Whoever finds one missing therefore knows that
  this entry was committed and has been pruned or trimmed since.
- Times are given by the caller; a store never asks the clock of its host, but to find tokens that are higher than all earlier ones.
- A store that is not the one that was last used here is another `Generation`: its tokens begin above all earlier ones, and its doubt stays
  until `settle`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol, TypeVar

from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Lease
from agbot.store.records import Key, Record

R = TypeVar("R", bound=Record)

DOSSIER: Final = "dossier"
"""Under this name the facts of an entry hold what a decision was made on: for the history, and left out wherever an entry is told on."""


class StoreError(Exception):
    """The lease store failed."""


class StoreUnavailableError(StoreError):
    """The store could not be reached or did not commit; whether the write happened is unknown."""


class StoreLockedError(StoreError):
    """Another daemon uses this store."""


class StoreSchemaError(StoreError):
    """The store's schema is newer than this program, or damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the journal: a decision or a change, with what it rested on."""

    at: datetime
    event: str
    """`noun.verb`, the same name as in the log."""
    group: GroupId | None = None
    node: NodeId | None = None
    subject: PolicyId | None = None
    token: int | None = None
    who: str = "coordinator"
    facts: Mapping[str, object] = field(default_factory=dict)
    """JSON values only, no secrets."""
    id: int = 0
    """Given by the store: rises with every entry. 0 before it is stored."""

    @property
    def told(self) -> dict[str, object]:
        """The facts for whoever is told of it: without the dossier, which is kilobytes, and for the history."""
        return {name: fact for name, fact in self.facts.items() if name != DOSSIER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """What goes into one transaction beside a lease: records to put (by their key), keys to drop, journal entries to append."""

    put: Sequence[Record] = ()
    drop: Sequence[Key] = ()
    entries: Sequence[Entry] = ()
    moved: Sequence[Lease] = ()
    """Leases of which only times of the wall clock differ: written where token and state are still the same."""


NOTHING = Writes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The lease was not as expected; this is how it stands."""

    current: Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Which store this is. Another one begins when an older copy, or another store, has been put in the place of the one in use."""

    id: str = ""
    token_floor: int = 0
    """No token that was ever given here is higher; every coming one is."""
    doubt: str = ""
    """Why it is not known what was granted last; empty once that is settled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Everything a coordinator needs at its start."""

    leases: Mapping[GroupId, Lease]
    generation: Generation = Generation()
    records: Sequence[Record] = ()
    """By type, in the order of `records.KEPT`, and then by key."""

    def of(self, kind: type[R]) -> list[R]:
        """Return the records of one type."""
        return [record for record in self.records if isinstance(record, kind)]


ENTRY_BYTES = 256
"""What an entry takes beside its facts: columns and indexes, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalQuery:
    """Which entries to read: the newest first, or from `after` on in order."""

    org: str | None = None
    """What concerns this organisation: its groups, its nodes, and the holds that cover it."""
    group: GroupId | None = None
    node: NodeId | None = None
    events: tuple[str, ...] = ()
    """Only these; none given: all."""
    since: datetime | None = None
    after: int | None = None
    before: int | None = None
    """Only entries with a lower id: reads on where the newest came first."""
    limit: int = 100


Pace = Callable[[float], Awaitable[bool]]
"""Awaited between two short transactions of a long deletion, with the seconds that the last one took: whether to go on."""


async def at_once(_seconds: float) -> bool:
    """Go on without a pause."""
    return True


class Store(Protocol):
    """See the module's text for the promises."""

    async def open(self) -> None:
        """Make the store ready: take the lock, check or migrate the schema.

        Raises:
            StoreLockedError: another daemon has it.
            StoreSchemaError: the schema is newer than this program.
            StoreUnavailableError: it cannot be reached.
        """

    async def close(self) -> None:
        """Finish the write under way and let go of the lock. Closing twice is fine."""

    async def load(self) -> Stored:
        """Read everything that is live; first mend what can be mended after a failure."""

    async def check(self) -> None:
        """Make sure that what is written still is the store that was opened.

        Raises:
            StoreUnavailableError: it is not; nothing that is written now would be found again.
        """

    async def settle(self, entry: Entry) -> None:
        """End the doubt of the generation, with the entry that says who ended it and why, in one transaction."""

    async def lease(self, group: GroupId) -> Lease:
        """Read one lease; a group that never had one has a free lease with token 0."""

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        """Replace the lease if its token and state are still those of `expected`, with `writes`, in one transaction.

        Raises:
            ValueError: `new` is of another group, its token is lower than the expected one, or it is a grant under a token that is not
                above the generation's floor.
        """

    async def write(self, writes: Writes) -> None:
        """Write records and entries in one transaction."""

    async def journal(self, query: JournalQuery) -> Sequence[Entry]:
        """Read journal entries."""

    async def last_entry_id(self) -> int:
        """Return the id of the newest journal entry that was ever committed, also if it is gone by now; 0 before the first."""

    async def cursor(self, sink: str) -> int | None:
        """Return the id of the last journal entry that this sink has confirmed; None for a sink that has never confirmed any."""

    async def save_cursor(self, sink: str, entry_id: int) -> None:
        """Take down how far a sink has confirmed the journal. A cursor never goes back: a lower id changes nothing."""

    async def prune(self, before: datetime, pace: Pace = at_once) -> int:
        """Delete journal entries older than this and served marks older than this; return how many entries went.

        Entries go whether every sink has confirmed them or not: their age is what is promised to the sinks. Cursors stay. Short
        transactions, so that nobody waits for it; whatever cuts it off, the next call goes on from there.
        """

    async def trim(self, most_bytes: int, pace: Pace = at_once) -> int:
        """Delete the oldest journal entries until what is left takes at most this much; return how many went.

        An entry takes the UTF-8 bytes of its facts and `ENTRY_BYTES` for the rest. Short transactions, as in `prune`.
        """
