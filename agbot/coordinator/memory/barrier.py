"""Orders grants and stops: no hold or brake is written between a grant's decision and its commit.

A grant is decided and handed to the store in one step of the event loop, after `opened_after`. A
write of a stop closes the barrier, waits for the grants that are on their way to the store, and
opens it when the stop is in the ledger. So after a hold has been confirmed, no grant is reported
that was decided before it, in whatever order the store handles two concurrent writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from agbot.rules.records import Allowance, Approval, Brake, Hold
from agbot.store.contract import Writes


def stops(writes: Writes) -> bool:
    """Whether these writes can turn a grant into a refusal.

    A hold, a brake and the withdrawal of an approval or allowance can.
    """
    # a new allowance has the key of the one before it, which a grant on its way would drop
    is_put = any(isinstance(each, Hold | Brake | Allowance) for each in writes.put)
    return is_put or any(key.of in {Approval, Allowance} for key in writes.drop)


class Barrier:
    """Open for grants unless a stop is being written."""

    def __init__(self) -> None:
        self._stops = 0
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._granting: set[asyncio.Task[Any]] = set()

    async def opened_after(self, verify: Callable[[], Awaitable[None]]) -> None:
        """Verify a grant, until no stop is being written after that.

        The caller must not await between this and `passing`.
        """
        await verify()
        while self._stops:
            await self._is_open.wait()
            # what was read before has grown old for as long as the store took to write the stop
            await verify()

    def passing(self, grant: asyncio.Task[Any]) -> None:
        """Note a grant on its way to the store.

        It counts until it ends, even if its caller is gone.
        """
        self._granting.add(grant)
        grant.add_done_callback(self._granting.discard)

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """Let no grant pass, after waiting for those that have passed."""
        self._stops += 1
        self._is_open.clear()
        try:
            if self._granting:
                await asyncio.wait(self._granting)
            yield
        finally:
            self._stops -= 1
            if not self._stops:
                self._is_open.set()
