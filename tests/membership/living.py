"""A whole hub whose nodes live on their own: simulated agents and agbot, the gateway's real routes, the real coordinator and its client.

What people do is done at the Exchange; what an agent makes of it is up to the agent. An observer
who never asks the coordinator judges at the end whether two members of one group were down at once,
and the journal whether a token ever went back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from agbot.coordinator.contract import MemberView
from agbot.coordinator.coordinator import Coordinator
from agbot.rules.ids import group_id, node_id
from agbot.rules.lease import State
from agbot.rules.reasons import Cause
from agbot.rules.records import Deferral
from agbot.sim import links
from agbot.sim.agbot_account import AgbotSpec
from agbot.sim.faults import Fault, FaultKind
from agbot.sim.fleet import Fleet, quick
from agbot.sim.habits import Habits
from agbot.sim.links import Answered, Question
from agbot.sim.node import SimNode
from agbot.store.contract import Entry, JournalQuery
from tests.support.clocks import LoopClock
from tests.support.direct_gateway import DirectGateway
from tests.support.hub import AGBOT, NEW, OLD, ORG, Hub
from tests.support.rows import GRANTS

GROUP = "g1"
OTHER = "g2"
AGENT = "agent"
CYCLE = 3.0
"""Seconds after which a busy coordinator has taken a change in: the busy poll is 2 s."""
IDLE_CYCLE = 11.0
"""The same while nothing goes on: the poll is 10 s."""
TURN = 400.0
"""Long enough for one member: download, question, cron, install."""
STEADY = replace(quick(), heartbeat_seconds=30.0, boot_seconds=(1.0, 1.0), cron_phase=(0.0, 0.0))
SLOW_INSTALL = replace(STEADY, install_seconds=(200.0, 200.0))
COORDINATOR = f"^IBM/{AGBOT}$"
FROZEN = Fault(kind=FaultKind.FREEZE, caller=COORDINATOR)


@dataclass
class Living(Hub):
    """A hub with a fleet.

    Its own node management policy is taken away: it is for every node there is.
    """

    agbot_asks: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.admin("DELETE", "/managementpolicies/up1")
        self.fleet = Fleet(
            self.exchange,
            links.DirectGateway(self._answer, self._end),
            LoopClock(),
            habits=STEADY,
            agbot=AgbotSpec(asks=self.agbot_asks),
            rows=self.rows,
        )
        self._gateway_of: tuple[Coordinator, DirectGateway] | None = None

    def _gateway(self) -> DirectGateway:
        """Return the gateway of the coordinator that runs now: a crash brings a new one."""
        if self._gateway_of is None or self._gateway_of[0] is not self.coordinator:
            self._gateway_of = (self.coordinator, DirectGateway(self.coordinator, self.client, self.clock))
        return self._gateway_of[1]

    async def _answer(self, question: Question) -> Answered:
        return await self._gateway().carry("POST", question.path, question)

    async def _end(self, question: Question, succeeded: bool) -> Answered:
        path = question.path if succeeded else f"{question.path}?outcome=failed"
        return await self._gateway().carry("DELETE", path, question)

    # What people do

    def publish(self, version: str = NEW) -> None:
        """Publish the agent for every node there is."""
        self.fleet.publish(ORG, AGENT, version)

    def join(self, node: SimNode, group: str = GROUP) -> None:
        self.fleet.join(ORG, group, node.spec.id)

    def leave(self, node: SimNode, group: str = GROUP) -> None:
        self.fleet.leave(ORG, group, node.spec.id)

    async def add(self, name: str, habits: Habits | None = None) -> SimNode:
        """Add a node that is in no group."""
        return await self.fleet.add_node(ORG, name, version=OLD, habits=habits)

    def freeze(self) -> int:
        """Freeze the change feed for the coordinator alone; agents go on to see what changes."""
        return self.exchange.faults.add(FROZEN)

    # What can be seen

    def node(self, name: str) -> SimNode:
        return self.fleet.nodes[f"{ORG}/{name}"]

    def says(self, node: SimNode) -> str:
        """Return what the Exchange was last reported of the node's agent upgrade."""
        known = self.exchange.world.management_status.get((ORG, node.spec.id), {}).get(f"{ORG}/{AGENT}")
        return str(known["agentUpgradePolicyStatus"]["status"]) if known else ""

    def explains(self, node: SimNode) -> str:
        explanation = self.coordinator.explain(node_id(ORG, node.spec.id))
        return explanation.answer if explanation else ""

    def seen(self, node: SimNode, group: str = GROUP) -> MemberView:
        """Return a member as operators see it."""
        view = self.coordinator.group(group_id(ORG, group))
        assert view is not None
        return next(each for each in view.members if each.node == node.name)

    def holder(self, group: str = GROUP) -> SimNode | None:
        tenure = self.lease(group).tenure
        return self.fleet.nodes[tenure.claim.holder] if tenure else None

    def ended(self, group: str = GROUP) -> Cause | None:
        end = self.lease(group).last_end
        return end.cause if end else None

    def deferrals(self, group: str = GROUP) -> Mapping[str, Deferral]:
        found = self.coordinator._situation.ledger.deferrals.get(group_id(ORG, group), {})  # noqa: SLF001 - the truth behind the views
        return {name.partition("/")[2]: each for name, each in found.items()}

    def is_free(self, group: str = GROUP) -> bool:
        return self.lease(group).state is State.FREE

    def runs(self, version: str, *nodes: SimNode) -> bool:
        return all(node.version == version and node.down_for is None for node in nodes)

    async def until(self, holds: Callable[[], bool], within: float = TURN) -> None:
        assert await self.fleet.until(holds, within_seconds=within), f"not within {within:g} s"

    async def until_stated(self, node: SimNode, word: str, within: float = TURN) -> None:
        await self.until(lambda: self.says(node) == word, within)

    async def journal(self, *events: str, group: str = GROUP) -> list[Entry]:
        """Return what the store has taken down about a group under these names, in order."""
        found = await self.store.journal(JournalQuery(group=group_id(ORG, group), after=0, limit=1000))
        return [entry for entry in found if not events or entry.event in events]

    async def grants(self, group: str = GROUP) -> list[tuple[str, int | None]]:
        """Return who was granted the lease when it asked, and under which token."""
        found = await self.journal("lease.granted", group=group)
        return [(str(entry.node).partition("/")[2], entry.token) for entry in found]

    async def causes(self, group: str = GROUP) -> list[tuple[str, str]]:
        """Return who was released and why, as the journal has it."""
        return [
            (str(entry.node).partition("/")[2], str(entry.facts["cause"]))
            for entry in await self.journal("lease.released", group=group)
        ]

    def judge(self) -> None:
        """No one overlapped but those who were deferred or had left, and no token went back (P1, P2)."""
        assert [str(each) for each in self.fleet.observer.violations] == []
        tokens: dict[str, list[int]] = {}
        for entry in self.emitted:
            if entry.event in GRANTS and entry.token is not None:
                tokens.setdefault(str(entry.group), []).append(entry.token)
        assert all(each == list(range(1, len(each) + 1)) for each in tokens.values()), tokens


@asynccontextmanager
async def living(
    members: int = 2,
    *,
    habits: Habits | None = None,
    has_agbot: bool = False,
    agbot_asks: bool = True,
    shows_rows: bool = False,
) -> AsyncIterator[Living]:
    """Run a hub with one HA group `g1` of living nodes `g1-1`, `g1-2` ..., and judge it at the end."""
    hub = Living(agbot_asks=agbot_asks, shows_rows=shows_rows)
    async with hub.fleet as fleet:
        if has_agbot:
            fleet.add_agbot()
        if members:
            await fleet.add_group(ORG, GROUP, members, habits=habits)
        await hub.start()
        yield hub
        hub.judge()
        await hub.stop()


async def installing(hub: Living) -> tuple[SimNode, list[SimNode]]:
    """Let one member get the lease and install.

    Return it, and the others in the order of their names.
    """
    hub.publish()
    await hub.until(lambda: hub.holder() is not None)
    holder = hub.holder()
    assert holder is not None
    await hub.until_stated(holder, "initiated")
    return holder, [node for name, node in sorted(hub.fleet.nodes.items()) if node is not holder]
