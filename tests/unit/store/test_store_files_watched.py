"""What happens to the store's files under the running daemon: no commit goes where the next start would not find it."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agbot.rules.lease import Lease
from agbot.store.contract import JournalQuery, StoreLockedError, StoreUnavailableError, Writes
from agbot.store.sqlite import SqliteStore
from tests.contract import values
from tests.contract.values import GROUP

FREE = Lease(group=GROUP)
HELD = values.granted(FREE)
FIRST = Writes(entries=[values.entry("first.entry")])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agbot.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(path, busy_seconds=0.05)
    await opened.open()
    await opened.write(FIRST)
    yield opened
    await opened.close()


def beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}{ending}")


def size(path: Path) -> int:
    return path.stat().st_size


def remove(*endings: str) -> Callable[[Path], None]:
    """Return what removes the files with these endings."""

    def removed(path: Path) -> None:
        for ending in endings:
            beside(path, ending).unlink()

    return removed


def overwrite_with_a_copy(path: Path) -> None:
    copy = path.with_name("copy.db")
    with closing(sqlite3.connect(path)) as read, closing(sqlite3.connect(copy)) as written:
        read.backup(written)
    shutil.copyfile(copy, path)


def replace_by_a_copy(path: Path) -> None:
    copy = path.with_name("copy.db")
    shutil.copyfile(path, copy)
    copy.replace(path)


def replace_the_log(path: Path) -> None:
    log = beside(path, "-wal")
    copy = path.with_name("copy-wal")
    shutil.copyfile(log, copy)
    copy.replace(log)


def cut_the_log_off(path: Path) -> None:
    os.truncate(beside(path, "-wal"), 0)


REMOVALS = {
    "the log": remove("-wal"),
    "the index": remove("-shm"),
    "both": remove("-wal", "-shm"),
    "the mark": remove(".mark"),
}


@pytest.mark.parametrize("removal", REMOVALS.values(), ids=REMOVALS.keys())
async def test_after_a_removal_nothing_is_committed_until_the_file_is_back_and_then_nothing_is_missing(
    store: SqliteStore, path: Path, removal: Callable[[Path], None]
) -> None:
    removal(path)

    with pytest.raises(StoreUnavailableError, match=r"removed .*under the running daemon.*by itself"):
        await store.swap(FREE, HELD)
    with pytest.raises(StoreUnavailableError, match="removed"):
        await store.check()

    stored = await store.load()
    assert stored.leases == {}
    assert stored.generation.doubt == ""
    assert await store.swap(FREE, HELD, FIRST) == HELD
    # who finds the files by their names finds everything
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT token FROM lease").fetchall() == [(1,)]
        assert other.execute("SELECT count(*) FROM journal").fetchall() == [(2,)]


FOREIGN = {
    "a copy over it": (overwrite_with_a_copy, "another program has written"),
    "a copy in its place": (replace_by_a_copy, "moved, removed or replaced"),
    "removed": (lambda path: path.unlink(), "moved, removed or replaced"),
    "another log": (replace_the_log, "-wal has been replaced"),
    "the log cut off": (cut_the_log_off, "-wal has been truncated"),
}


@pytest.mark.parametrize(("change", "emitted"), FOREIGN.values(), ids=FOREIGN.keys())
async def test_what_is_not_the_file_that_was_opened_takes_no_commit_and_gives_no_answer(
    store: SqliteStore, path: Path, change: Callable[[Path], None], emitted: str
) -> None:
    change(path)

    with pytest.raises(StoreUnavailableError, match=emitted):
        await store.swap(FREE, HELD)
    with pytest.raises(StoreUnavailableError, match=emitted):
        await store.lease(GROUP)
    with pytest.raises(StoreUnavailableError, match=emitted):
        await store.load()


async def test_a_log_that_is_removed_while_the_commit_is_made_makes_that_commit_uncertain(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = store._keeper  # noqa: SLF001 - between the first look and the commit nothing else can be put
    real = keeper.committing

    def removed_now() -> None:
        real()
        beside(path, "-wal").unlink()

    monkeypatch.setattr(keeper, "committing", removed_now)
    with pytest.raises(StoreUnavailableError, match="removed"):
        await store.swap(FREE, HELD)
    monkeypatch.undo()

    assert (await store.load()).leases == {GROUP: HELD}, "it has happened, and is kept"


async def test_a_disk_that_takes_no_mark_fails_the_write_and_works_again_afterwards(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StoreUnavailableError, match=r"agbot\.db\.mark: No space left.*free space"):
        await store.swap(FREE, HELD)
    monkeypatch.undo()

    assert await store.lease(GROUP) == FREE
    assert await store.swap(FREE, HELD) == HELD


async def test_a_disk_that_fills_between_commit_and_mark_leaves_a_grant_that_is_found_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.pwrite, []

    def full_at_the_second(*arguments: object) -> int:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(os, "pwrite", full_at_the_second)
    with pytest.raises(StoreUnavailableError, match="No space left"):
        await store.swap(FREE, HELD)
    monkeypatch.undo()

    stored = await store.load()
    assert stored.leases == {GROUP: HELD}
    assert stored.generation.doubt == ""


async def test_checkpoints_of_its_own_are_no_foreign_writes(store: SqliteStore, path: Path) -> None:
    before = size(path)
    for number in range(40):
        entry = replace(values.entry(f"e.{number}"), facts={"padding": "x" * 200_000})
        await store.write(Writes(entries=[entry]))

    assert size(path) > before + 4_000_000
    assert len(await store.journal(JournalQuery(limit=100))) == 41


def linked(path: Path) -> Path:
    other = path.with_name("linked.db")
    other.hardlink_to(path)
    return other


async def test_a_hard_link_is_the_same_store_and_is_refused(store: SqliteStore, path: Path) -> None:
    with pytest.raises(StoreLockedError, match=r"linked\.db \(\[store\] path\) is in use .* hard link"):
        await SqliteStore(linked(path)).open()

    await store.write(FIRST)


async def test_a_removed_lock_file_lets_no_second_daemon_in(store: SqliteStore, path: Path) -> None:
    beside(path, ".lock").unlink()

    with pytest.raises(StoreLockedError, match="in use"):
        await SqliteStore(path).open()
