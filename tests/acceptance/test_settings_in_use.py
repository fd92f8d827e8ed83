"""What becomes of settings: a reload uses good ones and refuses bad ones, and a start that cannot succeed says why."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta

from agbot.cli.failure import Exit
from tests.acceptance.hub import Hub
from tests.acceptance.site import Site, ask, granted, group_of_three
from tests.support.patience import until


async def test_a_reload_changes_limits_and_a_bad_file_is_refused(hub: Hub, site: Site) -> None:
    await group_of_three(hub)
    other_day = datetime.now(UTC) + timedelta(days=3)
    site.tables["rules"]["windows"] = [f"{other_day:%a} 10:00-11:00 UTC".lower().replace("utc", "UTC")]
    site.write()
    daemon = await site.start_ready()
    status, message = await ask(site, "anna")
    assert (status, "outside-window" in message) == (409, True)

    site.tables["rules"]["min_available"] = "none"
    site.tables["rules"]["lease_secods"] = 1
    site.write()
    daemon.reload()
    [refused] = await until("the refusal of the bad file", lambda: daemon.events("settings.refused"))
    number, key = line_of(site, "min_available"), line_of(site, "lease_secods")
    assert any(f":{number}: rules.min_available: " in each for each in refused["mistakes"])
    assert any(f":{key}: rules.lease_secods: " in each and "lease_seconds" in each for each in refused["mistakes"])
    assert (await ask(site, "anna"))[0] == 409, "the old limits hold"
    shown = await site.programs.run("status", "--url", site.console)
    assert (shown.code, "Changed settings are not used" in shown.out) == (Exit.NEEDS_A_PERSON, True)

    site.tables["rules"] = {}
    site.tables["gateway"]["max_open"] = 77
    site.write()
    daemon.reload()
    [reloaded] = await until("the good file", lambda: daemon.events("settings.reloaded"))
    assert "Changed settings" not in (await site.programs.run("status", "--url", site.console)).out
    assert reloaded["needs_restart"] == ["gateway"]
    changed = {each["setting"]: (each["old"], each["new"]) for each in reloaded["changed"]}
    assert changed["gateway.max_open"] == ("2000", "77")
    assert changed["rules.windows"][1] == "always open"
    await granted(site, "anna")

    shown = await site.programs.run("history", "--event", "settings", "--url", site.console, "--json")
    [entry] = shown.json["entries"]
    assert (entry["event"], entry["who"]) == ("settings.reloaded", "SIGHUP")
    assert entry["facts"]["changed"] == reloaded["changed"]
    assert entry["facts"]["needs_restart"] == ["gateway"]


async def test_a_reload_takes_the_scopes_over_at_once(hub: Hub, site: Site) -> None:
    await group_of_three(hub)
    await hub.group("g2", "dora", "emil")
    other_day = f"{datetime.now(UTC) + timedelta(days=3):%a}".lower()
    daemon = await site.start_ready()
    site.tables["rules"]["windows"] = [f"{other_day} 10:00-11:00"]
    site.tables['scope."o1/g2"'] = {"windows": []}
    site.write()
    daemon.reload()
    await until("the reload", lambda: daemon.events("settings.reloaded"))

    status, message = await ask(site, "anna")
    assert (status, "outside-window" in message) == (409, True)
    await granted(site, "dora", group="g2")

    site.tables['scope."o1/g*"'] = {"windows": []}
    site.tables['scope."o1//g2"'] = site.tables.pop('scope."o1/g2"')
    site.write()
    daemon.reload()
    [refused] = await until("the refusal of the bad scope", lambda: daemon.events("settings.refused"))
    assert 'scope."o1//g2": it has two slashes' in refused["mistakes"][0]
    assert (await ask(site, "anna"))[0] == 409, "the old scopes hold"

    del site.tables['scope."o1//g2"']
    site.write()
    daemon.reload()
    await until("the good file", lambda: daemon.events("settings.reloaded")[1:])
    await granted(site, "anna")


async def test_a_missing_file_at_a_reload_is_refused_too(hub: Hub, site: Site) -> None:
    daemon = await site.start_ready()
    site.settings_file.unlink()
    daemon.reload()
    [refused] = await until("the refusal", lambda: daemon.events("settings.refused"))
    assert "cannot be read" in refused["mistakes"][0]
    assert await site.shows("/readyz", 200)


async def test_bad_settings_end_with_1_and_every_mistake_at_its_line(absent_hub: Hub, site: Site) -> None:
    site.tables["exchange"] |= {"poll_seconds": -1, "url": "ftp://hub/v1", "token_file": "nowhere"}
    site.tables["gateway"] |= {"listen": "8083"}
    site.write()
    stated = await site.programs.run("run", "--config", site.settings_file)
    assert stated.code == 1
    for key in ("poll_seconds", "url", "token_file", "listen"):
        section = "gateway" if key == "listen" else "exchange"
        assert f"{site.settings_file}:{line_of(site, key)}: {section}.{key}: " in stated.err
    assert "check-config" in stated.err
    assert "Traceback" not in stated.err


async def test_a_second_daemon_on_the_same_store_ends_with_4_and_names_the_first(hub: Hub, site: Site) -> None:
    first = await site.start_ready()
    other = Site(site.folder, site.programs, site.session, site.exchange_url)
    second = other.start()
    assert await second.ended() == 4
    [failed] = second.events("daemon.failed")
    assert f"in use by process {first.pid}" in failed["error"]
    assert str(site.store_file) in failed["error"]
    assert await site.shows("/readyz", 200), "the first goes on"


async def test_a_taken_address_ends_with_7_and_says_which(hub: Hub, site: Site) -> None:
    for port in (site.gateway_port, site.console_port):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            taken.listen()
            daemon = site.start()
            assert await daemon.ended() == 7
        [failed] = daemon.events("daemon.failed")
        assert str(port) in failed["error"]
        assert "address already in use" in failed["error"].lower()
    await site.start_ready()


async def test_a_missing_directory_of_the_store_ends_with_7_and_says_what_to_do(hub: Hub, site: Site) -> None:
    site.tables["store"]["path"] = "not-mounted/agbot.db"
    site.write()
    daemon = site.start()
    assert await daemon.ended() == 7
    [failed] = daemon.events("daemon.failed")
    assert "the directory must exist" in failed["error"]


def line_of(site: Site, key: str) -> int:
    """Return the line on which the first key of this name stands."""
    lines = site.settings_file.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.startswith(f"{key} ="))
