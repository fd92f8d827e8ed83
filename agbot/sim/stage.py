"""Scenarios and their stages. The scenarios themselves are in `scenarios` and `service_scenarios`.

A scenario describes the setup of one HA group, the events and their times, and the expected result.
Several can run at the same time in one fleet, each in its own group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from agbot.sim.clock import Clock
from agbot.sim.episodes import Episode
from agbot.sim.fleet import GROUP_PROPERTY, Fleet
from agbot.sim.habits import Habits
from agbot.sim.links import Kind
from agbot.sim.node import SimNode

OLD = "2.31.0"
NEW = "2.32.0"
FIXED = "2.32.1"
SERVICE_OLD = "1.0.0"
SERVICE_NEW = "1.1.0"


@dataclass(slots=True)
class Stage:
    """One scenario's group in a fleet."""

    fleet: Fleet
    org: str
    group: str
    nodes: list[SimNode] = field(default_factory=list)
    on_cue: Callable[[str], None] = lambda _: None
    """Is called with each thing that is done to the group, as text for people."""
    missed: list[str] = field(default_factory=list)
    """Descriptions of what was expected and did not come."""
    holder: SimNode | None = None
    """The member that upgraded first, in a scenario that is about that node."""

    @property
    def clock(self) -> Clock:
        """Return the simulation's clock."""
        return self.fleet.clock

    @property
    def name(self) -> str:
        """Return the group as `org/name`."""
        return f"{self.org}/{self.group}"

    def one_at_a_time(self) -> list[str]:
        """State how many members were down at once; empty if it was one."""
        most = self.fleet.observer.max_concurrent_by_group[self.name]
        return [] if most == 1 else [f"{most} members were down at once, not 1"]

    @property
    def nmp(self) -> str:
        """Return the bare name of the group's own node management policy."""
        return f"agent-{self.group}"

    @property
    def policy(self) -> str:
        """Return the group's own deployment policy as `org/name`."""
        return f"{self.org}/service-{self.group}"

    def cue(self, text: str) -> None:
        """State what is done to the group now."""
        self.on_cue(text)

    def publish(self, version: str = NEW) -> None:
        """Publish the group's node management policy."""
        self.cue(f"agent {version} is published")
        self.fleet.publish(self.org, self.nmp, version, group=self.group)

    async def deploy(self, *versions: str) -> None:
        """Give every member the group's service, running."""
        self._publish_service(*versions)
        for node in self.nodes:
            await self.fleet.agbot.adopt(node, self.policy)

    def redeploy(self, *versions: str) -> None:
        """Change the group's deployment policy."""
        self.cue(f"service {versions[0]} is published")
        self._publish_service(*versions)

    def _publish_service(self, *versions: str) -> None:
        """Publish the policy for this group's nodes, and another one that no node matches.

        Both are for the same service.
        """
        url = f"svc-{self.group}"
        for name, group in ((self.policy.partition("/")[2], self.group), (f"elsewhere-{self.group}", "elsewhere")):
            self.fleet.deploy(self.org, name, url, *versions, constraints=(f"{GROUP_PROPERTY} == {group}",))

    async def wait(self, what: str, holds: Callable[[], bool], within_seconds: float) -> bool:
        """Wait for an expected result; record it as missed if it does not come."""
        came = await self.fleet.until(holds, within_seconds=within_seconds)
        if not came:
            self.missed.append(f"{what} did not come within {within_seconds:.0f} s")
        return came

    async def wait_for_holder(self, within_seconds: float = 600.0) -> SimNode | None:
        """Wait until a member is down for an upgrade, and return it."""
        if await self.wait("the first upgrade", lambda: bool(self.under_way()), within_seconds):
            self.holder = self.fleet.nodes[self.under_way()[0].node]
        return self.holder

    def under_way(self) -> list[Episode]:
        """Return the group's upgrades that are under way and count."""
        return [one for one in self.fleet.observer.under_way(self.name) if one.counts]

    def begun(self, kind: Kind = Kind.AGENT) -> list[Episode]:
        """Return every upgrade of the group so far."""
        return [one for one in self.fleet.observer.episodes if one.group == self.name and one.kind is kind]

    def are_at(self, version: str, nodes: list[SimNode] | None = None) -> bool:
        """Return whether these nodes, or all, run an agent of that version and are back."""
        return all(node.version == version and not node.down_for for node in nodes or self.nodes)

    def serve(self, version: str, nodes: list[SimNode] | None = None) -> bool:
        """Return whether these nodes, or all, run that version of the service."""
        return all(
            any(one.service.version == version and one.state == "running" for one in node.services.instances.values())
            for node in nodes or self.nodes
        )

    def others(self) -> list[SimNode]:
        """Return the members other than the holder."""
        return [node for node in self.nodes if node is not self.holder]

    def common_failures(self) -> list[str]:
        """Return what must not occur in any scenario: missed results and broken promises."""
        broken = [str(one) for one in self.fleet.observer.violations if one.group == self.name]
        return [*self.missed, *broken]


Play = Callable[[Stage], Awaitable[None]]
Expect = Callable[[Stage], list[str]]


def nothing_more(_: Stage) -> list[str]:
    """Expect only what every scenario expects."""
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A scenario. `name` is also the group's name; `sentence` is for people."""

    name: str
    sentence: str
    play: Play
    expect: Expect = nothing_more
    members: int = 3
    cluster_members: int = 0
    habits: Habits | None = None
    needs_agbot: bool = False
    minutes: float = 30.0
    """The approximate duration in simulated time."""

    async def set_up(self, fleet: Fleet, org: str) -> Stage:
        """Create the group in a fleet whose organisation exists."""
        stage = Stage(fleet, org, self.name)
        stage.nodes = await fleet.add_group(
            org, self.name, self.members, cluster_members=self.cluster_members, habits=self.habits
        )
        return stage

    def wrong(self, stage: Stage) -> list[str]:
        """Return, in sentences, what did not meet expectations; empty if all did."""
        return [*stage.common_failures(), *self.expect(stage)]


async def perform(fleet: Fleet, org: str, scenarios: Sequence[Scenario]) -> list[Stage]:
    """Set up and run several scenarios at the same time in one fleet.

    The stages are in the order of the scenarios. The organisation exists; the agbot is added if a
    scenario needs it and it does not exist yet.
    """
    if any(one.needs_agbot for one in scenarios) and not fleet.has_agbot:
        fleet.add_agbot()
    stages = [await one.set_up(fleet, org) for one in scenarios]
    async with asyncio.TaskGroup() as group:
        for one, stage in zip(scenarios, stages, strict=True):
            group.create_task(_play(one, stage))
    return stages


async def _play(scenario: Scenario, stage: Stage) -> None:
    await scenario.play(stage)
