"""One seed of a site with several coordinators: everything that can depose a leader happens to it while a fleet upgrades twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

import structlog

from agbot.rules.limits import Limits
from agbot.sim.fleet import Fleet, quick
from tests.simulation.leaders import NAMES, Program, Site, fleet_of, later, new_exchange
from tests.simulation.process import watch_tasks
from tests.simulation.stage import ORG
from tests.support import virtual_time

GROUPS, MEMBERS = 4, 3
VERSIONS = ("2.32.0", "2.33.0")
_CHAOS_SECONDS = 1500.0
_PATIENCE_SECONDS = 4 * 3600.0
_LIMITS = Limits(confirm_seconds=200.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposed:
    """What came of a seed."""

    seed: int
    violations: list[str]
    is_complete: bool
    """Whether every node has got the last version."""
    upgrades: int
    epochs: int
    """How often the leader changed."""
    deeds: Counter[str]


def play(number: int) -> Deposed:
    """Play one seed."""
    try:
        return virtual_time.run(_play(number))
    except Exception as error:
        error.add_note(f"in seed {number} of the leaders")
        raise
    finally:
        structlog.reset_defaults()


async def _play(number: int) -> Deposed:
    watch_tasks(asyncio.get_running_loop())
    structlog.configure(processors=[_drop], cache_logger_on_first_use=False)
    site = Site(number, _LIMITS, new_exchange(number))
    deeds: Counter[str] = Counter()
    async with fleet_of(site) as fleet:
        fleet.habits = quick()
        fleet.add_org(ORG)
        for name in NAMES:
            site.start(name)
        for group in range(GROUPS):
            await fleet.add_group(ORG, f"g{group}", MEMBERS)
        fleet.publish(ORG, "up", VERSIONS[0])
        await _chaos(site, fleet, deeds)
        site.heal()
        is_complete = await fleet.until(lambda: _are_upgraded(fleet), within_seconds=_PATIENCE_SECONDS)
        for name in NAMES:
            site.kill(name)
        return Deposed(
            seed=number,
            violations=[str(each) for each in fleet.observer.violations],
            is_complete=is_complete,
            upgrades=len(fleet.observer.episodes),
            epochs=site.database.epoch,
            deeds=deeds,
        )


async def _chaos(site: Site, fleet: Fleet, deeds: Counter[str]) -> None:
    """Let a deed follow the other; a second version comes in the middle."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _CHAOS_SECONDS
    is_second_out = False
    while loop.time() < end:
        await asyncio.sleep(site.chance.uniform(5.0, 60.0))
        if not is_second_out and loop.time() > end - _CHAOS_SECONDS / 2:
            is_second_out = True
            fleet.publish(ORG, "up", VERSIONS[1])
        deed = site.chance.choice(("kill", "freeze", "freeze", "freeze at a write", "cut", "lose", "hand over", "jump"))
        deeds[deed] += 1
        _do(site, deed)
    if not is_second_out:
        fleet.publish(ORG, "up", VERSIONS[1])


def _do(site: Site, deed: str) -> None:
    """Do something, mostly to the leader."""
    name = site.leader() if site.chance.random() < 0.8 and site.leader() else site.chance.choice(NAMES)
    machine, seconds = site.machines[name], site.chance.uniform(3.0, 60.0)
    match deed:
        case "kill":
            site.kill(name)
            later(seconds, lambda: name in site.programs or site.start(name))
        case "freeze":
            machine.freeze()
            later(seconds, machine.thaw)
        case "freeze at a write":
            machine.freezes_before = lambda _expected, _new: True

            def end() -> None:
                machine.freezes_before = lambda _expected, _new: False
                machine.thaw()

            later(seconds, end)
        case "cut":
            machine.is_cut = True
            later(seconds, lambda: setattr(machine, "is_cut", False))
        case "lose":
            machine.loses = 0.4
            later(seconds, lambda: setattr(machine, "loses", 0.0))
        case "hand over":
            program = site.programs.get(name)
            if program is not None and program.leading.where().leads:
                program.start(_hand_over(program))
        case _:
            site.database.jump(site.chance.uniform(1.0, 30.0))


async def _hand_over(program: Program) -> None:
    """Let an operator try; the database may fail."""
    try:
        await program.leading.hand_over(to="", reason="practice", who="ada")
    except Exception:  # noqa: BLE001 - the console answers the operator with the error; here no one waits
        return


def _are_upgraded(fleet: Fleet) -> bool:
    return all(node.version == VERSIONS[1] and not node.down_for for node in fleet.nodes.values())


def _drop(*_: object) -> str:
    raise structlog.DropEvent
