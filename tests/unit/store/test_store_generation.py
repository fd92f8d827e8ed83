"""Which store was opened: the one that was used last, or another generation.

Closed stores here; killed ones in the acceptance tests.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from agbot.rules import lease as leases
from agbot.rules.lease import Lease
from agbot.rules.seen_time import Now
from agbot.store.contract import Entry, Generation, JournalQuery, StoreUnavailableError, Writes
from agbot.store.mark import MarkFile
from agbot.store.sqlite import SqliteStore
from tests.contract import values
from tests.contract.values import GROUP, NOW
from tests.support.examples import some

FREE = Lease(group=GROUP)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agbot.db"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Where an older state of the whole folder is kept."""
    return tmp_path / "old"


async def use(path: Path, grants: int) -> Generation:
    """Open the store, grant and release so often, close it; return the generation that it was."""
    store = SqliteStore(path)
    await store.open()
    try:
        generation = (await store.load()).generation
        for _ in range(grants):
            free = await store.lease(GROUP)
            held = leases.grant(
                free, values.claim(), Now.unblinded(NOW), values.TTL, token_floor=generation.token_floor
            )
            assert await store.swap(free, held, Writes(entries=[values.entry()])) == held
            await store.swap(held, values.released(held), Writes(entries=[values.entry("lease.released")]))
        return generation
    finally:
        await store.close()


def copy_folder(before: Path, after: Path) -> None:
    after.mkdir(exist_ok=True)
    for file in before.glob("agbot.db*"):
        shutil.copy2(file, after)


async def used_and_kept(path: Path, old: Path) -> Generation:
    """Use a store, keep its folder as it is then, and use it again: tokens 4 to 8 are only in the newer one."""
    await use(path, 3)
    copy_folder(path.parent, old)
    return await use(path, 5)


async def test_a_store_that_is_opened_again_and_again_is_the_same_one(path: Path) -> None:
    first = await use(path, 3)

    assert await use(path, 3) == await use(path, 0) == first
    assert (first.token_floor, first.doubt) == (0, "")


async def test_a_store_in_a_folder_that_was_renamed_is_the_same_one(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    before = await use(tmp_path / "here" / "agbot.db", 3)

    assert await use((tmp_path / "here").rename(tmp_path / "there") / "agbot.db", 0) == before


def copy_over_it(path: Path, old: Path) -> None:
    shutil.copyfile(old / path.name, path)


def copy_in_its_place(path: Path, old: Path) -> None:
    (old / path.name).replace(path)


def sqlite_copy_over_it(path: Path, old: Path) -> None:
    with closing(sqlite3.connect(old / path.name)) as read, closing(sqlite3.connect(path)) as written:
        read.backup(written)


def a_backup_without_its_mark(path: Path, old: Path) -> None:
    copy_over_it(path, old)
    MarkFile(path).path.unlink()


def a_damaged_mark(path: Path, old: Path) -> None:
    copy_over_it(path, old)
    MarkFile(path).path.write_bytes(b"\0" * 512)


def the_folder_with_its_mark(path: Path, old: Path) -> None:
    # a restore takes place later, and tar gives the files the times they had
    later = time.time_ns() + 60 * 10**9
    for file in old.iterdir():
        shutil.copy2(file, path.parent)
    mark = MarkFile(path).path
    content = mark.read_text(encoding="ascii")
    at = content.partition('"at":')[2].partition("}")[0]
    mark.write_text(content.replace(at, str(int(at) - (later - time.time_ns()))), encoding="ascii")


def the_store_removed(path: Path, old: Path) -> None:
    path.unlink()


def another_store(path: Path, old: Path) -> None:
    shutil.copyfile(old / "other.db", path)


RESTORED: dict[str, Callable[[Path, Path], None]] = {
    "an older copy over it": copy_over_it,
    "an older copy in its place": copy_in_its_place,
    "an older copy through SQLite": sqlite_copy_over_it,
    "an older copy, the mark lost": a_backup_without_its_mark,
    "an older copy, the mark damaged": a_damaged_mark,
    "the older folder with its mark": the_folder_with_its_mark,
    "an empty store": the_store_removed,
    "a store from elsewhere": another_store,
}


@pytest.mark.parametrize("restore", some(RESTORED.values()), ids=RESTORED.keys())
async def test_what_is_put_in_its_place_is_another_generation_with_tokens_above_all_earlier_ones(
    path: Path, old: Path, restore: Callable[[Path, Path], None]
) -> None:
    before = await used_and_kept(path, old)
    await use(old / "other.db", 9)
    restore(path, old)

    store = SqliteStore(path)
    await store.open()
    generation = (await store.load()).generation
    free = await store.lease(GROUP)
    with pytest.raises(ValueError, match="may have been given before"):
        await store.swap(free, values.granted(free))
    await store.close()

    assert generation.id != before.id
    assert generation.doubt
    assert generation.token_floor > 8
    assert await use(path, 0) == generation, "the doubt outlives a restart"
    assert (await use(path, 2)).token_floor < (await lease_of(path)).token


async def lease_of(path: Path) -> Lease:
    store = SqliteStore(path)
    await store.open()
    try:
        return await store.lease(GROUP)
    finally:
        await store.close()


async def test_a_copy_that_is_put_back_twice_gives_no_token_twice(path: Path, old: Path) -> None:
    await used_and_kept(path, old)
    given = []
    for _ in range(3):
        copy_folder(old, path.parent)  # nothing of the restore before is left
        MarkFile(path).path.unlink()
        await use(path, 4)
        given.append((await lease_of(path)).token)
        await asyncio.sleep(0.01)  # the clock that separates the generations counts milliseconds

    assert sorted(given) == given
    assert given[1] - given[0] > 3 < given[2] - given[1], "each gave four tokens"


@pytest.mark.parametrize("knows", ["the mark", "the file"])
async def test_tokens_stay_above_all_that_is_known_when_the_clock_is_wrong(
    path: Path, old: Path, monkeypatch: pytest.MonkeyPatch, knows: str
) -> None:
    await used_and_kept(path, old)
    copy_over_it(path, old)
    highest = (await use(path, 2)).token_floor + 2
    if knows == "the mark":
        copy_over_it(path, old)
    else:
        MarkFile(path).path.unlink()
        # a floor that no lease has come to yet
        highest = max(highest, (await use(path, 0)).token_floor)
        MarkFile(path).path.unlink()
    monkeypatch.setattr(time, "time_ns", lambda: 5_000_000)

    assert (await use(path, 0)).token_floor > highest


async def test_the_doubt_ends_with_the_entry_that_says_why(path: Path, old: Path) -> None:
    await used_and_kept(path, old)
    copy_over_it(path, old)
    store = SqliteStore(path)
    await store.open()
    floor = (await store.load()).generation.token_floor

    await store.settle(Entry(at=NOW, event="store.settled"))
    after = (await store.load()).generation
    [entry] = await store.journal(JournalQuery(limit=1))
    await store.close()

    assert (after.doubt, after.token_floor, entry.event) == ("", floor, "store.settled")
    assert await use(path, 0) == after


async def test_a_commit_that_the_mark_did_not_hear_of_is_no_doubt(path: Path) -> None:
    before = await use(path, 3)
    # as after a loss of power: the store is synced, its mark is not
    with closing(sqlite3.connect(path)) as other:
        other.execute(
            "INSERT INTO journal (at, event, who, facts) VALUES ('2026-03-01T12:00:00.000000Z', 'a.a', 'me', '{}')"
        )
        other.commit()

    assert await use(path, 0) == before


async def test_a_folder_that_takes_no_mark_takes_no_store(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "pwrite", full)
    store = SqliteStore(path)
    with pytest.raises(StoreUnavailableError, match=r"agbot\.db\.mark: No space left"):
        await store.open()
    monkeypatch.undo()

    assert (await use(path, 1)).doubt in {"", "it was in use before, and its mark is missing"}
