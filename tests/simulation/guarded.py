"""One seed of a guarded hub: an agbot that asks nobody but its database, while everything around it fails (`guard_deeds`).

Agents and services of the same groups are upgraded at the same time, and published again under way.
The observer judges that no two members are down at once (P1). A member that dies for good counts as
dead only after everything has to be over: so the others reach their service in time only if it does
not keep them (P6).
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
from tests.simulation.guard_courses import Course
from tests.simulation.guard_deeds import FIRST_SERVICE, GROUPS, MEMBERS, Deeds
from tests.simulation.guard_site import IDENTITY, Site, guard_sql, install, new_database
from tests.simulation.process import watch_tasks
from tests.simulation.stage import ORG
from tests.support import virtual_time
from tests.support.clocks import LoopClock
from tests.support.guarded import Guarded, prepare
from tests.support.postgres import Postgres

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
_ACTING_SECONDS = 20.0
"""An agbot tries again every 10 s."""


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


def play(number: int, server: Postgres, sql: str | None = None, course: Course | None = None) -> Outcome:
    """Play one seed in a new database, with the guard's SQL or another one, or one course of events."""
    hub = prepare(server, f"{server.database()}")
    try:
        new_database(hub)
        install(hub, sql or guard_sql())
        return virtual_time.run(_play(number, hub, sql or guard_sql(), course or _chaos))
    except Exception as error:
        error.add_note(f"in seed {number} of the guard")
        raise
    finally:
        structlog.reset_defaults()
        server.drop(hub.database)


async def _play(number: int, hub: Guarded, sql: str, course: Course) -> Outcome:
    watch_tasks(asyncio.get_running_loop())
    structlog.configure(processors=[_drop], cache_logger_on_first_use=False)
    exchange = SimExchange(clock=LoopClock(), root_password="pw", seed=number)
    seed.agbot(exchange, "IBM", IDENTITY.partition("/")[2])
    site = Site(number, hub, LIMITS, exchange, sql)
    tolerance = Tolerance(
        is_guarded=True,
        acting_seconds=_ACTING_SECONDS,
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
        deeds = Deeds(site, fleet)
        await course(site, fleet, deeds)
        deeds.heal()
        violations = fleet.observer.violations
        await fleet.until(
            lambda: bool(violations or not _without_service(fleet, deeds)), within_seconds=SERVICES_SECONDS
        )
        is_judged = not (violations or deeds.needs_person)
        late = _without_service(fleet, deeds) if is_judged else []
        kept = [f"{node.name} has not got its service; {_state(site, fleet, node)}" for node in late]
        if is_judged and not kept:
            await fleet.until(lambda: not _without_agent(fleet, deeds), within_seconds=_AGENTS_SECONDS)
        late = _without_agent(fleet, deeds) if is_judged and not kept else []
        left = [f"{node.name} has not got its agent; {_state(site, fleet, node)}" for node in late]
        return Outcome(
            seed=number,
            violations=[str(each) for each in violations],
            kept=kept,
            unfinished=left,
            upgrades=len(fleet.observer.episodes),
            deeds=deeds.count,
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
    fleet.deploy(ORG, "dp", "svc", FIRST_SERVICE)
    for node in fleet.nodes.values():
        await fleet.agbot.adopt(node, f"{ORG}/dp")
    await asyncio.sleep(20)


async def _chaos(site: Site, fleet: Fleet, deeds: Deeds) -> None:
    loop = asyncio.get_running_loop()
    begun, end = False, loop.time() + _CHAOS_SECONDS
    while loop.time() < end and not fleet.observer.violations:
        await asyncio.sleep(site.chance.uniform(5.0, 50.0))
        if not begun and loop.time() > end - 0.8 * _CHAOS_SECONDS:
            begun = True
            deeds.publish()
        deeds.do(site.chance.choice(deeds.names))


def _without_service(fleet: Fleet, deeds: Deeds) -> list[SimNode]:
    def runs(node: SimNode) -> bool:
        return any(
            one.service.version == deeds.service and one.state == "running" for one in node.services.instances.values()
        )

    return [node for node in fleet.nodes.values() if node.alive and not runs(node)]


def _without_agent(fleet: Fleet, deeds: Deeds) -> list[SimNode]:
    return [node for node in fleet.nodes.values() if node.alive and (node.version != deeds.agent or node.down_for)]


def _state(site: Site, fleet: Fleet, node: SimNode) -> str:
    group, ledger = f"{ORG}/{node.spec.id.rpartition('-')[0]}", fleet.agbot.ledger
    agreements = [each for each in ledger.agreements.values() if each.node == node.name]
    upgrades = [each for each in ledger.upgrades.values() if each.node == node.name]
    hub = f"lease {site.hub.lease(group)}, rows {site.rows.services} {site.rows.agents}"
    return f"{hub}, the agbot has {agreements} {upgrades}, the node {node.services.instances}"


def _drop(*_: object) -> str:
    raise structlog.DropEvent
