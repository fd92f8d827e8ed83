"""A copy beside the write-ahead log that a killed daemon left: the two are never mixed, and no log is put aside that is wanted."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from agbot.rules.ids import GroupId
from agbot.rules.lease import Lease
from agbot.store.contract import Generation, Stored
from agbot.store.mark import MarkFile
from agbot.store.sqlite import SqliteStore
from tests.acceptance.store_victim import step_of
from tests.acceptance.test_store_kill import kill_after

GROUP = GroupId("acme/g0")


async def opened(path: Path) -> Stored:
    store = SqliteStore(path)
    await store.open()
    try:
        return await store.load()
    finally:
        await store.close()


def copy_through_sqlite(path: Path, copy: Path) -> None:
    """Copy beside a reader that stays, so that the copying leaves the log where it is."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as read, closing(sqlite3.connect(copy)) as made:
        read.backup(made)
        made.execute("PRAGMA journal_mode = DELETE")


def age_mark(path: Path, *, seconds: float, boot: str) -> None:
    """Let the mark be one that was written so long ago, before the machine started again."""
    mark, _ = MarkFile(path).read()
    assert mark is not None
    aged = msgspec.structs.replace(mark, boot=boot, at=mark.at - int(seconds * 1e9))
    MarkFile(path).path.write_bytes(msgspec.json.encode(aged).ljust(511) + b"\n")


async def killed_twice(path: Path) -> tuple[Path, int]:
    """Let a daemon work, copy its store, let another one work and be killed.

    Return the copy and the last step that was reported of.
    """
    await asyncio.to_thread(kill_after, 60, path)
    copy = path.with_name("copy.db")
    copy_through_sqlite(path, copy)
    emitted = await asyncio.to_thread(kill_after, 60, path)
    assert path.with_name("agbot.db-wal").stat().st_size > 0
    return copy, emitted[GROUP]


def token_of(stored: Stored) -> int:
    return stored.leases.get(GROUP, Lease(group=GROUP)).token


def over_it(copy: Path, path: Path) -> None:
    shutil.copyfile(copy, path)


def in_its_place(copy: Path, path: Path) -> None:
    copy.replace(path)


@pytest.mark.parametrize("boot", ["", "another"])
@pytest.mark.parametrize("put", [over_it, in_its_place])
async def test_a_copy_beside_the_log_that_was_left_counts_and_the_log_is_kept_aside(
    tmp_path: Path, put: Callable[[Path, Path], None], boot: str
) -> None:
    path = tmp_path / "agbot.db"
    copy, step = await killed_twice(path)
    in_copy = token_of(await opened_copy(copy))
    put(copy, path)
    if boot:  # the machine went down with the daemon, and came up an hour before the restore
        age_mark(path, seconds=3600, boot=boot)

    stored = await opened(path)

    assert token_of(stored) == in_copy < (step + 1) // 2
    assert "write-ahead log of the previous one" in stored.generation.doubt
    assert stored.generation.token_floor >= (step + 1) // 2
    assert path.with_name("agbot.db-wal.replaced").stat().st_size > 0


async def opened_copy(copy: Path) -> Stored:
    """Look into a copy without touching it."""
    other = copy.with_name("looked-at.db")
    shutil.copyfile(copy, other)
    return await opened(other)


async def whole(path: Path, step: int) -> Generation:
    """Open a store that must have lost nothing, and return its generation."""
    stored = await opened(path)
    assert step_of(stored.leases[GROUP]) - step in {0, 1}
    assert not path.with_name("agbot.db-wal.replaced").exists()
    return stored.generation


async def test_the_log_of_a_killed_daemon_is_not_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "agbot.db"
    _, step = await killed_twice(path)

    assert (await whole(path, step)).doubt == ""


async def test_after_a_new_start_of_the_machine_the_log_is_not_put_aside_although_the_mark_is_behind(
    tmp_path: Path,
) -> None:
    path = tmp_path / "agbot.db"
    _, step = await killed_twice(path)
    mark, _ = MarkFile(path).read()
    assert mark is not None
    behind = msgspec.structs.replace(mark, boot="another", entry=mark.entry - 9, file=(mark.file[0], 1, 2))
    MarkFile(path).path.write_bytes(msgspec.json.encode(behind).ljust(511) + b"\n")

    assert (await whole(path, step)).doubt == ""


async def test_a_folder_that_was_copied_with_its_log_keeps_every_commit_and_is_another_generation(
    tmp_path: Path,
) -> None:
    path = tmp_path / "here" / "agbot.db"
    path.parent.mkdir()
    _, step = await killed_twice(path)
    await asyncio.sleep(0)
    shutil.copytree(path.parent, tmp_path / "there")
    age_mark(tmp_path / "there" / "agbot.db", seconds=60, boot="")

    assert "mark" in (await whole(tmp_path / "there" / "agbot.db", step)).doubt


async def test_an_older_pair_of_file_and_log_put_over_both_stays_together_and_is_another_generation(
    tmp_path: Path,
) -> None:
    path = tmp_path / "agbot.db"
    old = tmp_path / "old"
    await asyncio.to_thread(kill_after, 60, path)
    shutil.copytree(path.parent, old)
    # the log of the first is moved into the file, and the next one begins another
    await opened(path)
    emitted = await asyncio.to_thread(kill_after, 60, path)
    for name in ("agbot.db", "agbot.db-wal"):
        shutil.copyfile(old / name, tmp_path / name)

    stored = await opened(path)

    assert "older copy" in stored.generation.doubt
    assert 0 < step_of(stored.leases[GROUP]) < emitted[GROUP]
    assert not path.with_name("agbot.db-wal.replaced").exists()


async def test_another_name_of_the_file_without_its_log_is_another_generation(tmp_path: Path) -> None:
    path = tmp_path / "agbot.db"
    _, step = await killed_twice(path)
    link = tmp_path / "link.db"
    link.hardlink_to(path)

    generation = (await opened(link)).generation

    assert "mark is missing" in generation.doubt
    assert generation.token_floor >= (step + 1) // 2
    assert (await opened(path)).generation.doubt, "and the first name has an older log"
