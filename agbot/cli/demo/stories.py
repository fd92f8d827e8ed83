"""The demo's stories, each in its own HA group, and ordinary groups whose upgrades succeed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from agbot.sim.bypass_scenarios import BYPASS_SCENARIOS
from agbot.sim.fleet import Fleet, quick
from agbot.sim.guard_scenarios import GUARDED
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
"""When each story begins, in simulated seconds: one after the other, so that a viewer can follow;
the longest first."""
_GUARD_BEGIN_SECONDS: Final = 150.0
GUARD_STORY: Final = "guarded"
"""It is played in a hub of its own, whose agbot has a guarded database."""
_BETWEEN_GROUPS_SECONDS: Final = 30.0
_BETWEEN_RELEASES_SECONDS: Final = 120.0
_TURN_SECONDS: Final = 1200.0
"""Enough for one member: question, cron, installation, and its service."""


class Outcome(StrEnum):
    """How a story has ended."""

    AS_DESCRIBED = "as described"
    OTHERWISE = "otherwise"
    CUT_SHORT = "cut short"
    """The run was over before the story."""


@dataclass(slots=True, kw_only=True)
class Story:
    """A scenario in this run."""

    scenario: Scenario
    stage: Stage
    begin_seconds: float
    is_over: bool = False
    releases: int = 0
    """Of an ordinary group: upgrades that have reached every member."""

    @property
    def wrong(self) -> list[str]:
        """Sentences about what differs from the description.

        Of a story that was cut short, only broken promises.
        """
        if self.is_over or self.releases:
            return self.scenario.wrong(self.stage)
        return self.stage.common_failures()

    @property
    def outcome(self) -> Outcome:
        """How it has ended."""
        if self.wrong:
            return Outcome.OTHERWISE
        return Outcome.AS_DESCRIBED if self.is_over or self.releases else Outcome.CUT_SHORT

    async def play(self) -> None:
        """Wait for its time and play it."""
        await self.stage.clock.sleep(self.begin_seconds)
        self.stage.cue(f"the story: {self.scenario.sentence}")
        await self.scenario.play(self.stage)
        self.is_over = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The content of a run."""

    groups: int = 3
    """Ordinary groups besides the stories."""
    members: int = 3
    """Members of each ordinary group."""
    stories: Sequence[str] = field(default=tuple(_BEGIN_SECONDS))
    is_endless: bool = False
    """Ordinary groups get one upgrade after the other, until the run is interrupted."""


def names() -> tuple[str, ...]:
    """Return the names of the stories that can be played."""
    return tuple(_BEGIN_SECONDS)


async def set_up(plan: Plan, fleet: Fleet) -> list[Story]:
    """Create the groups of every story, and of the ordinary rollouts."""
    known = {one.name: one for one in (*AGENT_SCENARIOS, *BYPASS_SCENARIOS)}
    known[GUARD_STORY] = GUARDED
    known["dead-node"] = replace(known["dead-node"], play=_dies_after_its_report)
    begins = [(known[name], _BEGIN_SECONDS.get(name, _GUARD_BEGIN_SECONDS)) for name in plan.stories]
    stories = [Story(scenario=one, stage=await one.set_up(fleet, ORG), begin_seconds=begin) for one, begin in begins]
    stories += [await _ordinary(number, plan, fleet) for number in range(1, plan.groups + 1)]
    return stories


async def _dies_after_its_report(stage: Stage) -> None:
    """The simulation's story, but the holder dies only after its report has arrived."""
    stage.publish()
    holder = await stage.wait_for_holder()
    if holder is None:
        return
    await stage.clock.sleep(30.0)
    stage.cue(f"{holder.name} dies in the middle of its upgrade")
    holder.die()
    await stage.clock.sleep(2400.0)


async def _ordinary(number: int, plan: Plan, fleet: Fleet) -> Story:
    """Create an ordinary group.

    In every second one, agents and services are upgraded at the same time and share the lease.
    """
    with_service = number % 2 == 0
    scenario = Scenario(
        name=f"group-{number}",
        sentence=_WITH_SERVICE if with_service else _AGENT_ALONE,
        play=_nothing,
        expect=Stage.one_at_a_time,
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
    """A placeholder until the story exists."""


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
