"""A store on PostgreSQL that several coordinators share. It implements `agbot.store.leadership`.

It has three connections, so that a renewal of the leadership waits neither for a write nor for a
long read: one for the writes of the leader, one for reads, one for the row of the leader.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agbot.rules.leadership import Announced, Candidate, Leader
from agbot.store.postgres import leading, schema
from agbot.store.postgres.address import Address
from agbot.store.postgres.channel import BATCH, Channel, RefusedError, Rows, Timeouts
from agbot.store.postgres.home import Seen
from agbot.store.postgres.term import Connections, TermStore

WRITES: Final = Timeouts(statement_ms=2000, lock_ms=1000)
"""Together less than a question may take (3 s)."""
_READS: Final = Timeouts(statement_ms=20_000, lock_ms=1000)
_LEADING: Final = Timeouts(statement_ms=2500, lock_ms=2000)
"""A new leader waits for the writes under way of the last one."""


class PostgresShared:
    """One coordinator's connections.

    Each write of a leader drops the oldest journal entries beyond `journal_bytes` (0: no limit).
    """

    def __init__(self, address: Address, *, journal_bytes: int = 0) -> None:
        self._address = address
        self._journal_bytes = journal_bytes
        self._writes = Channel(address, WRITES, batch=BATCH, purpose="writes")
        self._reads = Channel(address, _READS, purpose="reads")
        self._leading = Channel(address, _LEADING, purpose="leader")
        self.connections = Connections(address=address, writes=self._writes, reads=self._reads, seen=Seen())
        """What the store of a term uses."""
        self._term = TermStore(self.connections, 0)

    async def open(self) -> None:
        """Create, migrate and check the schema."""
        await schema.prepare(self._address)
        for channel in (self._writes, self._reads, self._leading):
            channel.open()

    async def close(self) -> None:
        """Finish what is queued, and close all connections."""
        for channel in (self._writes, self._reads, self._leading):
            await channel.close()

    async def size_bytes(self) -> int:
        """Return the size of all tables of the schema, with their indexes."""
        try:
            (rows,) = await self._reads.run(schema.SIZE)
        except RefusedError as error:
            raise self._address.unavailable("read the size of", error.error) from error
        return int(rows[0]["bytes"])

    async def current(self) -> Leader | None:
        """Read the row of the leader."""
        (rows,) = await self._run(leading.CURRENT)
        return leading.leader(rows[0]) if rows else None

    async def take(self, candidate: Candidate, ttl_seconds: float) -> Leader:
        """Take the leadership if it may be taken."""
        _, rows = await self._run(leading.take(candidate, ttl_seconds), leading.CURRENT)
        return leading.leader(rows[0])

    async def renew(self, epoch: int, ttl_seconds: float) -> bool:
        """Let the row expire later."""
        return bool((await self._run(leading.renew(epoch, ttl_seconds)))[0])

    async def give_up(self, epoch: int, *, reserved_for: str = "", reserved_seconds: float = 0.0) -> bool:
        """Let the row expire at once."""
        return bool((await self._run(leading.give_up(epoch, reserved_for, reserved_seconds)))[0])

    async def announce(self, candidate: Candidate) -> None:
        """Note that this coordinator lives."""
        await self._run(leading.announce(candidate), leading.FORGET)

    async def announced(self) -> Sequence[Announced]:
        """Read all coordinators."""
        (rows,) = await self._run(leading.ANNOUNCED)
        return [leading.announced(row) for row in rows]

    async def withdraw(self, candidate: Candidate) -> None:
        """Forget this run of this coordinator."""
        await self._run(leading.withdraw(candidate))

    def under(self, epoch: int) -> TermStore:
        """Return the store as the leader of this epoch uses it, the same for each call."""
        if self._term.epoch != epoch:
            term = TermStore(self.connections, epoch, journal_bytes=self._journal_bytes)
            if epoch == 0:  # no leader has it: it only reads
                return term
            self._term = term
        return self._term

    async def _run(self, *statements: str) -> list[Rows]:
        try:
            return await self._leading.run(*statements)
        except RefusedError as error:
            raise self._address.unavailable("read or write the leader's row in", error.error) from error
