"""Between the decision of a grant and its commit nothing is written that would have decided it otherwise: a hold, a brake.

A grant is decided and handed to the store in one step of the event loop, behind `opened`. Who writes a stop closes the gate, waits for the
grants that are on their way to the store, and opens it when the stop is in the ledger. So whoever was told that a hold is set is told of no
grant after it that was decided before it, whatever the store does with two writes at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agbot.rules.facts import Approval, Brake, Pause
from agbot.store.contract import Writes


def stops(writes: Writes) -> bool:
    """Tell whether these writes can turn a yes into a no: a person's hold, a brake, an approval that is taken back."""
    return any(isinstance(each, Pause | Brake) for each in writes.put) or any(key.of is Approval for key in writes.drop)


class Gate:
    """Open for grants unless a stop is being written."""

    def __init__(self) -> None:
        self._stops = 0
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._granting: set[asyncio.Task[Any]] = set()

    async def opened(self) -> None:
        """Wait until no stop is being written. Decide and call `passing` without waiting for anything after this."""
        while self._stops:
            await self._is_open.wait()

    def passing(self, grant: asyncio.Task[Any]) -> None:
        """Take down a grant on its way to the store; it counts until it has ended, also if nobody waits for it any more."""
        self._granting.add(grant)
        grant.add_done_callback(self._granting.discard)

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """Let no grant pass, and wait for those that have."""
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
