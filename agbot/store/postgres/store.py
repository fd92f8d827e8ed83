"""The store on PostgreSQL for one coordinator that shares it with no other.

It leads as long as it is open: a second one is refused, as by the lock of a file.
"""

from __future__ import annotations

import os
import socket
import uuid
from typing import Final

from agbot.rules.leadership import Candidate
from agbot.store.contract import NotLeadingError, StoreLockedError
from agbot.store.postgres.address import Address
from agbot.store.postgres.shared import PostgresShared
from agbot.store.postgres.term import TermStore

_TTL_SECONDS: Final = 60.0
"""How long after the end of a process by `kill -9` the store is taken; every check renews it."""


class PostgresStore(TermStore):
    """The store at an address."""

    def __init__(self, address: Address, *, journal_bytes: int = 0) -> None:
        self._shared = PostgresShared(address, journal_bytes=journal_bytes)
        self._candidate = Candidate(name=f"{socket.gethostname()}/{os.getpid()}", run=uuid.uuid4().hex)
        self._is_leading = False
        super().__init__(self._shared.connections, 0, journal_bytes=journal_bytes)

    async def open(self) -> None:
        """Prepare the schema and take the leadership."""
        await self._shared.open()
        try:
            # a fence of a former opening has an epoch that is over
            self.epoch, self._fence = await self._taken(), None
            self._is_leading = True
            await self._ready()
        except BaseException:
            await self.close()
            raise

    async def _taken(self) -> int:
        leader = await self._shared.take(self._candidate, _TTL_SECONDS)
        if leader.run == self._candidate.run:
            return leader.epoch
        message = (
            f"{self._address} is in use by {leader.name}, which leads for {leader.left_seconds:.0f} s more if it has ended without"
            " stopping; stop that one first, or set another [store] schema for this one"
        )
        raise StoreLockedError(message)

    async def close(self) -> None:
        """Give up the leadership and close the connections."""
        try:
            if self._is_leading:
                self._is_leading = False
                await self._writes.settled()
                await self._shared.give_up(self.epoch)
        finally:
            await self._shared.close()

    async def check(self) -> None:
        """Renew the leadership, and look whether the store is the one that was loaded."""
        if not await self._shared.renew(self.epoch, _TTL_SECONDS):
            message = f"refused to go on under epoch {self.epoch}: another coordinator has taken the store"
            raise NotLeadingError(message)
        await super().check()
