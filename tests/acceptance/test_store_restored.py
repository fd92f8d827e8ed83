"""The store's files under real daemons: removed, replaced, linked, mounted, restored.

Judged by what nodes were reported, and by tokens.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agbot.sim.agent_state import Word
from tests.acceptance.hub import Hub
from tests.acceptance.programs import Program
from tests.acceptance.site import Site, ask, granted, group_of_three
from tests.support.patience import until


def beside(site: Site, ending: str) -> Path:
    return site.store_file.with_name(f"{site.store_file.name}{ending}")


async def grant(hub: Hub, site: Site, node: str) -> int:
    """Let a node be granted and begin; return its token."""
    await hub.heartbeat(node)
    status, message = await ask(site, node)
    assert status == 201, message
    await hub.report(node, Word.INITIATED)
    token: int = (await site.leases())["g1"]["token"]
    return token


async def end(hub: Hub, site: Site, node: str) -> None:
    """Let a node's upgrade end well, and wait until the group is free."""
    await hub.report(node, Word.SUCCESSFUL)
    await hub.heartbeat(node)
    await until("the release", lambda: is_free(site))


async def is_free(site: Site) -> bool:
    return await site.holder() is None


async def group_without_rest(hub: Hub) -> None:
    await group_of_three(hub)
    for name in ("anna", "ben", "carl"):
        await hub.heartbeat(name)


async def until_settled(site: Site, daemon: Program) -> None:
    """Wait for the look that ends the doubt."""
    await until("the look", lambda: daemon.events("store.settled"))
    await site.until_ready()


async def until_granted(hub: Hub, site: Site, node: str) -> None:
    """Ask until it is a yes, while everybody lives."""

    async def asked() -> bool:
        for name in ("anna", "ben", "carl"):
            await hub.heartbeat(name)
        return (await ask(site, node))[0] == 201

    await until(f"a yes for {node}", asked)


async def test_a_log_removed_under_the_running_daemon_loses_no_grant_and_gives_none_twice(hub: Hub, site: Site) -> None:
    await group_without_rest(hub)
    daemon = await site.start_ready()
    beside(site, "-wal").unlink()
    beside(site, "-shm").unlink()

    await until("the failure in the log", lambda: daemon.events("store.failed"))
    await until("the recovery in the log", lambda: daemon.events("store.recovered"))
    assert "removed under the running daemon" in daemon.events("store.failed")[0]["error"]
    await site.until_ready()
    await granted(site, "anna")
    daemon.kill()

    again = await site.start_ready()
    assert not again.events("store.changed")
    lease = (await site.leases())["g1"]
    assert (lease["holder"], lease["token"]) == ("o1/anna", 1)
    assert (await ask(site, "ben"))[0] == 409


async def test_a_log_removed_after_a_yes_and_before_a_kill_lets_no_one_else_go(hub: Hub, site: Site) -> None:
    await group_without_rest(hub)
    daemon = await site.start_ready()
    token = await grant(hub, site, "anna")
    os.kill(daemon.process.pid, 19)  # it can mend nothing any more
    beside(site, "-wal").unlink()
    daemon.kill()

    again = site.start()
    await site.until_unready("not the one that was used last")
    assert (await ask(site, "ben"))[0] == 409
    await until_settled(site, again)
    status, message = await ask(site, "ben")
    assert status == 409 or (await site.leases())["g1"]["token"] > token, message
    assert again.events("store.changed")[0]["tokens_above"] >= token


async def backed_up(site: Site, name: str = "backup.db") -> Path:
    """Back the store up as docs/operations.md says."""
    copy = site.folder / name
    stated = await site.programs.run("store", "backup", copy, "--config", site.settings_file)
    assert stated.code == 0, stated.err
    return copy


async def restore(site: Site, copy: Path) -> str:
    """Restore as docs/operations.md says, with the daemon stopped."""
    words = ("store", "restore", copy, "--reason", "the disk was replaced", "--config", site.settings_file)
    stated = await site.programs.run(*words)
    assert stated.code == 0, stated.err
    return stated.out


async def test_a_restore_as_it_is_written_gives_no_token_twice_and_nothing_before_the_look(
    hub: Hub, site: Site
) -> None:
    await group_without_rest(hub)
    daemon = await site.start_ready()
    first = await grant(hub, site, "anna")
    copy = await backed_up(site)
    await end(hub, site, "anna")
    await until_granted(hub, site, "ben")
    await hub.report("ben", Word.INITIATED)
    second: int = (await site.leases())["g1"]["token"]
    stated = await site.programs.run("store", "restore", copy, "--reason", "too early", "--config", site.settings_file)
    assert (stated.code, "in use" in stated.err) == (7, True), stated.err
    daemon.kill()

    assert "agbot.db.before-restore" in await restore(site, copy)
    again = site.start()
    await site.until_unready("was restored by")
    answers = [await ask(site, name) for name in ("anna", "ben", "carl")]
    assert [status for status, _ in answers] == [409, 409, 409], answers
    assert all("store-changed" in message for _, message in answers), answers
    [changed] = await until("the doubt in the log", lambda: again.events("store.changed"))
    assert "the disk was replaced" in changed["why"]
    await until_settled(site, again)
    assert (await ask(site, "carl"))[0] == 409, "ben is in the middle"

    await hub.report("ben", Word.SUCCESSFUL)
    await until_granted(hub, site, "carl")
    lease = (await site.leases())["g1"]
    assert lease["holder"] == "o1/carl"
    assert lease["token"] > second > first
    tokens = [entry["token"] for entry in await site.journal() if entry["event"] == "lease.granted"]
    assert len(set(tokens)) == len(tokens)


def copy_over_it(site: Site, copy: Path) -> None:
    shutil.copyfile(copy, site.store_file)


def copy_in_its_place(site: Site, copy: Path) -> None:
    shutil.copyfile(copy, beside(site, ".new"))
    beside(site, ".new").replace(site.store_file)


def copy_without_the_log(site: Site, copy: Path) -> None:
    copy_over_it(site, copy)
    beside(site, "-wal").unlink()
    beside(site, "-shm").unlink()


BY_HAND: dict[str, Callable[[Site, Path], None]] = {
    "over it, beside the old log": copy_over_it,
    "in its place, beside the old log": copy_in_its_place,
    "over it, the log removed": copy_without_the_log,
}


def raw_copy(site: Site, copy: Path) -> Path:
    """Copy the way people did before there was a command."""
    with closing(sqlite3.connect(site.store_file)) as read, closing(sqlite3.connect(copy)) as written:
        read.backup(written)
    return copy


async def test_an_older_copy_put_in_place_by_hand_is_known_and_gives_no_token_twice(
    hub: Hub, new_site: Callable[[str], Site]
) -> None:
    """Each way on a host of its own, all at the same time: the look that ends the doubt is no sooner than after ten seconds."""
    await group_without_rest(hub)
    sites = {way: new_site(f"host {number}") for number, way in enumerate(BY_HAND)}
    for site in sites.values():
        await site.start_ready()
        raw_copy(site, site.folder / "copy.db")  # of each before the first yes, which the others observe
    tokens = {way: await replaced_by_hand(hub, site, BY_HAND[way]) for way, site in sites.items()}

    await asyncio.gather(*(known_by_its_doubt(site) for site in sites.values()))
    await hub.report("anna", Word.SUCCESSFUL)
    for way, site in sites.items():
        await until_granted(hub, site, "ben")
        lease = (await site.leases())["g1"]
        assert (lease["holder"], lease["token"] > tokens[way]) == ("o1/ben", True), way


async def replaced_by_hand(hub: Hub, site: Site, put: Callable[[Site, Path], None]) -> int:
    """Grant, kill the daemon, and put the copy in place.

    Return the token that was given in between.
    """
    token = await grant(hub, site, "anna")
    site.daemons[-1].kill()
    put(site, site.folder / "copy.db")
    return token


async def known_by_its_doubt(site: Site) -> None:
    """Start on a store that was replaced: nothing is granted before the look."""
    again = site.start()
    await site.until_unready("not the one that was used last")
    assert (await ask(site, "ben"))[0] == 409
    await until_settled(site, again)


@pytest.mark.parametrize("put", [copy_over_it, copy_in_its_place])
async def test_a_copy_put_over_the_store_of_a_running_daemon_grants_nothing_and_is_reported_with_the_cure(
    hub: Hub, site: Site, put: Callable[[Site, Path], None]
) -> None:
    await group_without_rest(hub)
    daemon = await site.start_ready()
    copy = raw_copy(site, site.folder / "copy.db")
    put(site, copy)

    status, message = await ask(site, "anna")
    assert (status, "store-unavailable" in message) == (409, True), message
    await site.until_unready("store")
    [failed] = await until("the failure in the log", lambda: daemon.events("store.failed"))
    assert "restart the daemon" in failed["error"] or "stop the daemon" in failed["error"]
    assert len(daemon.events("store.failed")) == 1


async def test_a_person_ends_the_wait_and_is_written_down(hub: Hub, site: Site) -> None:
    await group_without_rest(hub)
    daemon = await site.start_ready()
    await until("a cycle", lambda: daemon.events("cycle.done"))
    daemon.kill()
    beside(site, ".mark").unlink()

    again = site.start()
    await until("the doubt", lambda: again.events("store.changed"))
    assert (await ask(site, "anna"))[0] == 409
    stated = await site.operate("resume", "--store", "--reason", "all at rest")
    assert stated.code == 0, stated.err
    await until_granted(hub, site, "anna")
    [settled] = [entry for entry in await site.journal() if entry["event"] == "store.settled"]
    assert settled["facts"]["why"] == "all at rest"
    assert settled["who"] != "coordinator"
    assert (await site.operate("resume", "--store", "--reason", "again")).code == 7


async def refused(site: Site, path: Path) -> str:
    """Start a second daemon with this store and return what it says."""
    other = Site(site.folder.with_name("other"), site.programs, site.session, site.exchange_url)
    other.tables["store"]["path"] = str(path)
    other.write()
    daemon = other.start()
    assert await daemon.ended() == 4, daemon.log
    return str(daemon.events("daemon.failed")[0]["error"])


@pytest.mark.parametrize("link", [Path.hardlink_to, Path.symlink_to])
async def test_a_second_daemon_by_a_link_to_the_same_file_is_refused_with_the_setting(
    hub: Hub, site: Site, link: Callable[[Path, Path], None]
) -> None:
    await site.start_ready()
    other = site.folder.with_name("link.db")
    link(other, site.store_file)

    error = await refused(site, other)

    assert "in use" in error
    assert link is Path.symlink_to or "[store] path" in error


@pytest.fixture
def mounted(tmp_path: Path, site: Site) -> Iterator[Callable[[], Path]]:
    """Mount the store's file a second time, elsewhere; needs the right to mount."""
    libc, target, made = ctypes.CDLL(None, use_errno=True), tmp_path / "mounted.db", []

    def mount() -> Path:
        target.touch()
        if libc.mount(os.fsencode(site.store_file), os.fsencode(target), None, 4096, None) != 0:
            pytest.skip(f"no right to mount here: {os.strerror(ctypes.get_errno())}")
        made.append(target)
        return target

    yield mount
    for each in made:
        libc.umount(os.fsencode(each))


async def test_a_second_daemon_by_a_bind_mount_of_the_same_file_is_refused_with_the_setting(
    hub: Hub, site: Site, mounted: Callable[[], Path]
) -> None:
    await site.start_ready()

    assert "[store] path" in await refused(site, mounted())
