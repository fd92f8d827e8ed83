"""docs/operations.md from the installation to the restore, on one machine, and on a second one where the page has two."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from agbot.sim.agent_state import Word
from agbot.sim.clock import Clock, ScaledClock
from agbot.sim.plain_http import Received, Reply, listening
from tests.acceptance.hub import ROOT as EXCHANGE_ROOT
from tests.acceptance.hub import Hub, ask, secret_of
from tests.acceptance.pages import night
from tests.acceptance.pages.conftest import Agbot
from tests.acceptance.pages.machine import Machine
from tests.acceptance.pages.walk import Walk, walking
from tests.acceptance.programs import free_port
from tests.acceptance.site import granted
from tests.support.patience import until
from tests.support.postgres import Postgres, program

IDENTITY = "upgrade-coordinator"
PASSWORD = "hush7database7hush"


class Chat:
    """A service that takes every message."""

    clock: Clock = ScaledClock()

    def headers(self, received: Received) -> tuple[tuple[str, str], ...]:
        return ()

    async def answer(self, received: Received) -> Reply:
        return Reply(status=200, body="{}")


async def test_operations_from_the_installation_to_the_restore(
    hub: Hub, machine: Machine, agbot: Agbot, postgres_server: Postgres, postgres_database: str
) -> None:
    with walking(machine, "docs/operations.md", ORG_GROUP="o1/busy", ORG_POLICY="o1/up1") as walk:
        await installed(walk, hub)
        await looked_at(walk, hub)
        await reported(walk)
        await freed(walk, hub)
        await renewed(walk)
        await moved_to_postgresql(walk, postgres_server, postgres_database)
        await led_by_another(walk)
        await made_smaller(walk)
        await restored(walk)


async def installed(walk: Walk, hub: Hub) -> None:
    """Install it as for the first time, and with the settings that the page names."""
    machine = walk.machine
    settings = machine.settings_file.read_text(encoding="utf-8")
    machine.settings_file.unlink()
    (machine.root / "etc/systemd/system/agbot.service").unlink()
    await walk("agbot install-units", f"written {machine.settings_file}", "/etc/systemd/system/agbot.service")
    identity = f"$HZN_EXCHANGE_URL/orgs/IBM/agbots/{IDENTITY} -H 'Content-Type: application/json'"
    body = f'-d \'{{"token":"…","name":"{IDENTITY}","publicKey":""}}\''
    token = secret_of("coordinator")
    await walk(
        f"curl -u root/root:… -X PUT {identity} {body}",
        '"code":"ok"',
        typed={"root/root:…": ":".join(EXCHANGE_ROOT), '"token":"…"': f'"token":"{token}"'},
    )
    sample = machine.settings_file.read_text(encoding="utf-8")
    assert f'identity = "IBM/{IDENTITY}"' in sample
    for key in ("url", "secure_api", "api"):
        (value,) = re.findall(rf"^{key} = .*$", settings, flags=re.MULTILINE)
        sample, number = re.subn(rf"^#?{key} = .*$", value, sample, count=1, flags=re.MULTILINE)
        assert number == 1
    machine.settings_file.write_text(sample, encoding="utf-8")
    await walk("agbot check-config /etc/agbot/agbot.toml", "agbot.toml is good")
    machine.settings_file.write_text(settings, encoding="utf-8")  # with ports that are free here, and short periods
    await walk("systemctl enable --now agbot")
    await machine.until_ready()
    (machine.home / "agbot_0.1.0_amd64.deb").touch()
    await walk("dpkg -i agbot_*.deb")
    await machine.until_ready()
    await walk("systemctl edit agbot", answer="[Service]\nLoadCredential=mqtt-password:/etc/agbot/mqtt-password")
    assert "mqtt-password" in machine.services.known["agbot"].drop_in.read_text(encoding="utf-8")
    machine.services.known["agbot"].drop_in.unlink()
    await walk("agbot doctor", "identity")


async def looked_at(walk: Walk, hub: Hub) -> None:
    """See how it is, while everything of a bad night happens."""
    machine = walk.machine
    await night.fill(hub, machine)
    await walk("journalctl -u agbot -n 20", "[daemon.ready")
    await walk("agbot check-config", "agbot.toml is good")
    await machine.restarted()
    await night.falls(hub, machine)
    await ask(machine.gateway, "emil", group="silent", secret="hush7wrong7hush")
    await machine.logged("[login.failed")
    await walk("agbot status", "o1/silent", "suspect", code=6)
    await walk("systemctl status agbot", "active (running)", "held")
    await walk("agbot rollout", "o1/up1")
    await walk("agbot rollout ORG/POLICY --watch", until_shown="o1/busy")
    await walk("agbot status --watch", until_shown="o1/silent")
    await walk("agbot history --follow", until_shown="may upgrade")
    await walk("agbot leases", "held until proof")
    await walk("agbot history", "o1/anna may upgrade o1/up1")
    await walk("journalctl -u agbot", "[lease.granted", "[lease.suspected")
    await walk("journalctl -u agbot | grep login.failed", "node=o1/emil")


async def reported(walk: Walk) -> None:
    """Ask why, and what happened."""
    await walk("agbot explain ORG/NODE", "lease-held", typed={"ORG/NODE": "o1/carl"})
    await walk("agbot history --since 12h", "o1/anna", "o1/dora")
    await walk("agbot history --group ORG/GROUP --event lease", "o1/anna may upgrade o1/up1")
    await walk("agbot history --in ORG --event hold --event brake", "o1/failed", typed={"ORG": "o1"})
    await walk("agbot history replay", "0 different")
    async with listening(Chat()) as chat:
        machine = walk.machine
        (machine.folder / "notify-addresses").write_text(f"json://{urlsplit(chat.url).netloc}\n", encoding="utf-8")
        machine.tables["notify"] = {"addresses_file": "notify-addresses"}
        await machine.restarted()
        await walk("agbot notify", "JSON")
        await walk("agbot notify --test", "has the test event")
        del machine.tables["notify"]
        (machine.folder / "notify-addresses").unlink()
        await machine.restarted()
    shown = await walk(
        "agbot check-config /etc/agbot/agbot.toml --effective ORG/GROUP", typed={"ORG/GROUP": "o1/silent"}
    )
    assert re.search(r'^lease_seconds +2 +\[scope."o1/silent"\] line \d+$', shown, flags=re.MULTILINE)
    await walk("systemctl reload agbot")
    await walk.machine.logged("[settings.reloaded")


async def freed(walk: Walk, hub: Hub) -> None:
    """Free what is stuck, and stop and go on."""
    machine = walk.machine
    token = await night.token(machine, "silent")
    await walk(
        'agbot release ORG/GROUP --reason "…" --token N',
        "o1/dora",
        typed={"ORG/GROUP": "o1/silent", "N": token},
        answer="y",
    )
    await walk(
        'agbot resume ORG/GROUP --subject ORG/POLICY --reason "…"', "may go on", typed={"ORG/GROUP": "o1/failed"}
    )
    await walk("agbot explain NODE", "o1/anna", typed={"NODE": "o1/carl"})
    await machine.typed("systemctl stop agbot && agbot store restored --reason again && systemctl start agbot")
    await machine.until_unready("store")
    await walk('agbot resume --store --reason "…"', "lease store")
    await machine.until_able()
    await walk("timedatectl", "synchronized")
    await rests(hub, machine)
    await walk('agbot resume ORG/GROUP --rest --reason "…"', "o1/resting", typed={"ORG/GROUP": "o1/resting"})
    await walk("agbot hold '*' --reason \"…\" --until 2h", "is on hold")
    await walk("agbot resume '*' --reason \"…\"", "because")


async def rests(hub: Hub, machine: Machine) -> None:
    """Let a group rest after an upgrade that went well."""
    machine.tables["rules"]["agent_soak_seconds"] = 600.0
    machine.write()
    assert (await machine.typed("systemctl reload agbot"))[0] == 0
    await hub.group("resting", "ines", "kim")
    await granted(machine, "ines", group="resting")
    await hub.report("ines", Word.INITIATED)
    await hub.report("ines", Word.SUCCESSFUL)
    await machine.logged("[lease.released group=o1/resting")


async def renewed(walk: Walk) -> None:
    """Renew a secret that systemd has copied, and a certificate for a group of users."""
    await walk("systemctl restart agbot")
    await walk.machine.until_ready()
    (walk.machine.home / "tls.crt").touch()
    hook = {"agbot-tls": "$(id -gn)", "…": "tls.crt /etc/agbot/tls.crt"}
    await walk("install -m 640 -g agbot-tls …", typed=hook)
    assert (walk.machine.folder / "tls.crt").stat().st_mode & 0o777 == 0o640


async def moved_to_postgresql(walk: Walk, server: Postgres, database: str) -> None:
    """Move the store into a database, back it up there, and put it back."""
    machine, role = walk.machine, f"{database}_coordinator"
    server.run(
        database, f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'", f"CREATE SCHEMA agbot_ha AUTHORIZATION {role}"
    )
    password = machine.folder / "store-password"
    password.write_text(PASSWORD, encoding="utf-8")
    password.chmod(0o600)
    await walk("systemctl stop agbot")
    url = server.url(database, user=role)
    usual = "postgresql://agbot_coordinator@db/agbot?sslmode=verify-full"
    await walk(
        f"agbot store move /var/lib/agbot/agbot.db '{usual}' --password-file /etc/agbot/store-password",
        "moved",
        "lease",
        f'[store] url = "{url}"',
        typed={usual: url},
    )
    machine.share(url, ttl_seconds=2.0, renew_seconds=0.3)
    machine.tables["leadership"]["name"] = "hub-1"
    machine.tables["store"]["password_file"] = "store-password"
    await machine.restarted()
    assert (await machine.leases())["busy"]["holder"] == "o1/anna"
    await machine.typed("systemctl stop agbot")
    await walk('agbot store restored --reason "snapshot of Monday"', "is marked as an older copy")
    for name in ("pg_dump", "pg_restore"):
        (machine.stage.folder / name).symlink_to(program(name))
    await walk(f"pg_dump --schema=agbot_ha --format=custom --file=monday.dump '{usual}'", typed={usual: url})
    await walk("pg_restore --list monday.dump | grep -v ' SCHEMA - ' > monday.list")
    whole = "--single-transaction --clean --if-exists"
    await walk(f"pg_restore --use-list=monday.list {whole} --dbname='{usual}' monday.dump", typed={usual: url})
    assert (await machine.typed("systemctl start agbot"))[0] == 0
    await until("what was in the dump", lambda: machine.shows_text("/v1/leases", '"holder":"o1/anna"'))


async def led_by_another(walk: Walk) -> None:
    """Let a second coordinator on the same store lead."""
    machine = walk.machine
    gateway, console = (f"127.0.0.1:{free_port()}" for _ in range(2))
    addresses = {"gateway_url": f"http://{gateway}", "console_url": f"http://{console}"}
    machine.add_unit(
        "hub-2",
        {
            **machine.tables,
            "gateway": {"listen": gateway},
            "console": {"listen": console},
            "leadership": {**machine.tables["leadership"], "name": "hub-2", **addresses},
        },
    )
    assert (await machine.typed("systemctl start hub-2"))[0] == 0
    await walk("agbot lead hub-2 --reason …", "hub-2 leads now", answer="y")
    assert (await machine.typed("systemctl stop hub-2"))[0] == 0


async def made_smaller(walk: Walk) -> None:
    """Return the space of deleted entries, on the file again."""
    machine = walk.machine
    await walk("systemctl stop agbot")
    machine.tables["store"] = {"path": str(machine.store_file)}
    del machine.tables["leadership"]
    machine.write()
    await walk("agbot store compact", "has shrunk")
    await walk("systemctl start agbot")


async def restored(walk: Walk) -> None:
    """Back the file up, put it back, and see that it is noticed."""
    machine = walk.machine
    await walk("agbot store backup /var/backups/agbot-monday.db", "copied")
    await walk("systemctl stop agbot")
    restore = "agbot store restore /var/backups/agbot-monday.db"
    await walk(f'{restore} --reason "the disk was replaced"', "agbot.db.before-restore")
    await walk("systemctl start agbot")
    await machine.logged("[store.changed")
    assert (await machine.typed("systemctl stop agbot"))[0] == 0
    await walk('sqlite3 agbot.db ".backup copy.db"', typed={"agbot.db": "/var/lib/agbot/agbot.db"})
    copied = await machine.typed("agbot store restore copy.db --reason 'a copy by sqlite3'")
    assert copied[0] == 0, copied
    await walk('agbot store restored --reason "snapshot of Monday"', "is marked as an older copy")
