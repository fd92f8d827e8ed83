"""A start that takes long because of its store: systemd waits, and hears what the daemon is at."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import pytest

from agbot.clock import SystemClock
from agbot.daemon import starting
from agbot.daemon.notify import Notifier
from agbot.settings.model import StoreSettings
from agbot.store.contract import StoreUnavailableError
from agbot.store.memory import MemoryStore
from agbot.store.sqlite import SqliteStore
from tests.acceptance.systemd import Systemd, systemd
from tests.contract.values import NOW
from tests.support.clocks import LoopClock
from tests.support.old_entries import fill
from tests.support.patience import PATIENCE_SECONDS
from tests.support.virtual_time import in_virtual_time

SMALL = StoreSettings(path=Path("nothing-there.db"))


class SlowStore(MemoryStore):
    """Takes as long as a large file on a slow disk."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    async def open(self) -> None:
        await asyncio.sleep(self.seconds)
        await super().open()


async def while_listened_to(manager: Systemd, opening: asyncio.Task[None], most_seconds: int) -> int:
    """Read what comes as it comes: a socket that no one reads takes ten messages.

    Return how often more time was asked for.
    """
    for _ in range(most_seconds):
        manager.listen()
        if opening.done():
            break
        await asyncio.sleep(1)
    return len(manager.stated("EXTEND_TIMEOUT_USEC"))


@in_virtual_time
async def test_a_store_that_opens_slowly_has_systemd_wait_and_say_what_it_is_at() -> None:
    with systemd() as manager:
        work = starting.opened(SlowStore(100), SMALL, Notifier(manager.environ), LoopClock())
        asked = await while_listened_to(manager, asyncio.create_task(work), 200)

        assert 40 < asked < 60
        assert set(manager.stated("EXTEND_TIMEOUT_USEC")) == {"30000000"}
        assert manager.stated("STATUS")[5] == "has been opening the store (0 MB) for 12 s"


@in_virtual_time
async def test_a_store_that_opens_at_once_asks_for_no_time() -> None:
    with systemd() as manager:
        await starting.opened(SlowStore(1), SMALL, Notifier(manager.environ), LoopClock())

        assert manager.listen() == []


@in_virtual_time
async def test_a_store_that_never_opens_is_not_waited_for_forever() -> None:
    with systemd() as manager:
        work = starting.opened(SlowStore(1e9), SMALL, Notifier(manager.environ), LoopClock())
        opening = asyncio.create_task(work)
        asked = await while_listened_to(manager, opening, 200)

        assert 50 < asked == await while_listened_to(manager, opening, 2000)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)


async def test_a_real_file_says_which_part_of_its_opening_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "agbot.db"
    new = SqliteStore(path)
    await new.open()
    await new.close()
    fill(path, 10_000, NOW - timedelta(days=90))
    monkeypatch.setattr(starting, "_REPORT_SECONDS", 0.001)

    class Slow(SqliteStore):
        """Each part of its opening takes until it has been reported."""

        def _does(self, doing: str) -> None:
            super()._does(doing)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not any(doing in stated for stated in manager.stated("STATUS")) and time.monotonic() < deadline:
                time.sleep(0.001)

    with systemd() as manager:
        store = Slow(path)
        await starting.opened(store, StoreSettings(path=path), Notifier(manager.environ), SystemClock())
        await store.close()

        assert any(
            "the store (5" in stated and "checking its integrity" in stated for stated in manager.stated("STATUS")
        )


@in_virtual_time
async def test_a_store_that_fails_after_a_while_is_named_with_its_setting() -> None:
    class Failing(MemoryStore):
        async def open(self) -> None:
            await asyncio.sleep(50)
            message = "could not open it"
            raise StoreUnavailableError(message)

    with systemd() as manager, pytest.raises(StoreUnavailableError, match=r"^\[store\] path: could not open it$"):
        await starting.opened(Failing(), SMALL, Notifier(manager.environ), LoopClock())
