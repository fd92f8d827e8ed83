"""The size of a shared store is read beside the scrapes, which wait for nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from agbot.daemon.store_size import READ_SECONDS, StoreSize
from tests.support.clocks import LoopClock
from tests.support.shared_memory import SharedContent, SharedMemoryStore
from tests.support.virtual_time import in_virtual_time


class Grown(SharedMemoryStore):
    """A store that takes room."""

    takes = 1000

    async def size_bytes(self) -> int:
        await super().size_bytes()
        return self.takes


@in_virtual_time
async def test_the_size_of_a_database_is_at_most_a_minute_old_and_missing_while_it_cannot_be_read() -> None:
    store = Grown(SharedContent(now=lambda: datetime(2026, 3, 4, tzinfo=UTC)))
    size = StoreSize(Path("/nowhere"), store, LoopClock())
    watching = asyncio.create_task(size.watch())
    await asyncio.sleep(1)
    assert size.bytes() == {"schema": 1000}

    store.takes = 2000
    await asyncio.sleep(READ_SECONDS)
    assert size.bytes() == {"schema": 2000}

    store.is_cut = True
    await asyncio.sleep(READ_SECONDS)
    assert size.bytes() == {}

    store.is_cut = False
    await asyncio.sleep(READ_SECONDS)
    assert size.bytes() == {"schema": 2000}
    watching.cancel()


def test_the_size_of_a_file_is_that_of_this_moment(tmp_path: Path) -> None:
    size = StoreSize(tmp_path / "agbot.db", None, LoopClock())
    assert size.bytes() == {}
    (tmp_path / "agbot.db").write_bytes(b"x" * 10)
    assert size.bytes() == {"main": 10}
