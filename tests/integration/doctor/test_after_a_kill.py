"""What the doctor finds of a coordinator that was killed: its leases are in the log beside the file."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from agbot.doctor import store
from agbot.doctor.finding import Verdict
from agbot.rules.ids import GroupId
from agbot.settings.model import StoreSettings
from agbot.store.files import Files
from agbot.store.sqlite import SqliteStore
from tests.acceptance.store_victim import next_step


async def grant_and_die(path: Path) -> None:
    opened = SqliteStore(path)
    await opened.open()
    await next_step(opened, await opened.lease(GroupId("acme/g0")))
    os.kill(os.getpid(), signal.SIGKILL)


def killed(path: Path) -> None:
    child = os.fork()
    if not child:
        asyncio.run(grant_and_die(path))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def content(path: Path) -> dict[Path, bytes]:
    files = Files(path)
    return {each: each.read_bytes() for each in (files.main, files.wal)}


def test_leases_of_a_killed_coordinator_are_counted_and_its_files_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "agbot.db"
    killed(path)
    before, names = content(path), sorted(tmp_path.iterdir())

    found = store.of_file(StoreSettings(path=path), coordinator_answers=False)

    assert (found.verdict, found.found) == (
        Verdict.WARNING,
        "[store] path can be used; 1 lease is held in it, and no coordinator runs that ends it",
    )
    assert (content(path), sorted(tmp_path.iterdir())) == (before, names)


def test_without_the_index_of_the_log_nothing_is_created_to_read_it(tmp_path: Path) -> None:
    path = tmp_path / "agbot.db"
    killed(path)
    Files(path).shm.unlink()
    names = sorted(tmp_path.iterdir())

    found = store.of_file(StoreSettings(path=path), coordinator_answers=False)

    assert (found.verdict, found.found) == (Verdict.OK, "[store] path can be used")
    assert sorted(tmp_path.iterdir()) == names
