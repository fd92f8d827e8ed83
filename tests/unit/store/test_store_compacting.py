"""A file becomes as small as what it holds, and stays the same store."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from agbot.rules.lease import Lease
from agbot.store import compacting
from agbot.store.contract import JournalQuery, StoreLockedError, StoreUnavailableError, Writes
from agbot.store.sqlite import SqliteStore
from tests.contract import values
from tests.contract.values import GROUP, NOW
from tests.support.old_entries import fill
from tests.unit.store.test_store_faults import no_file_grows_beyond

HELD = values.granted(Lease(group=GROUP))
OWNER = 12_345


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agbot.db"


def size_of(path: Path) -> int:
    return path.stat().st_size


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    await store.open()
    return store


async def emptied(path: Path) -> None:
    """A store of 10 MB of which little is left."""
    store = await opened(path)
    await store.close()
    fill(path, 2_000, NOW - timedelta(days=90))
    store = await opened(path)
    await store.prune(NOW - timedelta(days=1))
    await store.swap(Lease(group=GROUP), HELD, Writes(entries=[values.entry()]))
    await store.close()
    assert size_of(path) > 10_000_000


async def test_a_compacted_store_is_the_same_store_in_a_small_file(path: Path) -> None:
    await emptied(path)

    sizes = compacting.compact(path)

    assert sizes.before > 10_000_000
    assert sizes.after == size_of(path) < 200_000
    store = await opened(path)
    stored = await store.load()
    assert (stored.leases[GROUP], stored.generation.doubt) == (HELD, "")
    assert [entry.id for entry in await store.journal(JournalQuery())] == [2_001]
    await store.write(Writes(entries=[values.entry()]))
    assert await store.last_entry_id() == 2_002, "no id is given twice"
    await store.close()
    assert {each.name for each in path.parent.iterdir()} == {"agbot.db", "agbot.db.lock", "agbot.db.mark"}


async def test_a_store_in_use_is_not_compacted(path: Path) -> None:
    store = await opened(path)

    with pytest.raises(StoreLockedError):
        compacting.compact(path)

    await store.write(Writes(entries=[values.entry()]))
    await store.close()


async def test_a_store_that_is_not_there_is_not_made(path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="there is no store at"):
        compacting.compact(path)
    assert list(path.parent.iterdir()) == []


async def test_without_room_beside_it_a_store_stays_as_it_is_and_the_room_is_reported(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await emptied(path)

    with monkeypatch.context() as patched:
        free = os.statvfs_result((4096, 4096, 1000, 10, 10, 1000, 10, 10, 0, 255))
        patched.setattr(os, "statvfs", lambda _path: free)
        with pytest.raises(
            StoreUnavailableError, match=r"needs 0\.\d MB beside the store.*has 0\.0 MB free.*journal_days"
        ):
            compacting.compact(path)
    with no_file_grows_beyond(50_000), pytest.raises(StoreUnavailableError, match="could not compact"):
        compacting.compact(path)

    assert size_of(path) > 10_000_000
    assert not path.with_name("agbot.db.compacting").exists()
    store = await opened(path)
    assert (await store.load()).leases[GROUP] == HELD
    assert (await store.load()).generation.doubt == ""
    await store.close()


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def forbid_others(path: Path) -> None:
    path.chmod(0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
async def test_what_root_compacts_belongs_to_the_daemon_s_user_afterwards(path: Path) -> None:
    await emptied(path)
    os.chown(path.parent, OWNER, OWNER)
    forbid_others(path)

    compacting.compact(path)

    assert {each.stat().st_uid for each in path.parent.iterdir()} == {OWNER}
    assert mode_of(path) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
async def test_root_gives_no_file_away_to_which_the_daemon_s_user_has_made_a_link(
    path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    await emptied(path)
    target = tmp_path_factory.mktemp("of-root") / "file"
    target.touch()
    os.chown(path.parent, OWNER, OWNER)
    path.with_name(f"{path.name}-link").symlink_to(target)

    compacting.compact(path)

    assert target.stat().st_uid == 0
