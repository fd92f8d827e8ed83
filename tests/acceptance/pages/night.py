"""A bad night on a hub: one group in each state that the pages for operators are about."""

from __future__ import annotations

from http import HTTPStatus

from agbot.sim.agent_state import Word
from tests.acceptance.hub import Hub
from tests.acceptance.pages.machine import Machine
from tests.acceptance.site import ask, granted
from tests.support.patience import until

GROUPS = {
    "well": ("ida", "jon"),
    "busy": ("anna", "ben", "carl"),
    "silent": ("dora", "emil"),
    "failed": ("gina", "hugo"),
}
SHORT = {"lease_seconds": 2.0, "max_upgrade_seconds": 4.0}


async def fill(hub: Hub, machine: Machine) -> None:
    """Give the hub its groups, and an upgrade for all of them."""
    machine.tables['scope."o1/silent"'] = dict(SHORT)
    machine.write()
    await hub.publish()
    for group, members in GROUPS.items():
        await hub.group(group, *members)


async def falls(hub: Hub, machine: Machine) -> None:
    """Let it happen: an overlap, a suspect lease, an upgrade that fails, and one that goes well."""
    for group in ("well", "silent", "failed", "busy"):
        node = GROUPS[group][0]
        await granted(machine, node, group=group)
        await hub.report(node, Word.INITIATED)
    await hub.report("ida", Word.SUCCESSFUL)
    await hub.report("gina", Word.ROLLBACK_SUCCESSFUL)
    await hub.report("ben", Word.INITIATED)
    await machine.logged("[lease.overlapped")
    await machine.logged("[brake.set")
    await machine.logged("[lease.released group=o1/well")
    assert (await ask(machine, "carl", group="busy"))[0] == HTTPStatus.CONFLICT
    await until("the suspect lease", lambda: _is_suspect(machine))
    await until("the count of those that do not ask", lambda: machine.shows_text("/healthz", '"bypassing":1'))


async def token(machine: Machine, group: str) -> str:
    """Return the token of a group's lease, as `agbot leases` shows it."""
    return str((await machine.leases())[group]["token"])


async def _is_suspect(machine: Machine) -> bool:
    return bool((await machine.leases())["silent"]["state"] == "suspect")
