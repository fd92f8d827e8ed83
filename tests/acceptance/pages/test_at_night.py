"""The pages that an operator opens at night."""

from __future__ import annotations

import asyncio

from tests.acceptance.hub import COORDINATOR, Hub, secret_of
from tests.acceptance.pages import night
from tests.acceptance.pages.conftest import Agbot
from tests.acceptance.pages.machine import Machine
from tests.acceptance.pages.walk import Walk, walking
from tests.acceptance.programs import free_port
from tests.support.guarded import COORDINATOR as GUARD
from tests.support.guarded import prepare
from tests.support.postgres import Postgres


async def guarded(walk: Walk, server: Postgres, database: str) -> None:
    """Look at the guard of the agbot's database, repair it and remove it."""
    await asyncio.to_thread((await asyncio.to_thread(prepare, server, database)).install)
    there = f"--database {server.url(database, user=GUARD)}"
    await walk("agbot history --event guard.failed", "no such entry in the journal")
    await walk("agbot guard install", "is up to date", typed={"install": f"install {there}"})
    await walk("agbot guard status", "the guard is installed", typed={"status": f"status {there}"})
    await walk("agbot history --event guard.erred", "no such entry in the journal")
    await walk("agbot guard uninstall", "the guard is removed", typed={"uninstall": f"uninstall --yes {there}"})


async def test_the_runbook_helps_in_a_bad_night(
    hub: Hub, machine: Machine, agbot: Agbot, postgres_server: Postgres, postgres_database: str
) -> None:
    machine.tables["mqtt"] = {"host": "127.0.0.1", "port": free_port()}
    await night.fill(hub, machine)
    await machine.started()
    await night.falls(hub, machine)
    await machine.typed("systemctl stop agbot")
    with walking(machine, "docs/runbook.md") as walk:
        await walk("systemctl status agbot", "inactive (dead)", code=3)
        await walk("journalctl -u agbot -n 50", "[daemon.stopped")
        await walk("systemctl start agbot")
        await hub.break_down({"kind": "status", "status": 503})
        await machine.until_unready()
        await walk("agbot status", "NOT READY: the Exchange cannot be read", code=9)
        await walk("curl 'http://127.0.0.1:8084/readyz?verbose'", "Exchange")
        await walk("journalctl -u agbot | grep exchange", "[exchange.failed")
        await walk("timedatectl", "System clock synchronized")
        await hub.break_down()
        await machine.until_able()
        await walk("df /var/lib/agbot", "Filesystem")
        await walk("agbot history --event lease.overlapped", "o1/anna", "o1/ben", "o1/up1")
        await walk("journalctl -u agbot -p err", "-- No entries --")
        await walk("agbot leases", "o1/silent", "suspect", "o1/dora")
        await walk("agbot status ORG/GROUP", "held until proof", typed={"ORG/GROUP": "o1/silent"}, code=6)
        await walk(
            'agbot release ORG/GROUP --reason "…" --token N',
            "o1/dora",
            typed={"ORG/GROUP": "o1/silent", "N": await night.token(machine, "silent")},
            answer="y",
        )
        await walk("agbot history --event lease.released", "forced", "rollback")
        await walk(
            'agbot resume ORG/GROUP --subject ORG/POLICY --reason "…"',
            "o1/up1 may go on in o1/failed",
            typed={"ORG/GROUP": "o1/failed", "ORG/POLICY": "o1/up1"},
        )
        await walk("agbot explain NODE", "lease-held", typed={"NODE": "o1/carl"})
        await walk("agbot check-config --effective ORG/GROUP", "windows", typed={"ORG/GROUP": "o1/busy"})
        await guarded(walk, postgres_server, postgres_database)
        await walk("journalctl -u agbot | grep -e mqtt -e webhook", "[mqtt.failed")
        await walk("agbot history --event delivery.lost", "no such entry in the journal")
        await walk("agbot history --event delivery.refused", "no such entry in the journal")
        await walk("systemctl reload agbot")
        await machine.logged("[settings.reloaded")
        await walk("agbot check-config", "agbot.toml is good")
        await walk("fuser /var/lib/agbot/agbot.db", "agbot.db:")
        await walk("agbot history", "forced")
        await walk("systemctl status systemd-journald", "active (running)")


async def test_troubleshooting_leads_from_what_is_seen_to_its_cause(hub: Hub, machine: Machine, agbot: Agbot) -> None:
    machine.tables["mqtt"] = {"host": "127.0.0.1", "port": free_port()}
    await night.fill(hub, machine)
    (machine.folder / "exchange-token").write_text("not-it\n", encoding="utf-8")
    assert await machine.typed("systemctl start agbot") == (0, "")
    await machine.until_unready("401")
    with walking(machine, "docs/troubleshooting.md") as walk:
        await walk("agbot doctor", "identity", "the Exchange refuses IBM/coordinator with this token", code=1)
        await walk("journalctl -u agbot -n 20", "[exchange.failed", "401")
        await walk("agbot check-config", "agbot.toml is good")
        await walk("curl -s 'http://127.0.0.1:8084/readyz?verbose'", "401")
        await repaired(machine)
        await night.falls(hub, machine)
        await walk("agbot status", "o1/silent", "suspect", code=6)
        await walk("agbot explain ORG/NODE", "o1/anna", "lease-held", typed={"ORG/NODE": "o1/carl"})
        await walk("agbot notify", "Connection refused")


async def repaired(machine: Machine) -> None:
    """Write the right token, and restart, as the page says."""
    (machine.folder / "exchange-token").write_text(secret_of(COORDINATOR) + "\n", encoding="utf-8")
    await machine.restarted()


async def test_each_reason_is_ended_by_what_its_page_says(hub: Hub, machine: Machine) -> None:
    machine.tables["rules"] = {"approval": False}
    await night.fill(hub, machine)
    await machine.started()
    await night.falls(hub, machine)
    with walking(machine, "docs/reasons.md", ORG="o1", POLICY="o1/up1") as walk:
        await walk("agbot explain NODE", "lease-held", typed={"NODE": "o1/carl"})
        await walk(
            "agbot release GROUP --token N --reason …",
            "o1/dora",
            typed={"GROUP": "o1/silent", "N": await night.token(machine, "silent")},
            answer="y",
        )
        await walk("agbot resume GROUP --subject POLICY --reason …", "may go on", typed={"GROUP": "o1/failed"})
        await walk("agbot resume ORG --subject POLICY --reason …", "is not stopped in o1", code=7)
        await machine.typed("agbot hold o1 --reason tonight")
        await walk("agbot resume SCOPE --reason …", "tonight", typed={"SCOPE": "o1"})
        await walk("agbot allow NODE --reason …", "o1/carl", typed={"NODE": "o1/carl"})
        await walk("agbot approve GROUP --subject POLICY --reason …", "o1/busy", typed={"GROUP": "o1/busy"})
        await machine.typed("systemctl stop agbot && agbot store restored --reason again && systemctl start agbot")
        await machine.until_unready("store")
        await walk("agbot resume --store --reason …", "lease store")
        await walk("timedatectl", "synchronized")
        await walk("agbot status", "ready", code=6)
