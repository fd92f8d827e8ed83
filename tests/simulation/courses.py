"""Courses of events that a fault needs and that chance seldom brings about: laid out on purpose, with details drawn from the seed.

Each begins from a seed's own plan, of which the groups and everything that would happen are
replaced. `follow` waits for what has to be true and then does the next deed; which node, how many
members and how long between two deeds is drawn.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from enum import StrEnum

from agbot.rules.lease import State
from agbot.sim.faults import Fault, FaultKind
from agbot.sim.habits import Fate, Habits
from agbot.sim.machine import Asks
from tests.simulation.disk import Fault as StoreFault
from tests.simulation.people import People
from tests.simulation.plan import COORDINATOR, Deed, Event, GroupPlan, Plan
from tests.simulation.stage import ORG, Stage, group_name

_LONGEST_WAIT_SECONDS = 900.0
_QUICK = Habits(heartbeat_seconds=30.0, cron_seconds=30.0, install_seconds=(20.0, 60.0))


class Course(StrEnum):
    """What is laid out."""

    OLD_DOWNLOAD = "old download"
    """An upgrade fails, its policy is repaired, and the others go on to ask under the download that
    failed."""
    CUT_OFF = "cut off"
    """A policy is deleted while a node installs for it, and published again."""
    NO_ROW = "no row"
    """A node that joins in the middle of an upgrade hangs in it, others wait for it, and its policy
    goes with an owner."""
    UNPROVEN = "unproven"
    """The first group's node is deleted, unregisters or leaves in its upgrade, and two other groups
    wait for that one."""
    LATE_ROW = "late row"
    """A node upgrades without a question, and the rows of that become visible late, with their old
    numbers."""
    FROZEN = "frozen"
    """A node that has joined in the middle of an upgrade asks again behind a frozen feed while
    another node holds the lease."""
    DOWN = "down"
    """An agbot whose lists no one shows takes a service down without a question, and others ask
    before it runs again."""
    STORE_FAILS = "store fails"
    """A node dies in its upgrade, the store fails while its silence becomes long enough, and a
    peer's service gets a new version."""


def laid(plan: Plan, course: Course) -> Plan:
    """Return the plan with this course in place of what its seed draws."""
    chance = plan.chance("course")
    quiet = replace(plan, events=(), is_calm=False, agbot_asks=True, duplicates=0.0, course=course)
    return _PLANS[course](quiet, chance)


async def follow(stage: Stage, people: People) -> None:
    """Let the plan's course happen."""
    await _DEEDS[Course(stage.plan.course)](stage, people, stage.plan.chance("deeds"))


def _group(members: int, *habits: Habits, has_service: bool = False) -> GroupPlan:
    """Return a group; the last habits are those of all further members."""
    each = (*habits, *(habits[-1],) * members)[:members]
    return GroupPlan(members=members, clusters=0, has_service=has_service, habits=each)


async def _until(holds: Callable[[], bool]) -> bool:
    """Wait for something; False if it does not come in time."""
    for _ in range(int(_LONGEST_WAIT_SECONDS)):
        if holds():
            return True
        await asyncio.sleep(1.0)
    return False


def _publish(people: People, fate: Fate = Fate.SUCCEEDS, number: int = 0) -> None:
    fates = (fate,) * len(people.nodes(number))
    people.do(Event(at=0.0, deed=Deed.PUBLISH, group=number, fates=fates))


def _plan_old_download(plan: Plan, chance: random.Random) -> Plan:
    slow = replace(_QUICK, revision_seconds=(200.0, chance.choice((240.0, 400.0))))
    return replace(plan, groups=(_group(chance.choice((2, 3, 4)), slow),))


async def _old_download(stage: Stage, people: People, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(20, 60))
    _publish(people, chance.choice((Fate.ROLLS_BACK, Fate.PRECHECK_FAILS, Fate.ROLLBACK_FAILS)))
    if await _until(lambda: bool(stage.disk.brakes())):
        await asyncio.sleep(chance.uniform(0, 60))
        _publish(people)
        await asyncio.sleep(500.0)


def _plan_cut_off(plan: Plan, chance: random.Random) -> Plan:
    slow = replace(_QUICK, install_seconds=(200.0, chance.choice((220.0, 300.0))))
    limits = replace(plan.limits, lease_seconds=180.0)
    return replace(plan, groups=(_group(chance.choice((2, 3, 4)), slow),), limits=limits)


async def _cut_off(stage: Stage, people: People, chance: random.Random) -> None:
    group = f"{ORG}/{group_name(0)}"
    await asyncio.sleep(chance.uniform(20, 60))
    _publish(people)
    if await _until(lambda: any(one.reported for one in stage.fleet.observer.under_way(group))):
        await asyncio.sleep(chance.uniform(2, 40))
        people.do(Event(at=0.0, deed=Deed.DELETE_NMP))
        await asyncio.sleep(chance.uniform(1, 20))
        _publish(people)
        await asyncio.sleep(400.0)


def _plan_no_row(plan: Plan, chance: random.Random) -> Plan:
    limits = replace(plan.limits, min_available=2, max_upgrade_seconds=800.0)
    groups = (_group(2, replace(_QUICK, ask_seconds=chance.uniform(30.0, 60.0))), _group(1, _QUICK))
    settings = replace(plan.settings, resync_seconds=1200.0)
    return replace(plan, groups=groups, limits=limits, settings=settings)


async def _no_row(stage: Stage, people: People, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(20, 60))
    _publish(people, Fate.HANGS, number=1)
    node = people.nodes(1)[0]
    if await _until(lambda: node.installing is not None):
        await asyncio.sleep(chance.uniform(10, 40))
        people.do(Event(at=0.0, deed=Deed.MOVE, group=1))
        await asyncio.sleep(chance.uniform(5, 20))
        _publish(people)
        await asyncio.sleep(chance.uniform(90, 150))
        people.do(Event(at=0.0, deed=Deed.DELETE_POLICYS_OWNER, group=1))
        await asyncio.sleep(300.0)


def _plan_unproven(plan: Plan, chance: random.Random) -> Plan:
    """Draw groups of which only the first has a member that asks soon, and another one that does not ask for long."""
    first = replace(_QUICK, ask_seconds=5.0, heartbeat_seconds=10.0)
    late = replace(_QUICK, ask_seconds=1200.0)
    slow = replace(_QUICK, ask_seconds=chance.uniform(40.0, 60.0), install_seconds=(200.0, 240.0))
    others = (_group(chance.choice((2, 3)), slow) for _ in range(2))
    limits = replace(plan.limits, canary_percent=30.0, max_upgrade_seconds=800.0)
    return replace(plan, groups=(_group(2, first, late), *others), limits=limits, is_controlled=True)


async def _unproven(stage: Stage, people: People, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(20, 60))
    nodes, group = len(stage.fleet.nodes), f"{ORG}/{group_name(0)}"
    people.do(Event(at=0.0, deed=Deed.PUBLISH_TO_ALL, fates=(Fate.SUCCEEDS,) * nodes))
    if await _until(lambda: bool(stage.fleet.observer.under_way(group))):
        await asyncio.sleep(chance.uniform(0, 5))
        deed = chance.choice((Deed.DELETE_NODE, Deed.LEAVE, Deed.UNREGISTER))
        people.do(Event(at=0.0, deed=deed, pick=0.0))
        await asyncio.sleep(chance.uniform(400, 500))


def _plan_late_row(plan: Plan, chance: random.Random) -> Plan:
    """Draw a group in which others ask, and are held, while the one that asks no one still downloads: by then its report was read."""
    slow = replace(_QUICK, ask_seconds=chance.uniform(110.0, 130.0), install_seconds=(120.0, 150.0))
    hasty = replace(_QUICK, ask_seconds=chance.uniform(15.0, 25.0))
    settings = replace(plan.settings, poll_seconds=2.0, busy_poll_seconds=2.0, resync_seconds=3600.0)
    limits = replace(plan.limits, lease_seconds=400.0, max_upgrade_seconds=800.0)
    groups = (_group(chance.choice((3, 4)), slow, hasty),)
    return replace(plan, groups=groups, bypasses=(Asks.NO_ONE,), settings=settings, limits=limits, is_controlled=True)


async def _late_row(stage: Stage, people: People, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(20, 60))
    people.do(Event(at=0.0, deed=Deed.HOLD, pick=0.0, seconds=900.0))
    late = Fault(kind=FaultKind.LATE, path="/changes", caller=f"^{COORDINATOR}$", seconds=chance.uniform(10.0, 20.0))
    people.do(Event(at=0.0, deed=Deed.FAULT, seconds=600.0, fault=late))
    _publish(people)
    group = f"{ORG}/{group_name(0)}"
    if await _until(lambda: any(one.reported for one in stage.fleet.observer.under_way(group))):
        await asyncio.sleep(chance.uniform(30, 45))
        people.do(Event(at=0.0, deed=Deed.END_HOLDS))
        await asyncio.sleep(300.0)
    stage.fleet.redirect_questions(people.nodes(0)[0], Asks.COORDINATOR)


def _plan_frozen(plan: Plan, chance: random.Random) -> Plan:
    """Draw a group in which one upgrade takes long, and a node by itself whose upgrades follow each other closely."""
    slow = replace(_QUICK, ask_seconds=chance.uniform(20.0, 40.0), install_seconds=(160.0, 170.0))
    hasty = replace(_QUICK, ask_seconds=3.0, heartbeat_seconds=3.0, install_seconds=(100.0, 120.0))
    limits = replace(plan.limits, lease_seconds=180.0)
    return replace(plan, groups=(_group(3, slow), _group(1, hasty)), limits=limits)


async def _frozen(stage: Stage, people: People, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(20, 60))
    _publish(people)
    if not await _until(lambda: any(node.installing is not None for node in people.nodes(0))):
        return
    _publish(people, Fate.PRECHECK_FAILS, number=1)
    node, alone = people.nodes(1)[0], f"{ORG}/{group_name(1)}"
    if await _until(lambda: any(one.reported for one in stage.fleet.observer.under_way(alone))):
        people.do(Event(at=0.0, deed=Deed.MOVE, group=1))
        await asyncio.sleep(chance.uniform(4, 8))
        frozen = Fault(kind=FaultKind.FREEZE, path="/changes", caller=f"^{COORDINATOR}$")
        people.do(Event(at=0.0, deed=Deed.FAULT, seconds=200.0, fault=frozen))
        await _until(lambda: node.down_for is None)
        _publish(people, number=1)
        await asyncio.sleep(200.0)


def _plan_down(plan: Plan, chance: random.Random) -> Plan:
    slow = replace(_QUICK, ask_seconds=chance.uniform(10.0, 20.0), start_seconds=(100.0, 120.0))
    group = _group(chance.choice((3, 4)), slow, has_service=True)
    return replace(plan, groups=(group,), agbot_asks=False, limits=replace(plan.limits, lease_seconds=180.0))


async def _down(stage: Stage, people: People, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(60, 100))
    people.do(Event(at=0.0, deed=Deed.DEPLOY))
    if await _until(lambda: bool(stage.fleet.observer.under_way(f"{ORG}/{group_name(0)}"))):
        await asyncio.sleep(chance.uniform(0, 10))
        _publish(people)
        await asyncio.sleep(400.0)


def _plan_store_fails(plan: Plan, chance: random.Random) -> Plan:
    slow = replace(_QUICK, install_seconds=(100.0, 120.0))
    limits = replace(plan.limits, lease_seconds=130.0, heartbeat_stale_seconds=200.0, dead_after_seconds=600.0)
    return replace(plan, groups=(_group(chance.choice((2, 3)), slow, has_service=True),), limits=limits)


async def _store_fails(stage: Stage, people: People, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(20, 60))
    _publish(people)
    under_way, group = stage.fleet.observer.under_way, f"{ORG}/{group_name(0)}"
    if await _until(lambda: any(one.reported for one in under_way(group))):
        stage.fleet.nodes[under_way(group)[0].node].die()
        await _until(lambda: any(lease.state is State.SUSPECT for lease in stage.disk.leases().values()))
        people.do(Event(at=0.0, deed=Deed.DEPLOY))
        stage.disk.rates[StoreFault.BEFORE] = 1.0
        await asyncio.sleep(chance.uniform(80, 100))
        stage.disk.rates.clear()
        await asyncio.sleep(120.0)


_PLANS: Mapping[Course, Callable[[Plan, random.Random], Plan]] = {
    Course.OLD_DOWNLOAD: _plan_old_download,
    Course.CUT_OFF: _plan_cut_off,
    Course.NO_ROW: _plan_no_row,
    Course.UNPROVEN: _plan_unproven,
    Course.LATE_ROW: _plan_late_row,
    Course.FROZEN: _plan_frozen,
    Course.DOWN: _plan_down,
    Course.STORE_FAILS: _plan_store_fails,
}
_DEEDS: Mapping[Course, Callable[[Stage, People, random.Random], Awaitable[None]]] = {
    Course.OLD_DOWNLOAD: _old_download,
    Course.CUT_OFF: _cut_off,
    Course.NO_ROW: _no_row,
    Course.UNPROVEN: _unproven,
    Course.LATE_ROW: _late_row,
    Course.FROZEN: _frozen,
    Course.DOWN: _down,
    Course.STORE_FAILS: _store_fails,
}
