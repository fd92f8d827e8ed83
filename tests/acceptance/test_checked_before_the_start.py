"""Whatever `agbot run` refuses to start with, `agbot check-config` calls a mistake of the same key."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from agbot.store.sqlite import SqliteStore
from tests.acceptance.hub import Hub
from tests.acceptance.programs import Said
from tests.acceptance.site import Site
from tests.acceptance.test_starting_badly import small_disk
from tests.support.authority import made
from tests.support.examples import some

Change = Callable[[Site], object]


def setting(section: str, **keys: Any) -> Change:
    return lambda site: site.tables.setdefault(section, {}).update(keys)


def without(section: str, key: str) -> Change:
    return lambda site: site.tables[section].pop(key)


def file(name: str, content: bytes, section: str, key: str) -> Change:
    def change(site: Site) -> None:
        (site.folder / name).write_bytes(content)
        site.tables.setdefault(section, {})[key] = name

    return change


def pair(certificate: str, key: str, section: str) -> Change:
    def change(site: Site) -> None:
        one, other = made(site.folder / "tls", certificate), made(site.folder / "tls", key)
        site.tables.setdefault(section, {}).update(certificate_file=str(one.certificate), key_file=str(other.key))

    return change


def store(*statements: str) -> Change:
    """A store of this program that something was done to."""

    def change(site: Site) -> None:
        async def make() -> None:
            opened = SqliteStore(site.store_file)
            await opened.open()
            await opened.close()

        if not statements:
            site.store_file.mkdir()
            return
        asyncio.run(make())
        with closing(sqlite3.connect(site.store_file, isolation_level=None)) as connection:
            for each in statements:
                connection.execute(each)

    return change


REFUSED: list[tuple[str, Change]] = [
    ("exchange.url", without("exchange", "url")),
    ("exchange.url", setting("exchange", url="https://h ost/v1")),
    ("exchange.url", setting("exchange", url="https://hub.example.com:0/v1")),
    ("exchange.identity", without("exchange", "identity")),
    ("exchange.token_file", setting("exchange", token_file="none")),
    ("exchange.token_file", file("empty", b"", "exchange", "token_file")),
    ("exchange.token_file", file("two", b"a b", "exchange", "token_file")),
    ("exchange.ca_file", file("ca", b"no certificate", "exchange", "ca_file")),
    ("console.token_file", file("binary", b"\xff\xfe", "console", "token_file")),
    ("notify.addresses_file", setting("notify", addresses_file="none")),
    ("notify.addresses_file", file("addresses", b"slak://x\n", "notify", "addresses_file")),
    ("notify.addresses_file", file("addresses", b"mailto://u:p@127.0.0.1\n", "notify", "addresses_file")),
    ("notify.addresses_file", file("addresses", b"json://localhost\nslak://x\n", "notify", "addresses_file")),
    ("notify.addresses_file", file("addresses", b"# none\n", "notify", "addresses_file")),
    ("notify.addresses_file", file("addresses", b"\xff\xfe", "notify", "addresses_file")),
    ("notify.events", setting("notify", events=["lease.relaesed"])),
    ("webhook.urls", setting("webhook", urls=["ftp://example.com"], secret_file="exchange-token")),
    ("mqtt.ca_file", setting("mqtt", host="127.0.0.1", tls=True, ca_file="none")),
    ("mqtt.key_file", pair("one", "other", "mqtt")),
    ("gateway.key_file", pair("one", "other", "gateway")),
    ("gateway.listen", setting("gateway", listen="192.0.2.1:8083")),
    ("console.listen", setting("console", listen="nowhere.invalid:8084")),
    ("console.listen", setting("console", listen="127.0.0.1:99999")),
    ("agbot.api", setting("agbot", api=["http://h ost"])),
    ("agbot.secure_api", setting("agbot", secure_api="https://h ost")),
    ("store.url", setting("store", url="postgresql://127.0.0.1/agbot?nonsense=1")),
    ("store.url", setting("store", url="postgresql://127.0.0.1:port/agbot")),
    ("store.url", setting("guard", enabled=True)),
    ("leadership.gateway_url", setting("leadership", gateway_url="hub-1:8083")),
    ("store.path", setting("store", path="none/agbot.db")),
    ("store.path", setting("store", path="agbot.toml/agbot.db")),
    ("store.path", file("notes.txt", b"buy milk\n" * 1000, "store", "path")),
    ("store.path", store()),
    ("store.path", store("PRAGMA user_version = 999")),
    ("store.path", store("PRAGMA application_id = 1")),
    ("store.path", store("DROP TABLE lease")),
]


async def refused(site: Site) -> tuple[Said, Said]:
    """Start, and check the settings of, a coordinator that cannot start."""
    site.write()
    checked = await site.programs.run("check-config", site.settings_file)
    return await site.programs.run("run", "--config", site.settings_file), checked


def shown(number: int) -> str:
    key, _ = REFUSED[number]
    return f"{key}-{number}"


async def test_a_full_disk_of_the_store_is_a_mistake_too(hub: Hub, site: Site) -> None:
    with small_disk(site.folder / "disk") as disk:
        (disk / "rest").write_bytes(b"x" * 12_288)
        site.tables["store"]["path"] = str(disk / "agbot.db")
        started, checked = await refused(site)

    assert (started.code, checked.code) == (7, 1)
    assert f"store.path: the disk of {disk} is full; free space on its disk" in checked.out


async def test_a_running_coordinator_is_no_mistake_of_its_own_settings(hub: Hub, site: Site) -> None:
    await site.start_ready()

    checked = await site.programs.run("check-config", site.settings_file)

    assert checked.code == 0, checked.out
    assert "would refuse to start" not in checked.out


async def test_the_check_leaves_nothing_behind(hub: Hub, site: Site) -> None:
    before = sorted(site.folder.iterdir())
    assert (await site.programs.run("check-config", site.settings_file)).code == 0
    assert sorted(site.folder.iterdir()) == before
    await asyncio.to_thread(store("PRAGMA user_version"), site)
    before = sorted(site.folder.iterdir())
    assert (await site.programs.run("check-config", site.settings_file)).code == 0
    assert sorted(site.folder.iterdir()) == before


@pytest.mark.parametrize("number", some(range(len(REFUSED))), ids=shown)
async def test_what_a_start_is_refused_for_is_a_mistake_of_that_key(hub: Hub, site: Site, number: int) -> None:
    key, change = REFUSED[number]
    await asyncio.to_thread(change, site)

    started, checked = await refused(site)

    assert started.code in {1, 7}, started.err
    assert checked.code == 1, (checked.out, started.err)
    assert f" mistake: {key}: " in checked.out
    assert "would refuse to start" not in checked.out
    assert "Traceback" not in started.err + checked.err
