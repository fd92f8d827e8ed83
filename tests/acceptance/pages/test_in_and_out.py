"""The way in and the way out, as docs/in-and-out.md has it, beside an all-in-one hub."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from tests.acceptance.hub import ROOT as EXCHANGE_ROOT
from tests.acceptance.hub import Hub, secret_of
from tests.acceptance.pages.commands import ROOT
from tests.acceptance.pages.conftest import Agbot
from tests.acceptance.pages.machine import Machine
from tests.acceptance.pages.walk import walking
from tests.support.guarded import COORDINATOR, prepare
from tests.support.patience import until
from tests.support.postgres import Postgres

DEPLOY = """#!/bin/bash
# Recreates what has changed: the agbot, with its secure API at another port.
[[ "$*" == "-c hub.cfg -u" ]] || { echo "usage: deploy-mgmt-hub.sh -c FILE -u" >&2; exit 1; }
. ./hub.cfg
echo "Recreating agbot on port $AGBOT_SECURE_PORT"
"""
IDENTITY = "upgrade-coordinator"


def use_example(machine: Machine, agbot: Agbot, mode: str) -> None:
    """Use the settings of examples/all-in-one, with this hub's addresses in the place of the usual ones."""
    text = (ROOT / "examples/all-in-one/agbot.toml").read_text(encoding="utf-8")
    for usual, here in (
        ("http://127.0.0.1:3090/v1", machine.exchange_url),
        ("http://127.0.0.1:3112", agbot.secure_api),
        ('["http://127.0.0.1:3110"]', f'["{agbot.api}"]'),
        ("0.0.0.0:3111", f"0.0.0.0:{machine.gateway_port}"),
    ):
        assert usual in text
        text = text.replace(usual, here)
    listen = urlsplit(machine.console).netloc
    text += f'[run]\nmode = "{mode}"\n[console]\nlisten = "{listen}"\n[store]\npath = "{machine.store_file}"\n'
    machine.settings_file.write_text(text, encoding="utf-8")


async def prepared(hub: Hub, machine: Machine) -> None:
    """Give the hub a group and the coordinator's identity, and the machine what else the page speaks of."""
    await hub.publish("agents")
    await hub.group("kitchen", "kitchen-1", "kitchen-2")
    identity = {"token": secret_of("coordinator"), "name": IDENTITY, "msgEndPoint": "", "publicKey": ""}
    await hub.send("PUT", f"/orgs/IBM/agbots/{IDENTITY}", identity, EXCHANGE_ROOT)
    deploy = machine.home / "deploy-mgmt-hub.sh"
    deploy.write_text(DEPLOY, encoding="utf-8")
    deploy.chmod(0o755)
    (machine.home / "agbot_0.2.0_amd64.deb").touch()
    agent = "[Unit]\nDescription=Open Horizon agent\n[Service]\nExecStart=/usr/horizon/bin/anax\n"
    (machine.root / "etc/systemd/system/horizon.service").write_text(agent, encoding="utf-8")


async def test_the_coordinator_comes_between_the_agents_and_the_agbot_and_goes_again(
    hub: Hub, machine: Machine, agbot: Agbot, postgres_server: Postgres, postgres_database: str
) -> None:
    guarded = await asyncio.to_thread(prepare, postgres_server, postgres_database)
    await asyncio.to_thread(guarded.install)
    database = f"--database {postgres_server.url(postgres_database, user=COORDINATOR)}"
    await prepared(hub, machine)
    use_example(machine, agbot, "shadow")
    assert await machine.typed("systemctl start agbot") == (0, "")
    await machine.until_ready()
    with walking(machine, "docs/in-and-out.md") as walk:
        await walk("agbot doctor", "shadow mode listens for no agents")
        secure_port = str(urlsplit(agbot.secure_api).port)
        await walk("echo 'export AGBOT_SECURE_PORT=3112' >> hub.cfg", typed={"3112": secure_port})
        await walk("./deploy-mgmt-hub.sh -c hub.cfg -u", f"agbot on port {secure_port}")
        use_example(machine, agbot, "gateway")
        assert await machine.typed("systemctl restart agbot") == (0, "")
        await machine.until_ready()
        line = "HZN_AGBOT_URL=https://coordinator.example.com:8083"
        await walk(line, typed={line: f"echo HZN_AGBOT_URL={machine.gateway} >> /etc/default/horizon"})
        await walk("systemctl restart horizon")
        await until("the count after the start", lambda: machine.shows_text("/healthz", '"never_asked":2'))
        await walk("agbot status", "2 members have never asked", "o1/kitchen-1")
        await walk("agbot doctor /etc/agbot/agbot.toml", "never asked")

        await walk("GATEWAY=http://127.0.0.1:8083", typed={"http://127.0.0.1:8083": machine.gateway})
        code, question = (
            "curl -s -o /dev/null -w '%{http_code}\\n'",
            "org/o1/hagroup/kitchen/nodemanagement/kitchen-1/agents",
        )
        assert await walk(f"{code} $GATEWAY/{question} -X POST") == "401\n"
        wrong = code.replace("-s", "-s -u o1/kitchen-1:wrong")
        assert await walk(f"{wrong} $GATEWAY/{question} -X POST") == "401\n"
        await machine.logged("[login.failed node=o1/kitchen-1")
        assert await walk(f"{code} $GATEWAY/no/such/path") == "404\n"

        await walk("agbot guard status", "the guard is installed", typed={"status": f"status {database}"})
        await walk("agbot store backup /var/backups/agbot-before.db", "copied")
        await walk("dpkg -i agbot_0.2.0_amd64.deb")
        await machine.until_ready()
        await walk("agbot status", "ready")
        await walk("agbot history replay --since 7d", "0 different")

        await walk("agbot hold '*' --reason \"going back to the agbot\"", "is on hold")
        await walk("agbot leases", "none of")
        await walk("systemctl disable --now agbot")
        await walk("agbot guard uninstall", "the guard is removed", typed={"uninstall": f"uninstall --yes {database}"})
        uninstall = {"uninstall": f"uninstall {database}"}
        await walk("agbot guard uninstall", "the guard was not installed", typed=uninstall)
        await walk("systemctl disable --now agbot")
        await walk("apt purge agbot")
        assert not machine.settings_file.exists()
        identity = "$HZN_EXCHANGE_URL/orgs/IBM/agbots/upgrade-coordinator"
        await walk(f"curl -u root/root:… -X DELETE {identity}", typed={"…": EXCHANGE_ROOT[1]})
        for folder in ("opt/agbot", "etc/agbot", "var/lib/private/agbot"):
            (machine.root / folder).mkdir(parents=True, exist_ok=True)
        await walk("rm -r /opt/agbot /etc/agbot /var/lib/private/agbot")
        await walk("agbot install-units", f"written {machine.root}/usr/local/share")
