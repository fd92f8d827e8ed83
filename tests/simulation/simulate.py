"""Plays one seed from beginning to end and says what came of it."""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from agbot.rules.lease import State
from tests.simulation import plan as plans
from tests.simulation.hub import ORG, Hub
from tests.simulation.people import People
from tests.simulation.plan import Plan
from tests.simulation.process import watch_tasks
from tests.simulation.rest import Rest
from tests.simulation.story import HUB, Broken, Promise, Story
from tests.support import virtual_time

_LOOK_SECONDS = 30.0
_REST_SECONDS = 3 * 3600.0
"""By then a hub without faults is at rest; most are within half an hour."""
_FORCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one seed."""

    seed: int
    broken: Broken | None
    digest: str
    events: int
    hours: float
    took_seconds: float
    grants: int = 0
    starts: int = 0
    releases: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """Tell it, with the way to see it again."""
        if self.broken is None:
            return (
                f"seed {self.seed}: {self.hours:.1f} h, {self.events} events, {self.grants} grants, every promise kept"
            )
        return f"seed {self.seed}: {self.broken}\n  replay: {replay(self.seed)}"


def replay(seed: int) -> str:
    """Return the command that plays a seed again."""
    return f".venv/bin/python -m tests.simulation --seed {seed} --verbose"


def simulate(seed: int, *, is_told_aloud: bool = False) -> Outcome:
    """Play a seed in virtual time."""
    story = Story(is_told_aloud=is_told_aloud)
    began = time.perf_counter()
    try:
        with _log_judged(story):
            hub, hours = virtual_time.run(_run(plans.draw(seed), story))
    except BaseException as error:
        error.add_note(f"in the simulation of seed {seed}; replay: {replay(seed)}")
        raise
    return Outcome(
        seed=seed,
        broken=story.broken,
        digest=story.digest(),
        events=len(story),
        hours=hours,
        took_seconds=time.perf_counter() - began,
        grants=hub.judge.grants,
        starts=hub.starts,
        releases=hub.judge.releases,
    )


@contextmanager
def _log_judged(story: Story) -> Iterator[None]:
    """An error in the log of the coordinator's program is a broken promise."""

    def judge(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if event.get("exc_info"):
            text = "".join(traceback.format_exception(sys.exception()))
            story.broke(Promise.NO_BUGS, HUB, f"{event.get('event')}: {text}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[judge])
    try:
        yield
    finally:
        structlog.configure(**before)


async def _run(plan: Plan, story: Story) -> tuple[Hub, float]:
    loop = asyncio.get_running_loop()
    watch_tasks(loop)
    hub = Hub(plan, story)
    async with hub.fleet:
        await hub.set_up()
        playing, ending = asyncio.ensure_future(_play(hub)), asyncio.ensure_future(story.ended.wait())
        await asyncio.wait({playing, ending}, return_when=asyncio.FIRST_COMPLETED)
        for task in (playing, ending):
            task.cancel()
        outcomes = await asyncio.gather(playing, ending, return_exceptions=True)
        await hub.tear_down()
        if isinstance(outcomes[0], Exception):
            raise outcomes[0]
    return hub, loop.time() / 3600


async def _play(hub: Hub) -> None:
    people, rest = People(hub), Rest(hub)
    looking = asyncio.ensure_future(_look(rest))
    try:
        for event in hub.plan.events:
            await _until(event.at)
            people.do(event)
        await _until(hub.plan.chaos_seconds)
        hub.story.tell(HUB, "== quiet")
        people.quiet()
        await _settle(hub, rest)
        if hub.plan.cleans_up:
            await _clean_up(hub, people, rest)
    finally:
        looking.cancel()


async def _look(rest: Rest) -> None:
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        rest.look()


async def _settle(hub: Hub, rest: Rest) -> None:
    """Wait until the hub is at rest, at two looks one after the other."""
    end = asyncio.get_running_loop().time() + _REST_SECONDS
    calm = 0
    while calm < 2:
        await asyncio.sleep(_LOOK_SECONDS)
        left = rest.unrest()
        calm = 0 if left else calm + 1
        if left and asyncio.get_running_loop().time() > end:
            hub.story.broke(*left[0])


async def _clean_up(hub: Hub, people: People, rest: Rest) -> None:
    """One command of a person resolves what only a person can resolve."""
    suspects = [lease for lease in hub.disk.leases().values() if lease.state is State.SUSPECT]
    if not suspects:
        return
    for lease in suspects:
        people.force(lease.group.removeprefix(f"{ORG}/"))
    await asyncio.sleep(_FORCE_SECONDS)
    for lease in suspects:
        now = hub.disk.leases()[lease.group]
        if now.token == lease.token and now.hold is not None:
            hub.story.broke(Promise.NOTHING_FOR_EVER, lease.group, f"a person could not free it: {now}")
    await _settle(hub, rest)


async def _until(at: float) -> None:
    await asyncio.sleep(max(at - asyncio.get_running_loop().time(), 0))
