"""One seed of a guarded hub: an agbot that asks nobody but its database, while coordinators die and are deposed and answers are lost.

Agents and services of the same groups are upgraded at the same time. The observer judges that no
two members are down at once (P1). A member that dies, before or in its service upgrade, never comes
back, and counts as dead only after everything has to be over: so the others reach their service in
time only if it does not keep them (P6).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace

import structlog

from agbot.rules.limits import Limits
from agbot.sim.agbot_account import AgbotSpec
from agbot.sim.episodes import Tolerance
from agbot.sim.exchange import SimExchange, seed
from agbot.sim.fleet import Fleet, quick
from agbot.sim.machine import Asks
from agbot.sim.node import SimNode
from tests.simulation.guard_site import IDENTITY, Site, guard_sql, install, new_database
from tests.simulation.leaders import later
from tests.simulation.process import watch_tasks
from tests.simulation.stage import ORG
from tests.support import virtual_time
from tests.support.clocks import LoopClock
from tests.support.guarded import Guarded, prepare
from tests.support.postgres import Postgres

GROUPS, MEMBERS = 2, 3
OLD_SERVICE, NEW_SERVICE, NEW_AGENT = "1.0.0", "1.1.0", "2.32.0"
LIMITS = Limits(
    lease_seconds=150.0,
    heartbeat_stale_seconds=120.0,
    confirm_seconds=200.0,
    service_soak_seconds=20.0,
    rest_proof_seconds=200.0,
)
HABITS = replace(quick(), heartbeat_seconds=30.0, mail_seconds=(1.0, 3.0), start_seconds=(5.0, 60.0))
_CHAOS_SECONDS = 500.0
SERVICES_SECONDS = 900.0
"""After the last fault: less than `dead_after_seconds`, so that no dead node is given up before."""
_AGENTS_SECONDS = 2400.0
_DEEDS = (
    "kill",
    "kill",
    "depose",
    "depose",
    "freeze",
    "cut",
    "lose",
    "agbot loses",
    "agbot restarts",
    "a node dies",
    "jump",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a seed."""

    seed: int
    violations: list[str]
    """P1."""
    kept: list[str]
    """Members that had not got their service in time, and who had the row or the lease (P6)."""
    unfinished: list[str]
    """Members that have not got their agent in the end."""
    upgrades: int
    deeds: Counter[str]

    @property
    def broken(self) -> list[str]:
        """What is wrong."""
        return [*self.violations, *self.kept, *self.unfinished]


def play(number: int, server: Postgres, sql: str | None = None) -> Outcome:
    """Play one seed in a new database, with the guard's SQL or another one."""
    hub = prepare(server, f"{server.database()}")
    try:
        new_database(hub)
        install(hub, sql or guard_sql())
        return virtual_time.run(_play(number, hub))
    except Exception as error:
        error.add_note(f"in seed {number} of the guard")
        raise
    finally:
        structlog.reset_defaults()
        server.drop(hub.database)


async def _play(number: int, hub: Guarded) -> Outcome:
    watch_tasks(asyncio.get_running_loop())
    structlog.configure(processors=[_drop], cache_logger_on_first_use=False)
    exchange = SimExchange(clock=LoopClock(), root_password="pw", seed=number)
    seed.agbot(exchange, "IBM", IDENTITY.partition("/")[2])
    site, deeds = Site(number, hub, LIMITS, exchange), Counter[str]()
    tolerance = Tolerance(
        is_guarded=True,
        offline_after_seconds=LIMITS.heartbeat_stale_seconds,
        dead_after_seconds=LIMITS.dead_after_seconds,
    )
    fleet = Fleet(
        exchange,
        site,
        LoopClock(),
        chance_seed=number,
        habits=HABITS,
        tolerance=tolerance,
        agbot=AgbotSpec(asks=False),
        rows=site.rows,
    )
    async with site.connected(), fleet:
        await _people(site, fleet)
        await _chaos(site, fleet, deeds)
        _heal(site)
        is_broken = bool(fleet.observer.violations)
        await fleet.until(lambda: is_broken or not _without_service(fleet), within_seconds=SERVICES_SECONDS)
        kept = [f"{node.name} has not got its service; {_state(site, node)}" for node in _without_service(fleet)]
        await fleet.until(
            lambda: not _without_agent(fleet), within_seconds=0.0 if kept or is_broken else _AGENTS_SECONDS
        )
        left = [f"{node.name} has not got its agent; {_state(site, node)}" for node in _without_agent(fleet)]
        return Outcome(
            seed=number,
            violations=[str(each) for each in fleet.observer.violations],
            kept=kept,
            unfinished=left,
            upgrades=len(fleet.observer.episodes),
            deeds=deeds,
        )


async def _people(site: Site, fleet: Fleet) -> None:
    """Create the groups with their services; half of the agents ask the agbot."""
    fleet.add_org(ORG)
    fleet.add_agbot()
    for group in range(GROUPS):
        nodes = await fleet.add_group(ORG, f"g{group}", MEMBERS)
        for node in nodes:
            if site.chance.random() < 0.5:
                fleet.redirect_questions(node, Asks.AGBOT)
    site.start()
    fleet.deploy(ORG, "dp", "svc", OLD_SERVICE)
    for node in fleet.nodes.values():
        await fleet.agbot.adopt(node, f"{ORG}/dp")
    await asyncio.sleep(20)


async def _chaos(site: Site, fleet: Fleet, deeds: Counter[str]) -> None:
    loop = asyncio.get_running_loop()
    begun, end = False, loop.time() + _CHAOS_SECONDS
    while loop.time() < end and not fleet.observer.violations:
        await asyncio.sleep(site.chance.uniform(5.0, 50.0))
        if not begun and loop.time() > end - 0.8 * _CHAOS_SECONDS:
            begun = True
            fleet.deploy(ORG, "dp", "svc", NEW_SERVICE)
            fleet.publish(ORG, "up", NEW_AGENT)
        deed = site.chance.choice(_DEEDS)
        deeds[deed] += 1
        _do(site, fleet, deed)


def _do(site: Site, fleet: Fleet, deed: str) -> None:
    seconds = site.chance.uniform(3.0, 40.0)
    leader = site.programs[-1] if site.programs else None
    if deed == "a node dies":
        _let_die(site, fleet)
    elif deed == "agbot loses":
        site.rows.loses, site.rows.cuts = 0.5, 0.2
        later(seconds, lambda: _mend_agbot(site))
    elif deed == "agbot restarts":
        fleet.agbot.stop()
        later(seconds, site.rows.start)  # its tables and functions are made again
        later(seconds, fleet.agbot.start)
    elif deed == "jump":
        site.clock.step(site.chance.uniform(-20.0, 30.0))
    elif leader is None:
        site.start()
    elif deed == "kill":
        site.end(leader)
        later(seconds, lambda: site.programs or site.start())
    elif deed == "depose":
        site.start()
        later(seconds, lambda: site.end(leader))
    elif deed == "freeze":
        leader.machine.freeze()
        later(seconds / 2, site.start)
        later(seconds, leader.machine.thaw)
        later(seconds + 10.0, lambda: site.end(leader))
    elif deed == "cut":
        leader.machine.is_cut = True
        later(seconds, lambda: setattr(leader.machine, "is_cut", False))
    else:
        leader.machine.loses = 0.3
        later(seconds, lambda: setattr(leader.machine, "loses", 0.0))


def _let_die(site: Site, fleet: Fleet) -> None:
    """Let a member die for good that is in its service upgrade, or in none; one of each group at most."""
    whole = [
        [node for node in _members(fleet, group) if node.down_for is None]
        for group in range(GROUPS)
        if all(node.alive for node in _members(fleet, group))
    ]
    down = {one.node for one in fleet.observer.under_way()}
    named = [node for group in whole for node in group]
    chosen = [node for node in named if node.name in down] or named
    if chosen:
        site.chance.choice(chosen).die()


def _members(fleet: Fleet, group: int) -> list[SimNode]:
    return [fleet.nodes[f"{ORG}/g{group}-{number}"] for number in range(1, MEMBERS + 1)]


def _mend_agbot(site: Site) -> None:
    site.rows.loses = site.rows.cuts = 0.0


def _heal(site: Site) -> None:
    _mend_agbot(site)
    for program in list(site.programs):
        site.end(program)
    site.start()


def _without_service(fleet: Fleet) -> list[SimNode]:
    def runs(node: SimNode) -> bool:
        return any(
            one.service.version == NEW_SERVICE and one.state == "running" for one in node.services.instances.values()
        )

    return [node for node in fleet.nodes.values() if node.alive and not runs(node)]


def _without_agent(fleet: Fleet) -> list[SimNode]:
    return [node for node in fleet.nodes.values() if node.alive and (node.version != NEW_AGENT or node.down_for)]


def _state(site: Site, node: SimNode) -> str:
    group = f"{ORG}/{node.spec.id.rpartition('-')[0]}"
    return f"lease {site.hub.lease(group)}, rows {site.rows.services} {site.rows.agents}"


def _drop(*_: object) -> str:
    raise structlog.DropEvent
