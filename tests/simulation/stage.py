"""What people and chance work on in one run, and its names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from agbot.rules.limits import Limits
from agbot.sim.fleet import GROUP_PROPERTY, Fleet
from agbot.sim.local_api import LocalApi
from agbot.sim.node import SimNode
from tests.simulation.daemon import Daemon
from tests.simulation.disk import Disk
from tests.simulation.judge import Judge
from tests.simulation.plan import Plan
from tests.simulation.story import Story
from tests.simulation.wires import CoordinatorWire, ExchangeWire
from tests.support.clocks import LoopClock

ORG = "o1"


@dataclass(slots=True, kw_only=True)
class Stage:
    """What the deeds work on."""

    plan: Plan
    story: Story
    judge: Judge
    fleet: Fleet
    disk: Disk
    wire: CoordinatorWire
    exchange_wire: ExchangeWire
    daemon: Callable[[], Daemon | None]
    limits: Limits
    """What holds for every group at present."""
    host_clock: LoopClock
    """What the coordinator's host shows, whose date can be wrong and can step."""
    local_apis: tuple[LocalApi, ...]
    versions: dict[int, int] = field(default_factory=dict)

    def deploy(self, number: int, version: str) -> None:
        """Publish a version of a group's service.

        With constraints, and beside it a policy for the same service that no node matches.
        """
        name, url = f"svc-g{number}", f"url-g{number}"
        if "constraints" not in self.plan.wild:
            self.fleet.deploy(ORG, name, url, version)
            return
        elsewhere = (f"{GROUP_PROPERTY} == elsewhere",)
        self.fleet.deploy(ORG, f"a-{name}", url, version, constraints=elsewhere)
        self.fleet.deploy(ORG, name, url, version, constraints=(f"{GROUP_PROPERTY} == {group_name(number)}",))
        self.fleet.deploy(ORG, f"z-{name}", url, version, constraints=elsewhere)


def group_name(number: int) -> str:
    """Return the bare name of a group."""
    return f"g{number}"


def nmp_name(number: int) -> str:
    """Return the bare name of a group's node management policy."""
    return f"up-g{number}"


def members(stage: Stage, number: int) -> list[SimNode]:
    """Return the present members of a group, by name."""
    group = f"{ORG}/{group_name(number)}"
    nodes = sorted(stage.fleet.nodes.items())
    return [node for name, node in nodes if stage.fleet.observer.members.group_of(name) == group]
