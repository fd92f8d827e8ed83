"""A whole simulated fleet round one simulated Exchange: nodes, HA groups, policies, an agbot, and the observer.

The same fleet runs over real HTTP in (accelerated) real time and in one process on a virtual loop; only the two ports and the clock
differ. What people do (create, delete, join) is done at once through the Exchange's own routes; chance is drawn from the seed and
the name of whoever draws, so that one more node changes nothing for the others.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

from agbot.sim.agbot_rows import AgbotRows
from agbot.sim.clock import Clock
from agbot.sim.deeds import Deed, Tell
from agbot.sim.deployment import policy_body
from agbot.sim.episodes import Tolerance
from agbot.sim.exchange import SimExchange, seed
from agbot.sim.habits import Habits
from agbot.sim.links import DirectExchange, ExchangePort, GatewayPort, segment
from agbot.sim.local_api import LocalApi, Shown
from agbot.sim.node import Asks, NodeSpec, SimNode, Surroundings
from agbot.sim.observer import Observer
from agbot.sim.service_upgrades import AgbotSpec, SimAgbot

GROUP_PROPERTY = "group"
"""The node property that policies of one group select by."""

_POLL_SECONDS = 1.0


class Fleet:
    """Use as an async context manager: on leaving, every loop has ended. `nodes` is by `org/id`."""

    def __init__(
        self,
        exchange: SimExchange,
        gateway: GatewayPort,
        clock: Clock,
        *,
        chance_seed: int = 0,
        exchange_port: ExchangePort | None = None,
        habits: Habits | None = None,
        tolerance: Tolerance | None = None,
        agbot: AgbotSpec | None = None,
        rows: AgbotRows | None = None,
    ) -> None:
        """Take the hub, and the agbots' database if somebody else shows it. Without `exchange_port` nodes call the Exchange directly."""
        self.exchange = exchange
        self.clock = clock
        self.habits = habits or Habits()
        self.observer = Observer(clock, tolerance)
        self.nodes: dict[str, SimNode] = {}
        self._seed = chance_seed
        self._group = asyncio.TaskGroup()
        self._listeners: list[Tell] = [self.observer.hear]
        self._around = Surroundings(
            exchange=exchange_port or DirectExchange(exchange.handle, clock),
            gateway=gateway,
            clock=clock,
            tell=self._tell,
            spawn=self._group.create_task,
        )
        self._agbot_spec = agbot or AgbotSpec()
        self.rows = AgbotRows() if rows is None else rows
        self.rows.on_gone = self.observer.row_gone
        self.agbot = self._new_agbot(self._agbot_spec.name)
        self._more_agbots: list[SimAgbot] = []
        self.bypass: GatewayPort = self.agbot.agent_lock
        """What agents ask that do not ask the coordinator."""
        exchange.subscribe(self.observer.see)

    async def __aenter__(self) -> Fleet:  # noqa: PYI034 - a fleet is not subclassed
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is asyncio.CancelledError:  # a task failed, or somebody ends the whole run: the group tells them apart
            await self._group.__aexit__(kind, error, trace)
        else:  # an error of the block itself comes out as it is, in no group
            await self._group.__aexit__(None, None, None)

    def stop(self) -> None:
        """End every loop, telling nobody."""
        for agbot in (self.agbot, *self._more_agbots):
            agbot.stop()
        for node in self.nodes.values():
            node.halt()

    def listen(self, tell: Tell) -> None:
        """Tell every deed to somebody else as well, such as a demo's screen."""
        self._listeners.append(tell)

    def _tell(self, deed: Deed) -> None:
        for listener in self._listeners:
            listener(deed)

    def _chance(self, name: str) -> random.Random:
        return random.Random(f"{self._seed}/{name}")

    def add_org(self, org: str) -> None:
        """Create an organisation with its admin."""
        seed.org(self.exchange, org)

    @property
    def has_agbot(self) -> bool:
        """Say whether the agbot exists in the Exchange."""
        return (self._agbot_spec.org, self._agbot_spec.id) in self.exchange.world.agbots

    def add_agbot(self) -> SimAgbot:
        """Create the agbot in the Exchange and start it."""
        seed.agbot(self.exchange, self._agbot_spec.org, self._agbot_spec.id)
        if self._agbot_spec.token != seed.token_of(self._agbot_spec.id):
            message = "the agbot's token must be the one that the Exchange is seeded with"
            raise ValueError(message)
        self.agbot.start()
        return self.agbot

    def second_agbot(self) -> SimAgbot:
        """Start one more agbot of the same identity on the same database; it has its own agreements (`agbot-ha.md` 3.4)."""
        agbot = self._new_agbot(f"{self._agbot_spec.name} {len(self._more_agbots) + 2}")
        self._more_agbots.append(agbot)
        agbot.start()
        return agbot

    def _new_agbot(self, name: str) -> SimAgbot:
        return SimAgbot(
            self._agbot_spec, self._around, nodes=self.nodes.__getitem__, chance=self._chance(name), rows=self.rows
        )

    def local_api(self, agbot: SimAgbot | None = None) -> LocalApi:
        """Return the local API of an agbot, of the first one if none is given: something to listen with, or to call."""
        of = agbot or self.agbot
        return LocalApi(self.rows, self.clock, Shown(org=of.spec.org, id=of.spec.id, policies=of.ledger.by_org))

    async def add_node(
        self,
        org: str,
        name: str,
        *,
        version: str = "2.31.0",
        node_type: str = "device",
        properties: Mapping[str, str] | None = None,
        habits: Habits | None = None,
        asks: Asks = Asks.COORDINATOR,
    ) -> SimNode:
        """Create a node, switch it on and register its agent."""
        seed.node(self.exchange, org, name, version=version, node_type=node_type, public_key="")
        spec = NodeSpec(
            org=org,
            id=name,
            token=seed.token_of(name),
            node_type=node_type,
            version=version,
            properties=dict(properties or {}),
            asks=asks,
        )
        around = replace(self._around, gateway=self.bypass) if asks is Asks.AGBOT else self._around
        node = SimNode(spec, around, chance=self._chance(spec.name), habits=habits or self.habits)
        self.nodes[spec.name] = node
        node.power_on()
        await node.register()
        return node

    def let_ask(self, node: SimNode, whom: Asks) -> None:
        """Let a node's agent ask somebody else from now on."""
        gateway = self.bypass if whom is Asks.AGBOT else self._around.gateway
        node.spec, node.around = replace(node.spec, asks=whom), replace(self._around, gateway=gateway)

    async def add_group(
        self, org: str, group: str, members: int, *, cluster_members: int = 0, habits: Habits | None = None
    ) -> list[SimNode]:
        """Create an HA group of new nodes, called `GROUP-1` and so on; they have the property `group == GROUP`."""
        nodes = [
            await self.add_node(
                org,
                f"{group}-{number}",
                node_type="cluster" if number > members else "device",
                properties={GROUP_PROPERTY: group},
                habits=habits,
            )
            for number in range(1, members + cluster_members + 1)
        ]
        seed.group(self.exchange, org, group, [node.spec.id for node in nodes])
        return nodes

    def create_group(self, org: str, group: str, nodes: list[str]) -> None:
        """Create an HA group of nodes that exist (bare ids)."""
        seed.group(self.exchange, org, group, nodes)

    def delete_group(self, org: str, group: str) -> None:
        """Delete an HA group."""
        self._as_admin("DELETE", org, f"/hagroups/{segment(group)}")

    def join(self, org: str, group: str, node: str) -> None:
        """Add a node (bare id) to a group."""
        self._as_admin("POST", org, f"/hagroups/{segment(group)}/nodes/{segment(node)}")

    def leave(self, org: str, group: str, node: str) -> None:
        """Remove a node (bare id) from a group."""
        self._as_admin("DELETE", org, f"/hagroups/{segment(group)}/nodes/{segment(node)}")

    def delete_node(self, node: SimNode) -> None:
        """Delete a node from the Exchange and switch it off for good."""
        self._as_admin("DELETE", node.spec.org, f"/nodes/{segment(node.spec.id)}")
        node.die()

    def publish(self, org: str, nmp: str, version: str, *, group: str = "", enabled: bool = True) -> None:
        """Create or change a node management policy that brings agents to `version`; with `group`, only that group's nodes."""
        body = {
            "label": nmp,
            "description": f"agent {version}",
            "constraints": [f"{GROUP_PROPERTY} == {group}"] if group else [],
            "properties": [],
            "enabled": enabled,
            "start": "now",
            "startWindow": 0,
            "agentUpgradePolicy": {"manifest": f"IBM/edgeNodeFiles_manifest_{version}", "allowDowngrade": False},
        }
        exists = (org, nmp) in self.exchange.world.management_policies
        self._as_admin("PUT" if exists else "POST", org, f"/managementpolicies/{segment(nmp)}", body)

    def delete_nmp(self, org: str, nmp: str) -> None:
        """Delete a node management policy."""
        self._as_admin("DELETE", org, f"/managementpolicies/{segment(nmp)}")

    def deploy(self, org: str, policy: str, url: str, *versions: str, constraints: tuple[str, ...] = ()) -> None:
        """Create or change a deployment policy; the first version is the one wanted, by nodes that match every constraint."""
        body = policy_body(org, url, versions, constraints)
        exists = (org, policy) in self.exchange.world.business_policies
        self._as_admin("PUT" if exists else "POST", org, f"/business/policies/{segment(policy)}", body)

    def _as_admin(self, method: str, org: str, below: str, body: dict[str, Any] | None = None) -> None:
        seed.send(self.exchange, method, f"/orgs/{segment(org)}{below}", body, caller=seed.admin_of(org))

    async def until(self, holds: Callable[[], bool], *, within_seconds: float) -> bool:
        """Wait until something holds, looking every simulated second; say whether it came in time."""
        for _ in range(int(within_seconds / _POLL_SECONDS) + 1):
            if holds():
                return True
            await self.clock.sleep(_POLL_SECONDS)
        return holds()

    def report(self) -> dict[str, Any]:
        """Return the observer's figures, and how often the Exchange was asked and by whom (JSON)."""
        by_role: dict[str, int] = {}
        for key, count in self.exchange.requests.items():
            by_role[key.role] = by_role.get(key.role, 0) + count
        return {
            **self.observer.report(),
            "exchange_requests": self.exchange.requests.total(),
            "exchange_requests_by_role": by_role,
            "exchange_requests_of_simulated_agbot": self.agbot.exchange_requests,
        }


def quick(habits: Habits | None = None) -> Habits:
    """Return habits of nodes that do not idle: cron every minute, short installs. For tests and short demos."""
    return replace(
        habits or Habits(),
        cron_seconds=60.0,
        install_seconds=(10.0, 30.0),
        rollback_seconds=(10.0, 30.0),
        boot_seconds=(1.0, 3.0),
    )
