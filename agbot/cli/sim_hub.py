"""`agbot sim hub`: a whole simulated hub as a process, with an agbot that knows no coordinator."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import click

from agbot.cli import ending
from agbot.sim.actions import Act, Action
from agbot.sim.agbot_account import AgbotSpec
from agbot.sim.agbot_rows import AgbotRows
from agbot.sim.clock import ScaledClock
from agbot.sim.exchange import SimExchange, seed
from agbot.sim.exchange.server import ExchangeServer
from agbot.sim.fleet import GROUP_PROPERTY, Fleet, quick
from agbot.sim.habits import Fate, Habits
from agbot.sim.http_links import HttpGateway
from agbot.sim.leftovers import leave_behind
from agbot.sim.node import SimNode
from agbot.sim.plain_http import listening
from agbot.sim.secure_api import SecureApi

_ORG: Final = "o1"
_COORDINATOR: Final = "upgrade-coordinator"
_HEARTBEAT_SECONDS: Final = 60.0
_AGENTS, _SERVICES = "kitchen", "shop"
_MEMBERS: Final = 3
GROUPS: Final = (_AGENTS, _SERVICES)
_POLICY: Final = "agents"
_FAST: Final = Habits(
    heartbeat_seconds=5.0,
    ask_seconds=3.0,
    retry_seconds=3.0,
    cron_seconds=4.0,
    precheck_seconds=(0.2, 0.5),
    install_seconds=(3.0, 5.0),
    boot_seconds=(0.2, 0.5),
    settle_seconds=(0.2, 0.5),
    failed_shows_seconds=(1.0, 2.0),
    rollback_seconds=(2.0, 3.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the hub is like."""

    exchange: tuple[str, int]
    agbot: tuple[str, int]
    secure: tuple[str, int]
    defects: tuple[str, ...]
    upgrades_after_seconds: float
    """Negative: no upgrades."""
    gateway: str | None = None
    """Where the agents ask; None: the agbot, which knows no coordinator."""
    fails: str | None = None
    """The group whose first agent upgrade fails and is rolled back."""
    is_fast: bool = False
    rows: AgbotRows | None = None
    """Where the agbot keeps its tables for HA groups; None: in memory."""


async def run(plan: Plan) -> None:
    """Run the hub until SIGTERM or Ctrl-C.

    Raises:
        OSError: an address is not available.
    """
    ended, clock = ending.on_signal(), ScaledClock()
    exchange, secure = SimExchange(clock=clock, root_password="rootpw", seed=0), SecureApi(clock)  # noqa: S106 - of a simulator
    seed.agbot(exchange, "IBM", _COORDINATOR)
    async with AsyncExitStack() as stack:
        server = ExchangeServer(exchange)
        await server.start(*plan.exchange)
        stack.push_async_callback(server.close)
        gateway = HttpGateway(plan.gateway or f"http://{plan.secure[0]}:{plan.secure[1]}")
        habits = _FAST if plan.is_fast else quick()
        fleet = Fleet(exchange, gateway, clock, habits=habits, agbot=AgbotSpec(asks=False), rows=plan.rows)
        secure.lock = fleet.agbot.agent_lock
        await stack.enter_async_context(listening(secure, *plan.secure))
        await stack.enter_async_context(listening(fleet.local_api(), *plan.agbot))
        await stack.enter_async_context(fleet)
        fleet.add_org(_ORG)
        await fleet.add_agbot().has_started()
        scenes = [leave_behind(exchange, fleet.rows, _ORG, defect) for defect in plan.defects]
        dead = {scene.first for scene in scenes if scene.group in {"a1", "w1", "w14"}}
        still = [node for scene in scenes for node in (scene.first, scene.second) if node not in dead]
        seed.serves(exchange, "IBM/agbot1", _ORG)
        _announce(server.url, plan)
        stack.push_async_callback(_ended, asyncio.create_task(_beat(exchange, still)))
        if plan.upgrades_after_seconds >= 0:
            upgrading = _upgrade(fleet, plan.upgrades_after_seconds) if plan.gateway is None else _roll_out(fleet, plan)
            stack.push_async_callback(_ended, asyncio.create_task(upgrading))
        await ended.wait()


def _announce(exchange: str, plan: Plan) -> None:
    def url(address: tuple[str, int]) -> str:
        return f"http://{address[0]}:{address[1]}"

    click.echo(f"simulated Exchange at {exchange} (root/root: rootpw)")
    click.echo(f"simulated agbot IBM/agbot1: local API {url(plan.agbot)}, secure API {url(plan.secure)}")
    click.echo(f"identity for a coordinator: IBM/{_COORDINATOR}, token {_COORDINATOR}-secret")
    if plan.upgrades_after_seconds >= 0:
        names = [f"{group}-{number}" for group in GROUPS for number in range(1, _MEMBERS + 1)]
        of_first = f"{_ORG}/{names[0]}: {seed.token_of(names[0])}"
        click.echo(f"nodes {', '.join(names)} of {_ORG}, each with a token after its name ({of_first})")
    click.echo(f"organisation {_ORG} with admin {_ORG}/admin: admin-secret; Ctrl-C ends it; nothing is kept")


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _beat(exchange: SimExchange, nodes: list[str]) -> None:
    """Send the heartbeats of nodes that do nothing else."""
    while True:
        for node in nodes:
            exchange.call("POST", f"/orgs/{_ORG}/nodes/{node}/heartbeat", caller=f"{_ORG}/{node}")
        await asyncio.sleep(_HEARTBEAT_SECONDS)


async def _upgrade(fleet: Fleet, after_seconds: float) -> None:
    """Upgrade agents and a service in one group at once, and a service in another one."""
    for group in GROUPS:
        members = await fleet.add_group(_ORG, group, _MEMBERS)
        fleet.deploy(_ORG, f"{group}-service", group, "1.0.0", constraints=(f"{GROUP_PROPERTY} == {group}",))
        for node in members:
            await fleet.agbot.adopt(node, f"{_ORG}/{group}-service")
    await asyncio.sleep(after_seconds)
    fleet.publish(_ORG, f"{_AGENTS}-agent", "2.32.0", group=_AGENTS)
    for group in GROUPS:
        fleet.deploy(_ORG, f"{group}-service", group, "1.1.0", "1.0.0", constraints=(f"{GROUP_PROPERTY} == {group}",))
    click.echo("agent 2.32.0 and the services 1.1.0 are published")


async def _roll_out(fleet: Fleet, plan: Plan) -> None:
    """Upgrade the agents of both groups under one policy."""
    for group in GROUPS:
        members = await fleet.add_group(_ORG, group, _MEMBERS)
        if group == plan.fails:
            _fail_once(fleet, members)
    await asyncio.sleep(plan.upgrades_after_seconds)
    fleet.publish(_ORG, _POLICY, "2.32.0")
    click.echo(f"agent 2.32.0 is published as policy {_ORG}/{_POLICY}")


def _fail_once(fleet: Fleet, members: list[SimNode]) -> None:
    """Let the upgrade fail on whichever member is first, and succeed from then on."""

    def on_action(action: Action) -> None:
        if action.act is Act.UP and action.node in {node.spec.name for node in members}:
            set_fates(Fate.SUCCEEDS)

    def set_fates(fate: Fate) -> None:
        for node in members:
            node.fate = fate

    set_fates(Fate.ROLLS_BACK)
    fleet.subscribe(on_action)
