"""What is played in the demo: stories of the simulation, each in an HA group of its own, and ordinary groups whose releases go well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from agbot.sim.bypass_scenarios import BYPASS_SCENARIOS
from agbot.sim.fleet import Fleet, quick
from agbot.sim.scenarios import AGENT_SCENARIOS
from agbot.sim.stage import NEW, SERVICE_NEW, SERVICE_OLD, Play, Scenario, Stage

ORG: Final = "demo"
_BEGIN_SECONDS: Final[Mapping[str, float]] = {
    "dead-node": 0.0,
    "joining": 20.0,
    "offline-peer": 40.0,
    "cluster-node": 60.0,
    "bypassing": 80.0,
    "service-unasked": 100.0,
    "deleted-node": 120.0,
    "bad-release": 180.0,
}
"""When each story begins, in simulated seconds: one after the other, so that a person can follow; the longest first."""
_BETWEEN_GROUPS_SECONDS: Final = 30.0
_BETWEEN_RELEASES_SECONDS: Final = 120.0
_TURN_SECONDS: Final = 1200.0
"""Long enough for one member: question, cron, install, and its service."""


class Outcome(StrEnum):
    """How a story has ended."""

    AS_TOLD = "as told"
    OTHERWISE = "otherwise"
    CUT_SHORT = "cut short"
    """The run was over before the story was."""


@dataclass(slots=True, kw_only=True)
class Story:
    """A scenario on its stage in this run."""

    scenario: Scenario
    stage: Stage
    begin_seconds: float
    is_over: bool = False
    releases: int = 0
    """Of an ordinary group: releases that reached every member."""

    @property
    def wrong(self) -> list[str]:
        """In sentences, what has come otherwise than told; of a story that was cut short, only what must never be."""
        if self.is_over or self.releases:
            return self.scenario.wrong(self.stage)
        return self.stage.shortcomings()

    @property
    def outcome(self) -> Outcome:
        """Say how it has ended."""
        if self.wrong:
            return Outcome.OTHERWISE
        return Outcome.AS_TOLD if self.is_over or self.releases else Outcome.CUT_SHORT

    async def tell(self) -> None:
        """Wait for its moment and play it."""
        await self.stage.clock.sleep(self.begin_seconds)
        await self.scenario.play(self.stage)
        self.is_over = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is made of."""

    groups: int = 3
    """Ordinary groups beside the stories."""
    members: int = 3
    """Members of each ordinary group."""
    stories: Sequence[str] = field(default=tuple(_BEGIN_SECONDS))
    is_endless: bool = False
    """Ordinary groups get one release after the other, until somebody ends the run."""


def names() -> tuple[str, ...]:
    """Return the names of the stories that can be played."""
    return tuple(_BEGIN_SECONDS)


async def set_up(plan: Plan, fleet: Fleet) -> list[Story]:
    """Create the groups of every story, and of the ordinary rollouts."""
    known = {one.name: one for one in (*AGENT_SCENARIOS, *BYPASS_SCENARIOS)}
    known["dead-node"] = replace(known["dead-node"], play=_dies_after_its_report)
    told = [(known[name], _BEGIN_SECONDS[name]) for name in plan.stories]
    stories = [Story(scenario=one, stage=await one.set_up(fleet, ORG), begin_seconds=begin) for one, begin in told]
    stories += [await _ordinary(number, plan, fleet) for number in range(1, plan.groups + 1)]
    return stories


async def _dies_after_its_report(stage: Stage) -> None:
    """As the simulation's own story, but the holder surely dies after it has reported: over sockets a report takes its time."""
    stage.publish()
    holder = await stage.wait_for_holder()
    if holder is None:
        return
    await stage.clock.sleep(30.0)
    stage.cue(f"{holder.name} dies in the middle of its upgrade")
    holder.die()
    await stage.clock.sleep(2400.0)


async def _ordinary(number: int, plan: Plan, fleet: Fleet) -> Story:
    """Make an ordinary group; in every second one agents and services are upgraded at the same time and share the lease."""
    with_service = number % 2 == 0
    scenario = Scenario(
        name=f"group-{number}",
        sentence=_WITH_SERVICE if with_service else _AGENT_ALONE,
        play=_nothing,
        expect=_one_at_a_time,
        members=plan.members,
        habits=quick(),
    )
    begin = _BETWEEN_GROUPS_SECONDS * number
    story = Story(scenario=scenario, stage=await scenario.set_up(fleet, ORG), begin_seconds=begin)
    story.scenario = replace(scenario, play=_releases(story, with_service=with_service, is_endless=plan.is_endless))
    return story


_AGENT_ALONE: Final = "A new agent reaches every member, one at a time."
_WITH_SERVICE: Final = "A new agent and a new service reach every member; both share the group's lease."


async def _nothing(_: Stage) -> None:
    """Stand in for the play until the story is there to be counted on."""


def _releases(story: Story, *, with_service: bool, is_endless: bool) -> Play:
    async def play(stage: Stage) -> None:
        agent, service = NEW, SERVICE_NEW
        if with_service:
            await stage.deploy(SERVICE_OLD)
        while True:
            await _release(stage, agent, service if with_service else "")
            story.releases += not stage.missed
            if stage.missed or not is_endless:
                return
            agent, service = _next(agent), _next(service)
            await stage.clock.sleep(_BETWEEN_RELEASES_SECONDS)

    return play


async def _release(stage: Stage, agent: str, service: str) -> None:
    within_seconds = _TURN_SECONDS * len(stage.nodes)
    stage.publish(agent)
    if service:
        stage.redeploy(service)
        await stage.wait(f"service {service} on every member", lambda: stage.serve(service), within_seconds)
    await stage.wait(f"agent {agent} on every member", lambda: stage.are_at(agent), within_seconds)


def _next(version: str) -> str:
    major, minor, _ = version.split(".")
    return f"{major}.{int(minor) + 1}.0"


def _one_at_a_time(stage: Stage) -> list[str]:
    most = stage.fleet.observer.max_concurrent_by_group[stage.name]
    return [] if most == 1 else [f"at most {most} members were down at once, not 1"]
