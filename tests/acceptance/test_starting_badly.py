"""A start that cannot succeed says so in one sentence: the setting, what is wrong, and the next step.

So does one that cannot get ready.
"""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.hub import Hub
from tests.acceptance.site import Site, ask, granted, group_of_three
from tests.support.authority import made
from tests.support.patience import until

BAD_SETTINGS, CANNOT_START = 1, 7


async def failed(site: Site) -> str:
    """Start, and return the one sentence with which it ends."""
    daemon = site.start()
    assert await daemon.ended() == CANNOT_START
    (line,) = daemon.events("daemon.failed")
    assert daemon.lines()[-1] == line
    assert daemon.events("daemon.stopped") == []
    assert "Traceback" not in daemon.log
    stated: str = line["error"]
    assert stated.isprintable()
    return stated


@pytest.mark.parametrize("section", ["gateway", "console"])
async def test_a_port_in_use_is_named_with_its_setting_and_how_to_find_who_uses_it(
    hub: Hub, site: Site, section: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        site.tables[section]["listen"] = listen
        site.write()
        site.installed = True
        stated = await failed(site)
    assert f"[{section}] listen {listen}" in stated
    assert "cannot be used: address already in use; another program listens there" in stated
    assert "ss -ltnp" in stated


@pytest.mark.parametrize("section", ["gateway", "console"])
async def test_an_address_of_another_machine_is_named_with_its_setting(hub: Hub, site: Site, section: str) -> None:
    site.tables[section]["listen"] = "192.0.2.1:8083"  # reserved for documentation (RFC 5737)
    site.write()
    stated = await failed(site)
    assert f"[{section}] listen 192.0.2.1:8083" in stated
    assert "ip addr" in stated


async def test_a_host_that_is_not_known_is_named_with_its_setting(hub: Hub, site: Site) -> None:
    site.tables["gateway"]["listen"] = "nowhere.invalid:8083"
    site.write()
    assert "[gateway] listen nowhere.invalid:8083: the host name cannot be resolved" in await failed(site)


def missing(folder: Path) -> Path:
    return folder / "not-mounted" / "agbot.db"


def a_file_on_the_way(folder: Path) -> Path:
    (folder / "file").write_text("", encoding="utf-8")
    return folder / "file" / "agbot.db"


def a_directory(folder: Path) -> Path:
    (folder / "directory").mkdir()
    return folder / "directory"


def no_database(folder: Path) -> Path:
    (folder / "notes.txt").write_text("buy milk\n" * 1000, encoding="utf-8")
    return folder / "notes.txt"


@pytest.mark.parametrize("place", [missing, a_file_on_the_way, a_directory, no_database])
async def test_a_store_that_cannot_be_is_named_with_its_setting_and_the_next_step(
    hub: Hub, site: Site, place: Any
) -> None:
    path = place(site.folder)
    site.tables["store"]["path"] = str(path)
    site.write()
    stated = await failed(site)
    assert stated.startswith("[store] path: ")
    assert str(path) in stated
    assert any(step in stated for step in ("must exist", "set a file as the store", "restore it", "another program")), (
        stated
    )


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system with room for nothing."""
    folder.mkdir()
    mount, umount = shutil.which("mount") or "/bin/mount", shutil.which("umount") or "/bin/umount"
    command = [mount, "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"this user may not mount a small tmpfs: {mounted.stderr!r}")
    try:
        yield folder
    finally:
        subprocess.run([umount, "--lazy", str(folder)], check=True)


async def test_a_full_disk_is_named_with_the_setting_of_the_store(hub: Hub, site: Site) -> None:
    with small_disk(site.folder / "disk") as disk:
        (disk / "rest").write_bytes(b"x" * 12_288)
        site.tables["store"]["path"] = str(disk / "agbot.db")
        site.write()
        stated = await failed(site)
    assert stated.startswith("[store] path: ")
    assert "free space on its disk" in stated


def spoil(store: Path, statement: str) -> None:
    with closing(sqlite3.connect(store, isolation_level=None)) as connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("UPDATE lease SET granted_at = 'yesterday' WHERE group_id = 'o1/g1'", "the lease o1/g1 "),
        ("INSERT INTO hold (scope, since, made_by, why) VALUES ('o1', 'never', 'eva', '')", "the hold o1 "),
    ],
)
async def test_a_record_of_the_store_that_cannot_be_read_is_named_with_the_next_step(
    hub: Hub, site: Site, statement: str, name: str
) -> None:
    await group_of_three(hub)
    daemon = await site.start_ready()
    await granted(site, "anna")
    daemon.terminate()
    assert await daemon.ended() == 0
    spoil(site.store_file, statement)

    daemon = site.start()
    line = (await until("the failure", lambda: daemon.events("store.failed")))[0]
    assert name in line["error"]
    assert "[store] path" in line["error"]
    assert "agbot store restore" in line["error"]
    assert "[exchange]" not in line["error"]
    assert await site.shows("/livez", 200)
    assert (await ask(site, "ben"))[0] == 409


async def test_a_certificate_of_a_broker_that_cannot_be_used_is_named_with_its_setting(
    hub: Hub, site: Site, tmp_path: Path
) -> None:
    pair, other = made(tmp_path / "tls", "one"), made(tmp_path / "tls", "other")
    site.tables["mqtt"] = {
        "host": "127.0.0.1",
        "tls": True,
        "certificate_file": str(pair.certificate),
        "key_file": str(other.key),
    }
    site.write()
    stated = await site.programs.run("run", "--config", site.settings_file)
    assert stated.code == BAD_SETTINGS
    assert "mqtt.key_file" in stated.err
    assert "Traceback" not in stated.err


@pytest.mark.parametrize("what", ["identity", "token"])
async def test_a_wrong_identity_keeps_it_unready_and_is_reported_with_its_settings(
    hub: Hub, site: Site, what: str
) -> None:
    if what == "identity":
        site.tables["exchange"]["identity"] = "IBM/nobody"
        site.write()
    else:
        (site.folder / "exchange-token").write_text("hush7other7hush", encoding="utf-8")
    await group_of_three(hub)
    daemon = site.start()
    line = (await until("the failure", lambda: daemon.events("exchange.failed")))[0]
    assert "401" in json.dumps(line)
    assert "[exchange] identity and token_file" in json.dumps(line)
    assert await site.shows("/livez", 200)
    await site.until_unready()
