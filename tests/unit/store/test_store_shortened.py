"""A large journal becomes short while the store is in use: no one waits for it, and a bound in bytes is never exceeded."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agbot.rules.lease import Lease
from agbot.store import shortening
from agbot.store.contract import ENTRY_BYTES, JournalQuery, Writes
from agbot.store.sqlite import SqliteStore
from tests.contract import values
from tests.contract.values import GROUP, NOW
from tests.support.examples import some
from tests.support.old_entries import FACTS_BYTES, fill
from tests.support.patience import allowed_seconds

OLD = NOW - timedelta(days=90)
FREE = Lease(group=GROUP)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agbot.db"


@pytest.fixture(params=[4_000])
async def store(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[SqliteStore]:
    """A store with so many old entries of 5 kB."""
    new = SqliteStore(path)
    await new.open()
    await new.close()
    fill(path, request.param, OLD)
    opened = SqliteStore(path)
    await opened.open()
    yield opened
    await opened.close()


async def as_long_again(took_seconds: float) -> bool:
    await asyncio.sleep(max(took_seconds, 0.005))
    return True


async def granted_meanwhile(store: SqliteStore, shortening_task: asyncio.Task[int]) -> list[float]:
    """Grant and release until the task has ended; return how long each commit took."""
    lease, took = await store.lease(GROUP), []
    while not shortening_task.done():
        new = values.granted(lease) if lease.tenure is None else values.released(lease)
        began = time.perf_counter()
        assert await store.swap(lease, new, Writes(entries=[values.entry()])) == new
        took.append(time.perf_counter() - began)
        lease = new
        await asyncio.sleep(0.002)
    return took


def median(numbers: list[float]) -> float:
    return sorted(numbers)[len(numbers) // 2]


@pytest.mark.parametrize(
    ("way", "store"), some([("prune", 20_000), ("trim", 4_000)], every=2, first=1), indirect=["store"]
)
async def test_grants_wait_for_one_stretch_at_most_while_a_large_journal_is_shortened(
    store: SqliteStore, path: Path, way: str
) -> None:
    idle = asyncio.create_task(asyncio.sleep(1.0, 0))
    alone = await granted_meanwhile(store, idle)
    began = time.perf_counter()
    work = store.prune(NOW, as_long_again) if way == "prune" else store.trim(1_000_000, as_long_again)
    task = asyncio.create_task(work)
    meanwhile = await granted_meanwhile(store, task)
    took = time.perf_counter() - began
    wal = path.with_name("agbot.db-wal").stat().st_size

    figures = (
        f"{way}: {task.result()} entries in {took:.1f} s; a grant took {median(alone) * 1000:.1f} ms alone and "
        f"{median(meanwhile) * 1000:.1f} ms meanwhile, {max(meanwhile) * 1000:.0f} ms at most; log {wal / 1e6:.1f} MB"
    )
    assert task.result() > 3_700
    assert len(meanwhile) > 20
    assert median(meanwhile) < 5 * median(alone) + allowed_seconds(shortening.AIM_SECONDS), figures
    assert max(meanwhile) < max(allowed_seconds(20 * shortening.AIM_SECONDS), took / 5), figures
    assert wal < 40_000_000, figures


async def test_a_deletion_that_is_cut_off_goes_on_where_it_was(store: SqliteStore) -> None:
    stretches = 0

    async def twice(_seconds: float) -> bool:
        nonlocal stretches
        stretches += 1
        return stretches < 2

    first = await store.prune(NOW, twice)

    assert 0 < first < 1_000
    assert first + await store.prune(NOW) == 4_000


async def test_while_somebody_reads_the_store_its_log_does_not_grow_without_a_bound(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # SQLite moves the log into the file from 1000 pages of 4 kB on: only a longer one reports that
    # somebody keeps it from that
    monkeypatch.setattr(shortening, "LONGEST_LOG_BYTES", 5_000_000)
    monkeypatch.setattr(shortening, "LONGEST_STRETCH", 512)  # a fast disk's last batch alone could be 8 MB
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM journal").fetchone()
        first = await store.prune(NOW)
        second = await store.prune(NOW)
        log_bytes = path.with_name("agbot.db-wal").stat().st_size

    assert 0 < second < first < 4_000
    assert log_bytes < 12_000_000
    assert first + second + await store.prune(NOW) == 4_000


async def test_an_old_entry_behind_newer_ones_is_found_all_the_same(path: Path) -> None:
    """A clock that was wrong for an hour leaves dates out of order."""
    store = SqliteStore(path)
    await store.open()
    dates = [NOW, NOW - timedelta(days=2), NOW + timedelta(days=4000), NOW - timedelta(days=3), NOW]
    await store.write(Writes(entries=[replace(values.entry(), at=at) for at in dates * 100]))

    assert await store.prune(NOW - timedelta(days=1)) == 200
    assert len(await store.journal(JournalQuery(limit=1000))) == 300
    await store.close()


async def test_a_bound_in_bytes_is_never_exceeded_by_whoever_writes_a_lot(path: Path) -> None:
    most_bytes = 100_000
    store = SqliteStore(path, journal_bytes=most_bytes)
    await store.open()
    big = replace(values.entry(), facts={"padding": "x" * FACTS_BYTES})
    small = values.entry()
    for number in range(200):
        await store.write(Writes(entries=[big if number % 7 else small] * (1 + number % 3)))
        left = await store.journal(JournalQuery(limit=1000))
        assert (
            sum(
                ENTRY_BYTES + len(f'{{"padding":"{entry.facts["padding"]}"}}')
                for entry in left
                if "padding" in entry.facts
            )
            <= most_bytes
        )
        assert await store.trim(most_bytes) == 0, "nothing was left to do"
    await store.close()


async def test_a_swap_keeps_the_bound_as_well(path: Path) -> None:
    store = SqliteStore(path, journal_bytes=50_000)
    await store.open()
    big = Writes(entries=[replace(values.entry(), facts={"padding": "x" * FACTS_BYTES})])
    lease = FREE
    for _ in range(40):
        new = values.granted(lease) if lease.tenure is None else values.released(lease)
        lease_or_lost = await store.swap(lease, new, big)
        assert lease_or_lost == new
        lease = new

    assert 8 <= len(await store.journal(JournalQuery(limit=1000))) <= 9
    await store.close()


def test_a_stretch_grows_on_a_fast_disk_and_shrinks_on_a_slow_one() -> None:
    slow, fast = 3 * shortening.AIM_SECONDS, shortening.AIM_SECONDS / 3

    assert shortening.next_stretch(64, slow) == 32
    assert shortening.next_stretch(1, slow) == 1
    assert shortening.next_stretch(64, shortening.AIM_SECONDS) == 64
    assert shortening.next_stretch(64, fast) == 128
    assert shortening.next_stretch(shortening.LONGEST_STRETCH, fast) == shortening.LONGEST_STRETCH
