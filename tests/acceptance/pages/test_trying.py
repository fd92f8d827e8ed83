"""docs/shadow.md and docs/doctor.md beside a simulated hub, which both pages offer to whoever has none."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from tests.acceptance.pages.commands import commands
from tests.acceptance.pages.conftest import Agbot
from tests.acceptance.pages.machine import Machine
from tests.acceptance.pages.walk import walking
from tests.acceptance.programs import free_port
from tests.support.patience import until


async def test_shadow_mode_shows_differences_beside_the_simulated_hub(machine: Machine) -> None:
    exchange, api, secure = (f"127.0.0.1:{free_port()}" for _ in range(3))
    machine.environ["AGBOT_CONSOLE_LISTEN"] = urlsplit(machine.console).netloc
    program = machine.home / "agbot/.venv/bin/agbot"
    program.parent.mkdir(parents=True)
    program.symlink_to(machine.stage.folder / "agbot")
    quickly = f"sim hub --fast --upgrades-after 4 --exchange {exchange} --api {api} --secure-api {secure}"
    with walking(machine, "docs/shadow.md") as walk:
        await walk("cd agbot")
        await walk("export HZN_EXCHANGE_URL=http://127.0.0.1:3090/v1", typed={"127.0.0.1:3090": exchange})
        await walk("export EXCHANGE_ROOT_PW=rootpw")
        await walk("export AGBOT_API=http://127.0.0.1:8080", typed={"127.0.0.1:8080": api})
        hub = ".venv/bin/agbot sim hub --defect a1 --defect w2"
        await walk(hub, typed={"sim hub": quickly}, until_shown="nothing is kept", goes_on=True)
        await walk("(umask 077; head -c 24 /dev/urandom | base64 | tr -d '/+=' > exchange-token)")
        identity, settings = (
            each for each in commands("docs/shadow.md") if each.startswith(("curl -sS", "cat > shadow.toml"))
        )
        await walk(identity, '{"code":"ok"')
        await walk(settings)
        await walk(".venv/bin/agbot doctor shadow.toml", "o1/a1", code=1)
        await walk(".venv/bin/agbot run --config shadow.toml", until_shown="daemon.ready", goes_on=True)
        await until("a difference", lambda: machine.shows_text("/v1/history?event=shadow", "shadow.differs"))
        await walk(".venv/bin/agbot status", "SHADOW MODE", code=6)
        await walk(".venv/bin/agbot shadow", "the coordinator would have kept it waiting")
        await walk(".venv/bin/agbot explain ORG/NODE", "o1/kitchen-1", typed={"ORG/NODE": "o1/kitchen-1"})
        await walk("agbot status", "SHADOW MODE", code=6)
        await walk(
            "curl -u … -X DELETE $HZN_EXCHANGE_URL/orgs/IBM/agbots/upgrade-coordinator", typed={"…": "root/root:rootpw"}
        )
        await walk("agbot history --event shadow", "o1/")


async def test_the_doctor_finds_the_rows_of_the_simulated_hub(machine: Machine, agbot: Agbot) -> None:
    await machine.started()
    exchange, api, secure = (f"127.0.0.1:{free_port()}" for _ in range(3))
    with walking(machine, "docs/doctor.md") as walk:
        await walk("agbot doctor", "identity", "nothing is wrong")
        shown = await walk("agbot doctor FILE --json", typed={"FILE": "/etc/agbot/agbot.toml"})
        assert json.loads(shown)["slots"] == []
        await walk("agbot doctor --cure", "nothing is wrong")
        await walk("agbot check-config", "agbot.toml is good")
        elsewhere = f"sim hub --exchange {exchange} --api {api} --secure-api {secure}"
        hub = "agbot sim hub --defect all --upgrades-after -1"
        await walk(hub, typed={"sim hub": elsewhere}, until_shown="nothing is kept", goes_on=True)
    (machine.folder / "exchange-token").write_text("upgrade-coordinator-secret", encoding="utf-8")
    del machine.environ["HZN_EXCHANGE_URL"]
    machine.tables["exchange"] |= {"url": f"http://{exchange}/v1", "identity": "IBM/upgrade-coordinator"}
    machine.tables["agbot"]["api"] = [f"http://{api}"]
    assert urlsplit(agbot.api).netloc != api
    machine.write()
    code, shown = await machine.typed("agbot doctor")
    assert code == 1
    for defect in ("A1", "A2", "A3", "A7", "W1", "W2", "W3", "W14", "W15"):
        assert f"({defect})" in shown, shown
