"""The pages that name commands beside what they are about, on one machine, one page after the other."""

from __future__ import annotations

from tests.acceptance.hub import Hub, secret_of
from tests.acceptance.pages import night
from tests.acceptance.pages.conftest import Agbot
from tests.acceptance.pages.machine import Machine
from tests.acceptance.pages.walk import Walk, walking
from tests.acceptance.programs import free_port

NO_DATABASE = "No database is given"
KEPT = "nothing is kept"


async def test_the_commands_of_all_other_pages_do_what_they_say(hub: Hub, machine: Machine, agbot: Agbot) -> None:
    await night.fill(hub, machine)
    machine.environ |= {"HZN_ORG_ID": "o1", "HZN_EXCHANGE_USER_AUTH": f"admin:{secret_of('admin')}"}
    with walking(
        machine, "README.md", NODE="o1/carl", ORG_NODE="o1/carl", ORG_POLICY="o1/up1", ORG_NMP="o1/up1"
    ) as walk:
        await read_me(walk, hub)
    with walking(machine, "docs/api.md") as walk:
        await walk("agbot history replay", "0 different")
    with walking(machine, "docs/cli.md", NODE="o1/carl") as walk:
        await looking(walk)
        await changing(walk)
        await simulating(walk)
    with walking(machine, "docs/demo.md") as walk:
        await walk("agbot status --url URL", "suspect", typed={"URL": machine.console}, code=6)
    with walking(machine, "docs/metrics.md") as walk:
        await walk("agbot shadow", "shadow mode")
        await walk("agbot store compact", "systemctl stop agbot", code=7)
        await walk("agbot install-units", "unchanged")
    with walking(machine, "docs/one-leader.md") as walk:
        await walk("agbot status", "suspect", code=6)
    with walking(machine, "docs/reliability.md") as walk:
        await walk("agbot status", "suspect", code=6)
        await walk("systemctl status", "running")
        await walk("agbot store compact", "systemctl stop agbot", code=7)
    with walking(machine, "docs/settings.md", FILE=str(machine.settings_file), ORG_GROUP="o1/silent") as walk:
        await set_up(walk)


async def read_me(walk: Walk, hub: Hub) -> None:
    """Type what README.md shows."""
    machine = walk.machine
    await machine.started()
    await night.falls(hub, machine)
    await walk("agbot explain NODE", "lease-held")
    await walk("agbot install-units", "kept")
    await walk("agbot check-config /etc/agbot/agbot.toml", "agbot.toml is good")
    await walk("systemctl enable --now agbot")
    await walk("agbot sim exchange", typed={"exchange": f"exchange --listen 127.0.0.1:{free_port()}"}, until_shown=KEPT)
    await walk("agbot doctor", "identity", "o1/ben upgraded without asking", code=1)
    await walk("agbot status", "o1/anna", "o1/silent", code=6)
    await walk("agbot rollout ORG/POLICY --watch", until_shown="o1/busy")
    await walk("agbot explain ORG/NODE", "lease-held")
    await walk("agbot simulate --nmp ORG/NMP", "Forecast of o1/up1")
    await walk("agbot history --since 12h", "o1/anna may upgrade o1/up1")
    await walk("agbot hagroup list", "o1/busy")


async def looking(walk: Walk) -> None:
    await walk("agbot status", "o1/silent", code=6)
    await walk("agbot explain NODE", "lease-held")
    await walk("agbot history", "o1/anna may upgrade o1/up1")
    await walk("agbot history replay", "0 different")
    await walk("agbot shadow", "shadow mode")
    await walk("agbot rollout", "o1/up1")
    await walk("agbot simulate", "Name what is rolled out", code=2)
    await walk("agbot leases", "o1/dora")
    await walk("agbot orders", "o1/failed")


async def changing(walk: Walk) -> None:
    store = str(walk.machine.store_file)
    await walk("agbot store backup FILE", "copied", typed={"FILE": "today.db"})
    await walk("agbot store move FROM TO", "systemctl stop agbot", typed={"FROM": store, "TO": "moved.db"}, code=7)
    await walk("agbot store compact", "systemctl stop agbot", code=7)
    for verb in ("install", "uninstall", "status"):
        await walk(f"agbot guard {verb}", NO_DATABASE, code=2)
    await walk("agbot check-config", "agbot.toml is good")
    await walk("agbot doctor", "identity", "o1/ben upgraded without asking", code=1)
    await walk("agbot install-units", "unchanged")
    await walk("agbot notify", "there is no receiver")
    await walk("agbot node list", "o1/anna")
    await walk("agbot version", "2.")


async def simulating(walk: Walk) -> None:
    await walk("agbot run", "is in use by process", code=4)
    exchange, api, secure = (f"127.0.0.1:{free_port()}" for _ in range(3))
    await walk("agbot sim exchange", typed={"exchange": f"exchange --listen {exchange}"}, until_shown=KEPT)
    hub = f"hub --exchange {exchange} --api {api} --secure-api {secure}"
    await walk("agbot sim hub", typed={"hub": hub}, until_shown=KEPT)


async def set_up(walk: Walk) -> None:
    """Type what docs/settings.md names; that page has settings of its own for one of its commands."""
    machine = walk.machine
    await walk("agbot run --config FILE", "is in use by process", code=4)
    await walk("agbot check-config FILE", "agbot.toml is good")
    await walk("agbot install-units", "unchanged")
    await walk("python -m agbot.settings.sample page", "`[rules]`")
    await walk("systemctl reload agbot")
    await walk("agbot doctor", "identity", "o1/ben upgraded without asking", code=1)
    await walk("agbot guard install", NO_DATABASE, code=2)
    await walk("agbot check-config FILE --effective ORG/GROUP", '[scope."o1/silent"]')
    machine.tables['scope."east-*"'] = {"windows": ["sat,sun 22:00-04:00 Europe/Berlin"]}
    machine.tables['scope."east-1/edge-*"'] = {"min_available": 2}
    machine.write()
    east = "agbot check-config /etc/agbot/agbot.toml --effective east-1/edge-7"
    await walk(east, '[scope."east-1/edge-*"] line', "22:00-04:00 Europe/Berlin (opens ")
