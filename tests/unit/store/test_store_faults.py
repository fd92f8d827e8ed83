"""The file under a real store fails: full, locked, damaged, gone.

What callers are reported, and what works again afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from msgspec import structs

from agbot.rules.lease import Lease
from agbot.rules.progress import Progress
from agbot.rules.records import Turn, Waiter
from agbot.rules.seen_time import SeenTime
from agbot.store import connection as connections
from agbot.store.contract import (
    Entry,
    JournalQuery,
    Store,
    StoreLockedError,
    StoreUnavailableError,
    Writes,
)
from agbot.store.filelock import FileLock
from agbot.store.sqlite import SqliteStore
from tests.contract import values
from tests.contract.values import GROUP

PAGE = 4096
FREE = Lease(group=GROUP)
HELD = values.granted(FREE)
BIG = replace(values.entry(), facts={"padding": "x" * 300_000})
ENTRIES = JournalQuery(limit=1000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agbot.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(path, busy_seconds=0.05)
    await opened.open()
    yield opened
    await opened.close()


@contextlib.contextmanager
def no_file_grows_beyond(size: int) -> Iterator[None]:
    """Let the kernel refuse writes behind this offset, as it does when a quota is reached.

    True for root, too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def put_back(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def rename(before: Path, after: Path) -> None:
    before.rename(after)


async def test_a_trim_is_many_short_transactions_and_one_that_is_cut_off_leaves_the_newest_entries_whole(
    store: SqliteStore,
) -> None:
    await store.write(Writes(entries=[replace(values.entry(), event=f"e.{number}") for number in range(5_000)]))
    trim = asyncio.create_task(store.trim(0))
    for _ in range(4):
        await store.write(Writes(entries=[values.entry("in.between")]))
    assert not trim.done(), "others have their turn before its end"
    trim.cancel()
    await asyncio.gather(trim, return_exceptions=True)

    left = [entry.event for entry in await store.journal(JournalQuery(after=0, limit=6_000))]

    assert 4 < len(left) < 5_004
    assert left == [*(f"e.{number}" for number in range(5_004 - len(left), 5_000)), *["in.between"] * 4]
    assert await store.trim(0) == len(left)


async def assert_it_works(store: Store) -> None:
    """Grant and release once."""
    current = await store.lease(GROUP)
    held = values.granted(current)
    assert await store.swap(current, held) == held
    free = values.released(held)
    assert await store.swap(held, free) == free
    assert (await store.load()).leases[GROUP] == free


async def test_a_disk_that_takes_no_more_fails_the_write_and_works_again_afterwards(
    store: SqliteStore, path: Path
) -> None:
    await store.write(Writes(entries=[values.entry()]))
    log = path.with_name("agbot.db-wal")

    with no_file_grows_beyond(log.stat().st_size + 8192), pytest.raises(StoreUnavailableError) as refused:
        await store.swap(FREE, HELD, Writes(put=[values.turn()], entries=[BIG]))

    assert str(path) in str(refused.value)
    assert "SQLITE_IOERR" in str(refused.value) or "SQLITE_FULL" in str(refused.value)
    assert await store.lease(GROUP) == FREE
    assert (await store.load()).of(Turn) == []
    assert len(await store.journal(ENTRIES)) == 1
    await assert_it_works(store)
    await store.write(Writes(entries=[values.entry()]))
    assert [entry.id for entry in await store.journal(ENTRIES)] == [2, 1], "what was rolled back uses up no id"


async def test_a_file_at_its_largest_size_says_that_the_disk_is_full(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = connections.connect

    def small(*arguments: object, **options: object) -> sqlite3.Connection:
        made = real(*arguments, **options)  # type: ignore[arg-type]  # handed on as they came
        made.execute("PRAGMA max_page_count = 40")
        return made

    monkeypatch.setattr(connections, "connect", small)
    store = SqliteStore(path)
    await store.open()

    outcomes = await asyncio.gather(
        store.swap(FREE, HELD),
        store.write(Writes(put=[values.turn()], entries=[BIG])),
        store.write(Writes(put=[values.waiter()])),
        return_exceptions=True,
    )

    stored = await store.load()
    assert outcomes[0] == HELD
    assert isinstance(outcomes[1], StoreUnavailableError)
    assert "SQLITE_FULL" in str(outcomes[1])
    assert "free space" in str(outcomes[1])
    assert outcomes[2] is None
    assert (stored.of(Turn), stored.of(Waiter), stored.leases) == ([], [values.waiter()], {GROUP: HELD})
    await store.close()


async def test_a_file_that_another_program_has_locked_fails_the_write_until_it_lets_go(
    store: SqliteStore, path: Path
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailableError, match=r"SQLITE_BUSY.*sqlite3 shell"):
        await store.swap(FREE, HELD)
    assert await store.lease(GROUP) == FREE

    other.execute("ROLLBACK")
    other.close()
    await assert_it_works(store)


async def test_a_file_that_is_locked_at_the_start_can_be_opened_later(path: Path) -> None:
    first = SqliteStore(path)
    await first.open()
    await first.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    store = SqliteStore(path, busy_seconds=0.05)

    with pytest.raises(StoreUnavailableError, match=r"could not open .*locked"):
        await store.open()

    other.close()
    await store.open()
    await assert_it_works(store)
    await store.close()


@pytest.fixture
def garbage(path: Path) -> bytes:
    """Write something else in the store's place."""
    content = b"this is no database, whatever its name says. " * 100
    path.write_bytes(content)
    return content


async def test_garbage_in_place_of_a_database_is_refused_and_not_overwritten(garbage: bytes, path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match=r"SQLITE_NOTADB.*backup"):
        await SqliteStore(path).open()

    assert content_of(path) == garbage


async def test_a_damaged_file_is_refused_at_the_start_and_taken_once_it_is_restored(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    await store.write(Writes(entries=[values.entry(f"e.{number}") for number in range(500)]))
    await store.close()
    backup = content_of(path)
    noise = Random(4).randbytes(len(backup) - 5 * PAGE)
    put_back(path, backup[: 4 * PAGE] + noise + backup[-PAGE:])

    with pytest.raises(StoreUnavailableError, match="restore it from a backup"):
        await store.open()

    put_back(path, backup)
    await store.open()
    assert len(await store.journal(ENTRIES)) == 500
    await store.close()


async def test_a_missing_directory_is_not_made_and_the_store_opens_once_it_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "not-mounted"
    store = SqliteStore(folder / "agbot.db")

    with pytest.raises(StoreUnavailableError, match=r"not-mounted.*must exist"):
        await store.open()
    assert not folder.exists()

    folder.mkdir()
    await store.open()
    await assert_it_works(store)
    await store.close()


async def test_a_directory_in_place_of_the_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(StoreUnavailableError, match=r"folder: SQLITE_CANTOPEN"):
        await SqliteStore(tmp_path / "folder").open()


async def test_a_file_that_was_moved_away_takes_no_commit_until_it_is_back(store: SqliteStore, path: Path) -> None:
    moved = path.with_name("moved.db")
    rename(path, moved)

    with pytest.raises(StoreUnavailableError, match="moved, removed or replaced"):
        await store.swap(FREE, HELD)
    with pytest.raises(StoreUnavailableError, match="moved, removed or replaced"):
        await store.load()

    rename(moved, path)
    await assert_it_works(store)


async def test_a_row_that_makes_no_sense_is_an_error_and_not_a_free_lease(store: SqliteStore, path: Path) -> None:
    await store.swap(FREE, HELD)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("UPDATE lease SET progress = '{'")
    other.close()

    with pytest.raises(StoreUnavailableError, match="cannot be read"):
        await store.lease(GROUP)
    with pytest.raises(StoreUnavailableError, match="cannot be read"):
        await store.load()
    with pytest.raises(StoreUnavailableError, match="cannot be read"):
        await store.swap(FREE, HELD)


async def test_an_entry_that_makes_no_sense_is_named_by_its_number_in_a_short_sentence(
    store: SqliteStore, path: Path
) -> None:
    await store.write(Writes(entries=[replace(values.entry(), facts={"padding": "x" * 100_000})] * 3))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("UPDATE journal SET at = 'yesterday' WHERE id = 2")
    other.close()

    with pytest.raises(StoreUnavailableError, match=r"^the journal entry 2 of .* cannot be read") as caught:
        await store.journal(JournalQuery(limit=10))
    assert len(str(caught.value)) < 1_100


async def test_reasons_that_could_not_be_read_back_are_not_written(store: SqliteStore) -> None:
    reason = structs.replace(values.waiter().reasons[0], facts={"list": ["not", "allowed"]})
    waiter: Waiter = replace(values.waiter(), reasons=(reason,))

    with pytest.raises(Exception, match="str"):
        await store.write(Writes(put=[waiter]))

    assert (await store.load()).of(Waiter) == []


async def test_an_sqlite_too_old_is_refused_by_its_version(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))

    with pytest.raises(StoreUnavailableError, match=r"needs SQLite 3\.35"):
        await SqliteStore(path).open()


async def test_a_refused_start_leaves_no_lock_behind(garbage: bytes, path: Path) -> None:
    with pytest.raises(StoreUnavailableError):
        await SqliteStore(path).open()

    lock = FileLock(path)
    lock.take()
    lock.give_back()

    assert lock.path.exists()


async def test_the_refusal_of_a_second_daemon_names_the_file_and_the_process(store: SqliteStore, path: Path) -> None:
    with pytest.raises(StoreLockedError, match=rf"{path} is in use by process {os.getpid()} .*agbot\.db\.lock"):
        await SqliteStore(path).open()


async def test_a_second_daemon_is_refused_under_another_name_of_the_same_file(store: SqliteStore, path: Path) -> None:
    alias = path.with_name("alias.db")
    alias.symlink_to(path)

    with pytest.raises(StoreLockedError, match="in use"):
        await SqliteStore(alias).open()


async def test_a_commit_is_synced_to_the_disk(store: SqliteStore) -> None:
    """The pragmas on which the durability of a commit rests.

    A lost power supply cannot be had here.
    """

    def pragmas(connection: sqlite3.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "busy_timeout")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    found = await store._thread.run(pragmas, writes=False)  # noqa: SLF001 - the settings show on that connection only

    assert found == ["wal", 2, 50]


async def test_a_frozen_clocks_datetime_is_stored_like_any_other(store: SqliteStore) -> None:
    class FrozenDatetime(datetime):
        """What freezegun puts in place of datetime."""

    now = FrozenDatetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    entry = Entry(at=now, event="a.a", facts={"at": now})
    held = replace(HELD, tenure=HELD.tenure and replace(HELD.tenure, progress=Progress(moved_at=SeenTime(now))))

    await store.swap(FREE, held, Writes(entries=[entry]))

    assert await store.lease(GROUP) == held
    (found,) = await store.journal(ENTRIES)
    assert found.at == now
    assert found.facts == {"at": "2026-03-01T12:00:00.000000Z"}
