"""The size of the store, for the metrics.

A scrape waits for nothing, so the size of a database is read beside it, once a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agbot.clock import Clock
from agbot.store.contract import StoreUnavailableError
from agbot.store.files import sizes
from agbot.store.leadership import SharedStore

READ_SECONDS: Final = 60.0


class StoreSize:
    """The size of a file, or of a shared store."""

    def __init__(self, path: Path, shared: SharedStore | None, clock: Clock) -> None:
        self._path = path
        self._shared = shared
        self._clock = clock
        self._found: Mapping[str, float] = {}

    def bytes(self) -> Mapping[str, float]:
        """Return the sizes by what they are of; of a database that cannot be read, nothing."""
        return sizes(self._path) if self._shared is None else self._found

    async def watch(self) -> None:
        """Read the size of a database again and again."""
        while self._shared is not None:
            try:
                self._found = {"schema": await self._shared.size_bytes()}
            except StoreUnavailableError:
                self._found = {}
            await self._clock.sleep(READ_SECONDS)
        await asyncio.Event().wait()
