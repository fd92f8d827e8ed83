"""The size of the store is read beside the scrapes, which wait for nothing."""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agbot.clock import SystemClock
from agbot.daemon.store_size import READ_SECONDS, StoreSize
from tests.support.clocks import LoopClock
from tests.support.patience import PATIENCE_SECONDS, until
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


async def test_a_scrape_does_not_wait_for_a_disk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, may_end, stat = tmp_path / "agbot.db", threading.Event(), Path.stat
    file.write_bytes(b"x" * 10)

    def hang(path: Path, **how: bool) -> os.stat_result:
        assert threading.current_thread() is not threading.main_thread(), "the event loop has read the disk"
        assert may_end.wait(PATIENCE_SECONDS)
        return stat(path, **how)

    size = StoreSize(file, None, SystemClock())
    monkeypatch.setattr(Path, "stat", hang)
    watching = asyncio.create_task(size.watch())
    await asyncio.sleep(0)
    assert size.bytes() == {}

    may_end.set()
    await until("the disk answers", size.bytes)
    assert size.bytes() == {"main": 10}
    watching.cancel()
