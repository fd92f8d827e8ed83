"""Backup and restore of the store's file: what they refuse, what they keep, and what a daemon finds afterwards."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agbot.rules.lease import Lease
from agbot.store import copies, migrations
from agbot.store.contract import Stored, StoreLockedError, StoreSchemaError, StoreUnavailableError, Writes
from agbot.store.sqlite import SqliteStore
from tests.contract import values
from tests.contract.values import GROUP

FREE = Lease(group=GROUP)
HELD = values.granted(FREE)
WHY = "it was restored by ada: the disk was replaced"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agbot.db"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy.db"


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    await store.open()
    return store


async def content(path: Path) -> Stored:
    store = await opened(path)
    try:
        return await store.load()
    finally:
        await store.close()


async def with_copy(path: Path, copy: Path) -> None:
    """Grant, back up while the store is open, and release."""
    store = await opened(path)
    await store.swap(FREE, HELD, Writes(entries=[values.entry()]))
    copies.back_up(path, copy, "it is a backup")
    await store.swap(HELD, values.released(HELD), Writes(entries=[values.entry("lease.released")]))
    await store.close()


def names(path: Path) -> set[str]:
    return {each.name for each in path.parent.iterdir()}


async def test_a_link_in_place_of_the_lock_file_is_refused_and_its_target_stays(path: Path, tmp_path: Path) -> None:
    await (await opened(path)).close()
    target, lock = tmp_path / "of-root", path.with_name("agbot.db.lock")
    target.write_text("important\n", encoding="utf-8")
    lock.unlink()
    lock.symlink_to(target)

    with pytest.raises(StoreUnavailableError, match="is a symbolic link"):
        copies.declare_restored(path, WHY)

    assert target.read_text(encoding="utf-8") == "important\n"


async def test_a_link_in_place_of_a_new_mark_is_not_written_through(path: Path, tmp_path: Path) -> None:
    await (await opened(path)).close()
    target = tmp_path / "of-root"
    target.write_text("important\n", encoding="utf-8")
    path.with_name("agbot.db.mark.new").symlink_to(target)

    copies.declare_restored(path, WHY)

    assert target.read_text(encoding="utf-8") == "important\n"


async def test_a_backup_of_a_store_in_use_is_one_file_that_says_that_it_is_a_copy(path: Path, copy: Path) -> None:
    await with_copy(path, copy)

    assert names(path) == {"agbot.db", "agbot.db.lock", "agbot.db.mark", "copy.db"}
    assert (await content(path)).generation.doubt == ""
    stored = await content(copy)
    assert (stored.leases[GROUP], stored.generation.doubt) == (HELD, "it is a backup")


async def test_a_backup_overwrites_nothing_and_makes_no_folder(path: Path, copy: Path) -> None:
    await with_copy(path, copy)

    with pytest.raises(StoreUnavailableError, match="exists already"):
        copies.back_up(path, copy, "it is a backup")
    with pytest.raises(StoreUnavailableError, match="nowhere is not a directory"):
        copies.back_up(path, path.parent / "nowhere" / "copy.db", "it is a backup")
    with pytest.raises(StoreUnavailableError, match="there is no store at"):
        copies.back_up(path.parent / "other.db", path.parent / "third.db", "it is a backup")
    assert not names(path) & {"nowhere", "other.db", "third.db", "third.db.part"}


async def test_a_restore_puts_the_copy_in_place_and_keeps_the_store_from_before(path: Path, copy: Path) -> None:
    await with_copy(path, copy)

    kept = copies.restore(path, copy, WHY)

    assert kept == path.with_name("agbot.db.before-restore")
    stored = await content(path)
    assert (stored.leases[GROUP], stored.generation.doubt) == (HELD, WHY)
    assert stored.generation.token_floor > HELD.token
    assert (await content(kept)).leases[GROUP] == values.released(HELD)
    assert (await content(copy)).leases[GROUP] == HELD, "the backup stays"


async def test_each_restore_keeps_its_own_store_from_before(path: Path, copy: Path) -> None:
    await with_copy(path, copy)
    first = copies.restore(path, copy, "the wrong backup")

    second = copies.restore(path, copy, WHY)
    third = copies.restore(path, copy, WHY)

    assert first is not None
    assert second is not None
    assert third is not None
    assert [each.name for each in (first, second, third)] == [
        "agbot.db.before-restore",
        "agbot.db.before-restore-2",
        "agbot.db.before-restore-3",
    ]
    assert (await content(first)).leases[GROUP] == values.released(HELD)
    assert (await content(second)).generation.doubt == "the wrong backup"


async def test_a_log_that_a_killed_restore_has_moved_away_is_kept(path: Path, copy: Path) -> None:
    await with_copy(path, copy)
    log = path.with_name("agbot.db.before-restore-wal")
    log.write_bytes(b"the log of the store")

    kept = copies.restore(path, copy, WHY)

    assert kept == path.with_name("agbot.db.before-restore-2")
    assert log.read_bytes() == b"the log of the store"


async def test_a_restore_to_where_there_is_none_keeps_nothing(path: Path, copy: Path, tmp_path: Path) -> None:
    await with_copy(path, copy)
    (tmp_path / "new").mkdir()
    new = tmp_path / "new" / "agbot.db"

    assert copies.restore(new, copy, WHY) is None
    assert names(new) == {"agbot.db", "agbot.db.lock"}
    assert (await content(new)).generation.doubt == WHY


async def test_a_restore_under_a_running_daemon_is_refused_and_changes_nothing(path: Path, copy: Path) -> None:
    await with_copy(path, copy)
    store = await opened(path)

    with pytest.raises(StoreLockedError, match="in use"):
        copies.restore(path, copy, WHY)
    with pytest.raises(StoreLockedError, match="in use"):
        copies.declare_restored(path, WHY)
    await store.write(Writes(entries=[values.entry()]))
    await store.close()
    assert (await content(path)).generation.doubt == ""


async def test_a_restored_store_that_takes_another_copy_is_not_the_copy_itself(path: Path, copy: Path) -> None:
    await with_copy(path, copy)

    with pytest.raises(StoreUnavailableError, match="is the store itself"):
        copies.restore(path, path, WHY)


def damage(copy: Path) -> None:
    found = copy.read_bytes()
    copy.write_bytes(found[:8192] + b"\xff" * (len(found) - 8192))


def of_a_newer_program(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute(f"PRAGMA user_version = {len(migrations.shipped()) + 1}")


def of_another_program(copy: Path) -> None:
    copy.unlink()
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("CREATE TABLE t (n INTEGER)")


def empty(copy: Path) -> None:
    copy.write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "emitted"),
    [
        (damage, "damaged|malformed"),
        (of_a_newer_program, "newer program"),
        (of_another_program, "another program"),
        (empty, "empty and not a lease store"),
    ],
)
async def test_a_copy_that_is_no_good_is_refused_and_the_store_stays_as_it_is(
    path: Path, copy: Path, spoil: object, emitted: str
) -> None:
    await with_copy(path, copy)
    spoil(copy)  # type: ignore[operator]  # one of the functions above

    with pytest.raises((StoreUnavailableError, StoreSchemaError), match=emitted):
        copies.restore(path, copy, WHY)

    stored = await content(path)
    assert (stored.leases[GROUP], stored.generation.doubt) == (values.released(HELD), "")
    assert not {name for name in names(path) if "restor" in name or "part" in name}


async def test_a_copy_of_an_older_version_is_brought_up_to_date(path: Path, copy: Path) -> None:
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        migrations.migrate(connection, migrations.shipped()[:3])

    copies.restore(path, copy, WHY)

    assert (await content(path)).generation.doubt == WHY


async def test_a_store_that_is_declared_restored_is_another_generation(path: Path) -> None:
    before = await content(path)

    copies.declare_restored(path, "ada said so: snapshot of Monday")

    after = (await content(path)).generation
    assert after.id != before.generation.id
    assert (after.doubt, after.token_floor > 1_000_000) == ("ada said so: snapshot of Monday", True)
    with pytest.raises(StoreUnavailableError, match="there is no store"):
        copies.declare_restored(path.with_name("other.db"), "?")
