"""The size of the store, for the metrics.

A scrape waits for nothing, so the size is read beside it: a database may not answer, and a disk
that hangs must not keep the event loop.
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
"""How often the size of a database is read, for which it looks at every table."""
_FILES_SECONDS: Final = 5.0
"""The same for files, which costs next to nothing."""


class StoreSize:
    """The size of a file, or of a shared store."""

    def __init__(self, path: Path, shared: SharedStore | None, clock: Clock) -> None:
        self._path = path
        self._shared = shared
        self._clock = clock
        self._found: Mapping[str, float] = {}

    def bytes(self) -> Mapping[str, float]:
        """Return the sizes by what they are of, as last read; nothing if that was not possible."""
        return self._found

    async def watch(self) -> None:
        """Read the size again and again."""
        while True:
            self._found = await self._read()
            await self._clock.sleep(_FILES_SECONDS if self._shared is None else READ_SECONDS)

    async def _read(self) -> Mapping[str, float]:
        if self._shared is None:
            return await asyncio.to_thread(sizes, self._path)
        try:
            return {"schema": await self._shared.size_bytes()}
        except StoreUnavailableError:
            return {}
