"""The store on PostgreSQL as the leader of one epoch uses it. It implements `contract`.

Every write carries the epoch, and is refused in its own transaction when another leads. Before the
first write, and with every load, the leader makes sure where the store is (`home`).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from agbot.rules.ids import GroupId
from agbot.rules.lease import Lease
from agbot.rules.seen_time import SeenTime
from agbot.store import statements as tables
from agbot.store.codec import ENTRIES, LEASES, RECORDS
from agbot.store.contract import (
    NOTHING,
    Entry,
    Generation,
    JournalQuery,
    Lost,
    NotLeadingError,
    Pace,
    Stored,
    StoreUnavailableError,
    Writes,
    at_once,
)
from agbot.store.postgres import home, leading, shortening, statements
from agbot.store.postgres.address import Address
from agbot.store.postgres.channel import Channel, RefusedError, Rows, Timeouts
from agbot.store.postgres.home import Seen
from agbot.store.postgres.quoting import filled, originals
from agbot.store.postgres.statements import Fence, Rest
from agbot.store.queries import QUERIES, journal_read
from agbot.store.records import KEPT, Record
from agbot.store.shortening import MORE_THAN_ADDED, in_batches
from agbot.store.swaps import is_first, refuse_impossible
from agbot.store.texts import seen_stamp, stamp

# it waits for the row of the leader, which a write under way may lock for 2 s (`shared.WRITES`)
_LOADING: Final = Timeouts(statement_ms=60_000, lock_ms=2500)
_ABOUT: Final = "COALESCE(group_id, node_id, scope)"
_CURSOR: Final = """INSERT INTO delivery_cursor (sink, confirmed_id) SELECT :sink, :confirmed_id FROM done
 ON CONFLICT (sink) DO UPDATE SET confirmed_id = greatest(delivery_cursor.confirmed_id, excluded.confirmed_id)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """What the stores of all terms of a process share."""

    address: Address
    writes: Channel
    reads: Channel
    seen: Seen


class TermStore:
    """The store of one term."""

    def __init__(self, connections: Connections, epoch: int, *, journal_bytes: int = 0) -> None:
        self._address = connections.address
        self._writes = connections.writes
        self._reads = connections.reads
        self._seen = connections.seen
        self._journal_bytes = journal_bytes
        self._bytes = 0
        self._fence: Fence | None = None
        self._generation = Generation()
        self._recognising = asyncio.Lock()
        self.epoch = epoch

    @property
    def commits(self) -> int:
        """The number of committed transactions; fewer than writes, because callers share some."""
        return self._writes.commits

    async def open(self) -> None:
        """Do nothing: the shared store is open."""

    async def close(self) -> None:
        """Do nothing: the shared store stays open."""

    async def load(self) -> Stored:
        """Load everything except the journal, after every write under way has come to its end."""
        async with self._recognising:
            loads = (QUERIES["lease.all"], *(tables.TABLES[kept.of].all for kept in KEPT.values()))
            rows = await self._recognise(*loads)
            # tens of thousands of rows would keep the loop from everything else for a second
            leases, records = await asyncio.to_thread(_content, rows)
            return Stored(leases=leases, generation=self._generation, records=records)

    async def check(self) -> None:
        """Look whether this coordinator still leads, on the server that was loaded."""
        fence = await self._ready()
        await self._judged(self._writes, statements.fenced(fence))

    async def settle(self, entry: Entry) -> None:
        """End the doubt, with a journal entry."""
        rest = Rest.of(Writes(entries=[entry]))
        settled = "UPDATE generation SET doubt = '' FROM done"
        await self._written(replace(rest, parts=(settled,)))

    async def lease(self, group: GroupId) -> Lease:
        """Read one lease."""
        rows = await self._read(filled(QUERIES["lease.one"], {"group_id": group}))
        return LEASES.value(rows[0], "lease") if rows else Lease(group=group)

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        """Compare and set the lease with its writes, in one statement."""
        fence = await self._ready()
        refuse_impossible(expected, new, self._generation.token_floor)
        written, rest = statements.after_swap(new, writes)
        parts = Rest.of(rest, self._cut(rest))
        swap = statements.swap(fence, expected, written, parts, may_be_first=is_first(expected))
        if not await self._judged(self._writes, swap, is_grant=new.token > expected.token):
            return Lost(current=await self.lease(expected.group))
        self._seen.token = max(self._seen.token, new.token)
        return new

    async def write(self, writes: Writes) -> None:
        """Write records and entries in one transaction."""
        await self._written(Rest.of(writes, self._cut(writes)))

    async def journal(self, query: JournalQuery) -> Sequence[Entry]:
        """Read journal entries."""
        statement, row = journal_read(query, _ABOUT)
        return [ENTRIES.value(found, "journal entry") for found in await self._read(filled(statement, row))]

    async def last_entry_id(self) -> int:
        """Return the last id."""
        return int((await self._read("SELECT id FROM journal_end"))[0]["id"])

    async def cursor(self, sink: str) -> int | None:
        """Read how far a sink has confirmed the journal."""
        rows = await self._read(filled(QUERIES["cursor.one"], {"sink": sink}))
        return int(rows[0]["confirmed_id"]) if rows else None

    async def save_cursor(self, sink: str, entry_id: int) -> None:
        """Advance a sink's cursor."""
        await self._part(filled(_CURSOR, {"sink": sink, "confirmed_id": entry_id}))

    async def prune(self, before: datetime, pace: Pace = at_once, *, turns: SeenTime | None = None) -> int:
        """Delete older entries and turns, in batches."""
        if turns is not None:
            older = {"before": seen_stamp(turns)}
            await self._part(filled("DELETE FROM turn USING done WHERE until < :before", older))
        return await self._shortened(shortening.Pruning(stamp(before)), pace)

    async def trim(self, most_bytes: int, pace: Pace = at_once) -> int:
        """Delete the oldest entries beyond the limit, in batches."""
        await self.check()
        return await self._shortened(shortening.Trimming(most_bytes), pace)

    async def _shortened(self, work: shortening.Work, pace: Pace) -> int:
        return await in_batches(work, self._batch, pace)

    async def _batch(self, work: shortening.Work, stretch: int) -> tuple[int, shortening.Work | None]:
        batch = await work.next(self._read, stretch)
        if batch.parts:
            await self._part(*batch.parts)
        return batch.gone, batch.rest

    def _cut(self, writes: Writes) -> int:
        """Return how many of the oldest entries go with a write: more than it adds, if too many."""
        is_too_large = self._journal_bytes and self._bytes > self._journal_bytes
        return len(writes.entries) + MORE_THAN_ADDED if is_too_large else 0

    async def _part(self, *parts: str) -> None:
        await self._judged(self._writes, statements.fenced(await self._ready(), *parts))

    async def _written(self, rest: Rest) -> None:
        await self._judged(self._writes, *statements.write(await self._ready(), rest))

    async def _ready(self) -> Fence:
        """Return the fence of the writes, after the store was recognised."""
        if self._fence is None:
            async with self._recognising:
                if self._fence is None:
                    await self._recognise()
        assert self._fence is not None  # noqa: S101 - recognised just now
        return replace(self._fence, known=self._seen.entry)

    async def _recognise(self, *more: str) -> list[Rows]:
        """Find out where the store is, and begin a new generation if it is not the one last used.

        Return the rows of `more` statements of the same transaction.
        """
        # another name with each load: a write that a network has held back carries the former one,
        # and is refused when it arrives (decision 33)
        writer = uuid.uuid4().hex
        results = await self._run(self._writes, *home.look(self.epoch, writer), *more, timeouts=_LOADING)
        here = home.found(results[:4])
        if here is None:
            raise await self._not_leading()
        new = home.next_generation(here, self._seen)
        self._seen.entry, self._seen.token = here.entry, max(here.token, self._seen.token)
        self._bytes = here.bytes
        fence = Fence(epoch=self.epoch, writer=writer, timeline=here.timeline, known=here.entry)
        if new is not None:
            await self._judged(self._writes, statements.fenced(fence, home.begin(new, here.home)))
        self._generation = new or here.stored or Generation()
        self._fence = fence
        return results[4:]

    async def _judged(self, channel: Channel, *fenced: str, is_grant: bool = False) -> bool:
        """Send fenced statements; return whether they were carried out.

        False if a lease was not as expected.

        Raises:
            NotLeadingError: another leads.
            StoreUnavailableError: the store is not the one that was loaded, or its clock went back.
        """
        outcome: dict[str, Any] = {}
        for (row,) in await self._run(channel, *fenced):
            outcome = row  # all statements of a transaction pass the same fence, which locks the row
            self._seen.entry = max(self._seen.entry, row["last"] or 0)
            self._bytes = row["bytes"] or self._bytes
        if not outcome["leads"]:
            raise await self._not_leading()
        if not outcome["is_home"]:
            message = (
                f"{self._address} is not what was loaded: a replica was promoted or a copy restored; it is loaded again"
            )
            raise StoreUnavailableError(message)
        if is_grant and outcome["behind"] > 0:
            message = (
                f"the clock of {self._address} has gone back, and nothing is granted for {outcome['behind']:.1f} s, until it is as"
                " late again as it was"
            )
            raise StoreUnavailableError(message)
        return bool(outcome["done"])

    async def _not_leading(self) -> StoreUnavailableError:
        (rows,) = await self._run(self._reads, leading.CURRENT)
        # the epoch is still ours, so it was the writer's name
        if rows and rows[0]["epoch"] == self.epoch:
            return StoreUnavailableError(f"{self._address} was loaded again while this was being written")
        by = f"{rows[0]['name']} leads since epoch {rows[0]['epoch']}" if rows else "none leads"
        return NotLeadingError(f"refused a write of epoch {self.epoch}: {by}")

    async def _read(self, statement: str) -> Rows:
        """Read what is there after the writes that were begun before."""
        await self._writes.settled()
        (rows,) = await self._run(self._reads, statement)
        return [originals(row) for row in rows]

    async def _run(self, channel: Channel, *run: str, timeouts: Timeouts | None = None) -> list[Rows]:
        try:
            return await channel.run(*run, timeouts=timeouts)
        except RefusedError as error:
            raise self._address.unavailable("read or write", error.error) from error


def _content(results: Sequence[Rows]) -> tuple[dict[GroupId, Lease], list[Record]]:
    """Read the leases and the records, in a thread of its own."""
    found, *others = ([originals(row) for row in rows] for rows in results)
    leases = [LEASES.value(row, "lease") for row in found]
    tables = zip(KEPT.values(), others, strict=True)
    records = [RECORDS[kept.of].value(row, kept.table) for kept, rows in tables for row in rows]
    return {lease.group: lease for lease in leases}, records
