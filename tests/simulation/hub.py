"""The whole simulated hub of one run: Exchange, nodes, agbot, disk, and the coordinator's program that dies and is started again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from agbot.rules.lease import Claim, Kind
from agbot.sim.clock import LoopClock
from agbot.sim.episodes import Tolerance
from agbot.sim.exchange import SimExchange, seed
from agbot.sim.fleet import GROUP_PROPERTY, Fleet
from agbot.sim.links import DirectExchange
from agbot.sim.node import SimNode
from agbot.store.contract import Entry
from tests.simulation.daemon import Daemon
from tests.simulation.disk import Disk
from tests.simulation.judge import Judge
from tests.simulation.plan import Plan
from tests.simulation.story import HUB, Story
from tests.simulation.truth import Truth
from tests.simulation.wires import CoordinatorWire, ExchangeWire
from tests.support.hub import EPOCH

ORG = "o1"
SPARE = "spare-1"
FIRST_VERSION = "1.0.0"


class Hub:
    """Everything of one run. Groups are `g0`, `g1`, ... in organisation `o1`, with policies of the same names."""

    def __init__(self, plan: Plan, story: Story) -> None:
        self.plan = plan
        self.story = story
        clock = LoopClock(EPOCH)
        self.exchange = SimExchange(clock=clock, root_password="rootpw", seed=plan.seed)
        self.judge = Judge(self)
        self.disk = Disk(chance=plan.chance("disk"), seconds=plan.store_seconds, watcher=self.judge)
        self.daemon: Daemon | None = None
        self.starts = 0
        self.feed_lies = False
        """The change feed has been frozen or late in this run."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self.wire = CoordinatorWire(
            lambda: self.daemon,
            self.spawn,
            chance=plan.chance("wire"),
            way_seconds=plan.way_seconds,
            duplicates=plan.duplicates,
        )
        self.exchange_wire = ExchangeWire(DirectExchange(self.exchange.handle, clock))
        limits = plan.limits
        self.fleet = Fleet(
            self.exchange,
            self.wire,
            clock,
            chance_seed=plan.seed,
            exchange_port=self.exchange_wire,
            tolerance=Tolerance(
                offline_after_seconds=limits.heartbeat_stale_seconds,
                dead_after_seconds=limits.dead_after_seconds,
                unconfirmed_after_seconds=limits.confirm_seconds,
                peers_margin_seconds=120.0,
            ),
        )
        self.truth = Truth(lambda node, text: self.story.tell(self.group_of(node), f"{node} {text}"))
        self.exchange.subscribe(self.truth.see)
        self.fleet.listen(self.judge.hear)

    async def set_up(self) -> None:
        """Fill the hub and start the coordinator."""
        seed.agbot(self.exchange, "IBM", "coordinator")
        self.fleet.add_org(ORG)
        self.fleet.add_agbot()
        for number, group in enumerate(self.plan.groups):
            for index in range(group.members + group.clusters):
                kind = "cluster" if index >= group.members else "device"
                await self._add_node(f"g{number}-{index + 1}", number, index, kind)
            names = [f"g{number}-{index + 1}" for index in range(group.members + group.clusters)]
            self.fleet.create_group(ORG, f"g{number}", names)
            if group.has_service:
                self.fleet.deploy(ORG, f"g{number}", f"svc-g{number}", FIRST_VERSION)
                for name in names[: group.members]:
                    await self.fleet.agbot.adopt(self.fleet.nodes[f"{ORG}/{name}"], f"{ORG}/g{number}")
        await self._add_node(SPARE, 0, 0, "device")
        self.start_daemon()

    async def _add_node(self, name: str, group: int, index: int, kind: str) -> SimNode:
        return await self.fleet.add_node(
            ORG,
            name,
            node_type=kind,
            properties={GROUP_PROPERTY: f"g{group}"},
            habits=self.plan.groups[group].habits[index],
        )

    def start_daemon(self) -> None:
        """Start the coordinator's program, unless it runs."""
        if self.daemon is not None:
            return
        self.starts += 1
        self.story.tell(HUB, f"the coordinator starts ({self.starts})")
        self.daemon = Daemon(
            self.plan,
            self.exchange,
            self.disk,
            number=self.starts,
            on_death=self._died,
            hear=self.judge.answered,
            tell=self._heard,
        )
        self.daemon.run()

    def _died(self) -> None:
        self.story.tell(HUB, "the coordinator is killed")
        self.daemon = None

    def _heard(self, entry: Entry) -> None:
        if entry.group is None:
            facts = " ".join(f"{key}={value}" for key, value in entry.facts.items())
            self.story.tell(HUB, f"-- {entry.event} {facts}")

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Start something that belongs to no program."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def later(self, seconds: float, act: Any) -> None:
        """Call something after a while."""
        asyncio.get_running_loop().call_later(seconds, act)

    async def tear_down(self) -> None:
        """End everything that the fleet does not end."""
        if self.daemon is not None:
            self.daemon.kill()
        tasks = sorted(self._tasks, key=lambda task: task.get_name())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What is true at this moment

    def group_of(self, node: str) -> str:
        """Return the group of a node."""
        return self.fleet.observer.members.group_of(node)

    def silent_seconds(self, node: str) -> float:
        """Return how long the Exchange has not heard of a node."""
        now = EPOCH.timestamp() + asyncio.get_running_loop().time()
        return self.fleet.observer.members.silent_seconds(node, datetime.fromtimestamp(now, UTC))

    def version(self, node: str) -> str:
        """Return the agent version that the Exchange shows."""
        org, _, name = node.partition("/")
        known = self.exchange.world.nodes.get((org, name))
        return str(known.doc["softwareVersions"].get("horizon", "")) if known else ""

    def revision(self, claim: Claim) -> str | None:
        """Return the revision of a policy in the Exchange."""
        world = self.exchange.world
        table = world.management_policies if claim.kind is Kind.AGENT else world.business_policies
        org, _, name = claim.subject.partition("/")
        known = table.get((org, name))
        return str(known.doc["lastUpdated"]) if known else None

    def members(self, group: str) -> list[SimNode]:
        """Return the members of a group (bare name), by name."""
        known = self.exchange.world.groups.get((ORG, group))
        names = sorted(known.members) if known else []
        return [self.fleet.nodes[f"{ORG}/{name}"] for name in names]
