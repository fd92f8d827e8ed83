"""docs/tls.md and docs/several-hubs.md."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.pages.conftest import Agbot
from tests.acceptance.pages.machine import Machine
from tests.acceptance.pages.walk import walking
from tests.acceptance.programs import free_port
from tests.support.authority import made


async def test_a_node_can_test_the_certificate_and_a_reload_renews_it(machine: Machine, agbot: Agbot) -> None:
    old, new = made(machine.root / "old", "hub"), made(machine.root / "new", "hub")
    keys = machine.root / "etc/horizon/keys"
    keys.mkdir(parents=True)
    certificate, key = keys / "horizonMgmtHub.crt", keys / "horizonMgmtHub.key"
    old.put_at(certificate, key)
    machine.tables["gateway"] |= {"certificate_file": str(certificate), "key_file": str(key)}
    machine.write()
    trusted = machine.root / "etc/horizon/agent-install.crt"
    trusted.write_bytes(old.certificate.read_bytes())
    await machine.started()
    with walking(machine, "docs/tls.md") as walk:
        await walk("agbot check-config", "agbot.toml is good")
        url = "https://hub.example.com:3111"
        curl = "curl --cacert /etc/horizon/agent-install.crt"
        await walk(f"{curl} {url}/no/such/path", "404", typed={url: machine.gateway})
        new.put_at(certificate, key)
        await walk("systemctl reload agbot")
        await machine.logged("renewed=")
    refused = await machine.typed(f"{curl} {machine.gateway}/no/such/path")
    assert refused[0] == 60, "the node trusts the old one alone"


async def test_a_second_hub_has_a_unit_and_settings_of_its_own(machine: Machine, agbot: Agbot) -> None:
    await machine.started()
    listen = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    with walking(machine, "docs/several-hubs.md") as walk:
        await walk("cp /etc/systemd/system/agbot.service /etc/systemd/system/agbot-north.service")
        await walk("cp /etc/agbot/agbot.toml /etc/agbot/north.toml")
        units = machine.root / "etc/systemd/system"
        edit(
            units / "agbot-north.service",
            lambda text: text.replace("agbot.toml", "north.toml").replace("=agbot\n", "=agbot-north\n"),
        )
        free = iter(listen)
        edit(
            machine.folder / "north.toml",
            lambda text: re.sub(r'(?<=listen = ")[^"]*', lambda _: next(free), text).replace(
                "lib/agbot/", "lib/agbot-north/"
            ),
        )
        assert await machine.typed("systemctl start agbot-north") == (0, "")
        status = "AGBOT_URL=http://127.0.0.1:8184 agbot status"
        await walk(status, "ready", typed={"http://127.0.0.1:8184": f"http://{listen[1]}"})
    assert (machine.root / "var/lib/agbot-north/agbot.db").exists()


def edit(file: Path, change: Callable[[str], str]) -> None:
    """Change a text as somebody with an editor does."""
    text = file.read_text(encoding="utf-8")
    changed = change(text)
    assert changed != text
    file.write_text(changed, encoding="utf-8")
