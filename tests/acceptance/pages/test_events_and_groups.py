"""docs/events.md with a real broker that has the access rules of the page, and docs/hagroup.md."""

from __future__ import annotations

import json
import re
import textwrap
from datetime import UTC, datetime, timedelta
from functools import partial

from agbot.sim.agent_state import Word
from tests.acceptance.hub import Hub, secret_of
from tests.acceptance.pages.commands import ROOT
from tests.acceptance.pages.machine import Machine
from tests.acceptance.pages.walk import walking
from tests.acceptance.site import ask, group_of_three
from tests.support.mosquitto import Mosquitto
from tests.support.patience import until

PASSWORD = "hush7broker7hush"


def access_rules() -> str:
    """Return the access rules for mosquitto as the page has them."""
    page = (ROOT / "docs/events.md").read_text(encoding="utf-8")
    (rules,) = re.findall(r"^    # the coordinator\n(?:    .*\n|\n)+", page, flags=re.MULTILINE)
    return textwrap.dedent(rules)


async def test_a_workload_asks_for_no_upgrade_under_the_access_rules_of_the_page(
    hub: Hub, machine: Machine, broker: Mosquitto
) -> None:
    rules = broker.folder / "acl"
    rules.write_text(access_rules(), encoding="utf-8")
    rules.chmod(0o600)
    broker.lines = (f"acl_file {rules}",)
    broker.passwords = {"agbot": PASSWORD, "o1/n1": secret_of("n1")}
    await broker.start()
    password = machine.folder / "mqtt-password"
    password.write_text(PASSWORD, encoding="utf-8")
    password.chmod(0o600)
    broker_of = {"host": "127.0.0.1", "port": broker.port, "username": "agbot", "password_file": "mqtt-password"}
    machine.tables["mqtt"] = {**broker_of, "busy": True}
    machine.write()
    await hub.publish()
    await hub.group("g1", "n1", "n2")
    await machine.started()
    with walking(machine, "docs/events.md") as walk:
        await walk("journalctl -u agbot -p warning", "[settings.doubtful")
        await walk("agbot notify --test", f"127.0.0.1:{broker.port}", "has the test event")
        await walk("agbot history", "test")
        login = {"mosquitto_pub": f"mosquitto_pub -h 127.0.0.1 -p {broker.port}", "…": secret_of("n1")}
        in_an_hour = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
        busy = "mosquitto_pub -u o1/n1 -P … -q 1 -r -t agbot/o1/n1/busy"
        message = '\'{"until": "2026-12-01T06:00:00Z", "reason": "a batch runs"}\''
        await walk(f"{busy} -m {message}", typed=login | {"2026-12-01T06:00:00Z": in_an_hour})
        await machine.logged("[busy.begun")
        assert "node-busy" in (await ask(machine, "n1", group="g1", nmp="up1"))[1]
        await walk(f"{busy} -n", typed=login)
        await machine.logged("[busy.ended")


async def test_groups_are_listed_made_changed_and_removed_as_with_hzn(hub: Hub, machine: Machine) -> None:
    await group_of_three(hub)
    await hub.node("dora")
    await machine.started()
    machine.environ |= {"HZN_ORG_ID": "o1", "HZN_EXCHANGE_USER_AUTH": f"admin:{secret_of('admin')}"}
    with walking(machine, "docs/hagroup.md") as walk:
        await walk("agbot hagroup", "Usage: agbot hagroup", code=1)
        template = await walk("agbot hagroup new", '"members"')
        assert "name" in template
        assert set(json.loads(await walk("agbot hagroup list"))) == {"o1/g1"}
        (machine.home / "group.json").write_text(
            '{"name": "g2", "description": "two", "members": ["dora"]}', encoding="utf-8"
        )
        await walk("agbot hagroup add -f FILE", "g2", typed={"FILE": "group.json"})
        await walk("agbot hagroup remove GROUP", "HA group o1/g2 removed", typed={"GROUP": "g2"}, answer="y")
        await walk(
            "agbot hagroup member add GROUP -m NODE…",
            "The following nodes are added to HA group o1/g1: dora",
            typed={"GROUP": "g1", "NODE…": "dora"},
        )
        await walk(
            "agbot hagroup member remove GROUP -m NODE…",
            "Node carl is removed from HA group o1/g1",
            typed={"GROUP": "g1", "NODE…": "carl"},
            answer="y",
        )
        await hub.group("g3", "carl", exists=True)
        await walk(
            "agbot hagroup member move GROUP -m NODE…",
            "Moved o1/carl from g3 to HA group o1/g1",
            typed={"GROUP": "g1", "NODE…": "carl"},
            answer="y",
        )
        await walk("agbot node list", "o1/anna")
        await hub.report("anna", Word.INITIATED)
        await walk("agbot nmp status NMP", "initiated", typed={"NMP": "up1"})
        await walk("agbot version", "2.")
    for name in ("anna", "ben", "carl", "dora"):
        await until(f"{name} as a member", partial(machine.shows_text, "/v1/groups/o1/g1", f'"o1/{name}"'))
