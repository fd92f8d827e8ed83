"""Rollouts over a living hub, and what every one of them is held to at its end.

No one overlapped whom the coordinator could have kept back (the observer of the fleet judges, who
never asks the coordinator), and no group is stuck: once everything that people and chance have put
in the way is gone, a last release reaches every member of every group. What the fleet did is read
from the observer alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from types import MappingProxyType

from agbot.coordinator.contract import Done
from agbot.coordinator.operators import history
from agbot.coordinator.operators.replaying import replay
from agbot.rules.ids import NodeId, PolicyId, node_id, policy_id
from agbot.rules.lease import Kind
from agbot.rules.limits import Limits, LimitsOf
from agbot.rules.records import Allowance, Approval, Hold
from agbot.settings.model import ExchangeSettings
from agbot.sim.agent_state import Word
from agbot.sim.episodes import Episode
from agbot.sim.exchange import seed
from agbot.sim.habits import Fate, Habits
from agbot.sim.links import Kind as SubjectKind
from agbot.sim.node import SimNode
from agbot.store.contract import JournalQuery
from tests.membership.living import AGENT, IDLE_CYCLE, STEADY, Living
from tests.support.hub import AGBOT, NEW, ORG
from tests.support.rows import GRANTS

UP = policy_id(ORG, AGENT)
"""The node management policy for every node there is."""
OTHER_ORG = "o2"
SERVICE, OLD_SERVICE, NEW_SERVICE = "dp", "1.0.0", "1.1.0"
LAST = "9.0.0"
TURN = 400.0
"""Long enough for one member."""
_SETTINGS = ExchangeSettings(url="http://exchange/v1", identity=f"IBM/{AGBOT}", busy_poll_seconds=10.0)
"""The slowest cycle that the settings allow: hours pass here."""
_THREE: Mapping[str, int] = MappingProxyType({"g1": 3})
_BOOT_SECONDS = 60.0
_BACK_SECONDS = 2400.0
"""Long enough for a lease that no one renews to be suspect and given up."""


@dataclass
class Rollout(Living):
    """A living hub with several groups, and what people do to a rollout."""

    groups: Mapping[str, int] = field(default_factory=dict)

    # What people do

    async def hold(self, scope: str, *, seconds: float | None = None) -> None:
        now = self.clock.now()
        until = now + timedelta(seconds=seconds) if seconds else None
        assert isinstance(
            await self.coordinator.hold(Hold(scope=scope, since=now, by="ada", why="audit", until=until)), Done
        )

    async def resume(self, scope: str, subject: PolicyId | None = None) -> None:
        done = await self.coordinator.resume(scope, subject=subject, reason="seen to", who="ada")
        assert isinstance(done, Done), done

    async def allow(self, node: SimNode, subject: PolicyId = UP, seconds: float = 3600.0) -> None:
        now, until = self.clock.now(), self.clock.now() + timedelta(seconds=seconds)
        given = Allowance(node=NodeId(node.name), subject=subject, since=now, until=until, by="ada", why="urgent")
        assert isinstance(await self.coordinator.allow(given), Done)

    async def approve(self, scope: str, subject: PolicyId = UP, kind: Kind = Kind.AGENT) -> None:
        given = Approval(scope=scope, kind=kind, subject=subject, since=self.clock.now(), by="ada", why="tested")
        assert isinstance(await self.coordinator.approve(given), Done)

    def break_release(self) -> None:
        """Let every upgrade of an agent be rolled back from now on."""
        for node in self.fleet.nodes.values():
            node.fate = Fate.ROLLS_BACK

    def mend_release(self) -> None:
        """Let every upgrade of an agent succeed from now on."""
        for node in self.fleet.nodes.values():
            node.fate = Fate.SUCCEEDS

    # What can be seen

    def members(self, *groups: str) -> list[SimNode]:
        """Return the nodes of these groups, or all, by name."""
        wanted = groups or tuple(self.groups)
        return [node for _, node in sorted(self.fleet.nodes.items()) if node.spec.id.rpartition("-")[0] in wanted]

    def begun(self, kind: SubjectKind = SubjectKind.AGENT) -> list[Episode]:
        """Return every upgrade that a node has really begun, in order."""
        return [one for one in self.fleet.observer.episodes if one.kind is kind]

    def went(self, kind: SubjectKind = SubjectKind.AGENT) -> list[str]:
        """Return the bare names of the nodes that began, in order."""
        return [one.node.partition("/")[2] for one in self.begun(kind)]

    def groups_begun(self) -> list[str]:
        """Return the groups in the order in which their first member began."""
        return list(dict.fromkeys(name.rpartition("-")[0] for name in self.went()))

    def waits_for(self, node: SimNode) -> str:
        """Return the first reason for which a node waits now; empty when it does not."""
        explanation = self.coordinator.explain(node_id(node.spec.org, node.spec.id))
        assert explanation is not None
        return next((each.code for each in explanation.rules if not each.passes), "")

    def are_at(self, version: str, *groups: str) -> bool:
        return self.runs(version, *self.members(*groups))

    async def until_all(self, version: str = NEW, *groups: str, closed_seconds: float = 0.0) -> None:
        """Wait until every member of these groups, or of all, runs that agent.

        So long no one may go.
        """
        seconds = TURN * sum(self.groups.values()) + closed_seconds
        await self.until(lambda: self.are_at(version, *groups), seconds)

    async def serve_all(self, policy: str = SERVICE) -> None:
        """Let every member run the first version of a service."""
        self.deploy(OLD_SERVICE, policy=policy)
        for node in self.members():
            await self.fleet.agbot.adopt(node, f"{ORG}/{policy}")

    def deploy(self, *versions: str, policy: str = SERVICE) -> None:
        """Publish a deployment policy; the first version is the one wanted."""
        self.fleet.deploy(ORG, policy, f"svc-{policy}", *versions)

    def serve(self, version: str, *nodes: SimNode, url: str = f"svc-{SERVICE}") -> bool:
        """Say whether these nodes, or all members, run that version of a service."""
        return all(
            any(
                (one.service.url, one.service.version, one.state) == (url, version, "running")
                for one in node.services.instances.values()
            )
            for node in nodes or self.members()
        )

    def most_leases_at_once(self, org: str = "") -> int:
        """Return how many groups of an organisation, or of all, had a lease at one moment, as the journal has it."""
        held: set[str] = set()
        most = 0
        for entry in self.emitted:
            if entry.event in GRANTS:
                held.add(str(entry.group))
            elif entry.event == "lease.released":
                held.discard(str(entry.group))
            most = max(most, sum(group.startswith(org) for group in held))
        return most

    # The end of every rollout

    async def no_one_is_stuck(self) -> None:
        """Let people put everything right.

        Then a last release must reach every member, and no one holds or waits after it.
        """
        await self._put_right()
        seconds = _BACK_SECONDS + 2 * TURN * len(self._there())
        services = list(self.fleet.agbot.ledger.deployments.values())
        served = {each.url: self._served_by(each.url) for each in services}
        self._publish_last()
        if not self.agbot_asks:  # no one could keep its service upgrades from those of agents
            await self.until(lambda: self.runs(LAST, *self._there()) and self._is_at_rest(), seconds)
        for each in services:
            self.fleet.deploy(each.org, each.name.partition("/")[2], each.url, LAST)
        await self.until(lambda: self.runs(LAST, *self._there()), seconds)
        for url, nodes in served.items():
            await self.until(partial(self.serve, LAST, *nodes, url=url), seconds)
        await self.until(self._is_at_rest, TURN)
        await self._history_is_whole()

    async def _put_right(self) -> None:
        for node in self._there():
            node.come_back()
            node.fate, node.services.outcomes = Fate.SUCCEEDS, {}
        await self.fleet.clock.sleep(_BOOT_SECONDS)
        for node in self._there():
            self._reset_lost(node)
        eased = replace(self.limits, windows=(), approval=False)
        self.coordinator.set_limits(lambda _group: eased)
        for scope in list(self.coordinator._situation.ledger.holds):  # noqa: SLF001 - whatever is held
            await self.resume(scope)
        for group in self.coordinator.groups():
            for brake in group.brakes:
                await self.resume(group.id, brake.subject)

    def _reset_lost(self, node: SimNode) -> None:
        """An upgrade whose end the agent has never learnt of keeps it from every other one until a person resets it."""
        for nmp, entry in node.notebook.entries.items():
            if entry.word is Word.INITIATED and node.down_for is None:
                status = entry.report()
                status["agentUpgradePolicyStatus"]["status"] = Word.RESET.value
                path = f"/orgs/{node.spec.org}/nodes/{node.spec.id}/managementStatus/{nmp}"
                seed.send(self.exchange, "PUT", path, status, caller=seed.admin_of(node.spec.org))

    def _publish_last(self) -> None:
        known = {key: each.doc["constraints"] for key, each in self.exchange.world.management_policies.items()}
        orgs = dict.fromkeys(node.spec.org for node in self._there())
        for (org, nmp), wanted in (known or {(org, AGENT): [] for org in orgs}).items():
            self.fleet.publish(org, nmp, LAST, group=wanted[0].rpartition(" ")[2] if wanted else "")

    def _there(self) -> list[SimNode]:
        """Return the nodes that exist and are registered."""
        exist = self.exchange.world.nodes
        return [
            node for node in self.fleet.nodes.values() if node.registered and (node.spec.org, node.spec.id) in exist
        ]

    def _served_by(self, url: str) -> list[SimNode]:
        """Return the nodes that have the service, or were losing it just now."""
        ledger = self.fleet.agbot.ledger
        policies = {each.name for each in ledger.deployments.values() if each.url == url}
        has = {each.node for each in ledger.agreements.values() if each.policy in policies}
        loses = {node for node, policy in ledger.upgrades if policy in policies}
        return [self.fleet.nodes[name] for name in sorted(has | loses)]

    def _is_at_rest(self) -> bool:
        overview = self.coordinator.overview()
        return (overview.held, overview.suspect, overview.waiting, overview.deferred) == (0, 0, 0, 0)

    async def _history_is_whole(self) -> None:
        """Everything that really began under a lease was granted before, and every decision still follows from what it rested on."""
        entries = await self.store.journal(JournalQuery(after=0, limit=100_000))
        granted = [(str(each.node), str(each.subject), each.at) for each in entries if each.event in GRANTS]
        for one in self.fleet.observer.episodes:
            if one.excuse is None and one.group and not one.is_unasked:
                assert (
                    any(
                        (node, subject) == (one.node, one.subject) and at <= one.began_at
                        for node, subject, at in granted
                    )
                    or not self.agbot_asks
                ), one.describe()
        assert replay(history.view(each) for each in entries).different == []


@asynccontextmanager
async def rollout(
    groups: Mapping[str, int] = _THREE,
    *,
    limits: Limits | None = None,
    limits_of: LimitsOf | None = None,
    habits: Habits = STEADY,
    serves: bool = False,
    agbot_asks: bool = True,
    shows_rows: bool = False,
) -> AsyncIterator[Rollout]:
    """Run a hub with these groups (name -> members.

    `other…` are in another organisation), and hold it to its promises at the end.
    """
    hub = Rollout(
        groups=groups,
        limits=limits or Limits(),
        limits_of=limits_of,
        settings=_SETTINGS,
        agbot_asks=agbot_asks,
        shows_rows=shows_rows,
    )
    async with hub.fleet as fleet:
        fleet.add_agbot()
        if any(group_org(name) == OTHER_ORG for name in groups):
            fleet.add_org(OTHER_ORG)
        for name, members in groups.items():
            await fleet.add_group(group_org(name), name, members, habits=habits)
        if serves:
            await hub.serve_all()
        await hub.start()
        await fleet.clock.sleep(IDLE_CYCLE)
        yield hub
        await hub.no_one_is_stuck()
        hub.judge()
        await hub.stop()


def group_org(group: str) -> str:
    """Return the organisation of a group."""
    return OTHER_ORG if group.startswith("other") else ORG
