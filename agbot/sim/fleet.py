"""A whole simulated fleet around one simulated Exchange: nodes, groups, policies, agbot, observer.

The same fleet runs over real HTTP in (accelerated) real time, and in one process on a virtual loop;
only the two ports and the clock differ. Actions of people (create, delete, join) are carried out at
once through the Exchange's own routes. Random values are drawn from the seed and the name of the
drawing part, so that another node changes nothing for the others.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

from agbot.sim.actions import Action, ActionListener
from agbot.sim.agbot_account import AgbotSpec
from agbot.sim.agbot_rows import AgbotRows
from agbot.sim.clock import Clock
from agbot.sim.episodes import Tolerance
from agbot.sim.exchange import SimExchange, seed
from agbot.sim.habits import Habits
from agbot.sim.links import DirectExchange, ExchangePort, GatewayPort, NoGateway, segment
from agbot.sim.local_api import LocalApi, Shown
from agbot.sim.machine import Asks, Environment, NodeSpec
from agbot.sim.node import SimNode
from agbot.sim.observer import Observer
from agbot.sim.service_upgrades import SimAgbot

GROUP_PROPERTY = "group"
"""The node property by which policies select one group."""

_POLL_SECONDS = 1.0


class Fleet:
    """An async context manager: when it is left, every loop has ended. `nodes` is by `org/id`."""

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
        """Take the hub, and the agbots' database if it is shared.

        Without `exchange_port` nodes call the Exchange directly.
        """
        self.exchange = exchange
        self.clock = clock
        self.habits = habits or Habits()
        self.observer = Observer(clock, tolerance)
        self.nodes: dict[str, SimNode] = {}
        self._seed = chance_seed
        self._group = asyncio.TaskGroup()
        self._listeners: list[ActionListener] = [self.observer.on_action]
        self._environment = Environment(
            exchange=exchange_port or DirectExchange(exchange.handle, clock),
            gateway=gateway,
            clock=clock,
            notify=self._notify,
            spawn=self._group.create_task,
        )
        self._agbot_spec = agbot or AgbotSpec()
        self.rows = AgbotRows() if rows is None else rows
        self.rows.on_deleted = self.observer.on_row_deleted
        self.agbot = self._new_agbot(self._agbot_spec.name)
        self._more_agbots: list[SimAgbot] = []
        self.bypass: GatewayPort = self.agbot.agent_lock
        """Where agents ask that do not ask the coordinator."""
        exchange.subscribe(self.observer.on_write)

    async def __aenter__(self) -> Fleet:  # noqa: PYI034 - a fleet is not subclassed
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        # a task failed, or the whole run was cancelled: the group distinguishes them
        if kind is asyncio.CancelledError:
            await self._group.__aexit__(kind, error, trace)
        else:  # an error of the block itself is raised as it is, not in an exception group
            await self._group.__aexit__(None, None, None)

    def stop(self) -> None:
        """End every loop, without a report."""
        for agbot in (self.agbot, *self._more_agbots):
            agbot.stop()
        for node in self.nodes.values():
            node.halt()

    def subscribe(self, listener: ActionListener) -> None:
        """Notify another listener, such as a demo's screen, of every action."""
        self._listeners.append(listener)

    def _notify(self, action: Action) -> None:
        for listener in self._listeners:
            listener(action)

    def _chance(self, name: str) -> random.Random:
        return random.Random(f"{self._seed}/{name}")

    def add_org(self, org: str) -> None:
        """Create an organisation with its admin."""
        seed.org(self.exchange, org)

    @property
    def has_agbot(self) -> bool:
        """Return whether the agbot exists in the Exchange."""
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
        """Start another agbot with the same identity and database.

        It has its own agreements (`agbot-ha.md` 3.4).
        """
        agbot = self._new_agbot(f"{self._agbot_spec.name} {len(self._more_agbots) + 2}")
        self._more_agbots.append(agbot)
        agbot.start()
        return agbot

    def _new_agbot(self, name: str) -> SimAgbot:
        return SimAgbot(
            self._agbot_spec, self._environment, nodes=self.nodes.__getitem__, chance=self._chance(name), rows=self.rows
        )

    def local_api(self, agbot: SimAgbot | None = None) -> LocalApi:
        """Return the local API of an agbot, by default of the first one."""
        of = agbot or self.agbot
        ledger = of.ledger
        shown = Shown(org=of.spec.org, id=of.spec.id, policies=ledger.by_org, waiting=ledger.waiting)
        return LocalApi(self.rows, self.clock, shown)

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
        environment = replace(self._environment, gateway=self._gateway(asks))
        node = SimNode(spec, environment, chance=self._chance(spec.name), habits=habits or self.habits)
        self.nodes[spec.name] = node
        node.power_on()
        await node.register()
        return node

    def redirect_questions(self, node: SimNode, whom: Asks) -> None:
        """Change where a node's agent asks from now on."""
        node.spec = replace(node.spec, asks=whom)
        node.environment = replace(self._environment, gateway=self._gateway(whom))

    def _gateway(self, whom: Asks) -> GatewayPort:
        return {Asks.AGBOT: self.bypass, Asks.NOWHERE: NoGateway()}.get(whom, self._environment.gateway)

    async def add_group(
        self, org: str, group: str, members: int, *, cluster_members: int = 0, habits: Habits | None = None
    ) -> list[SimNode]:
        """Create an HA group of new nodes, called `GROUP-1` and so on.

        They have the property `group == GROUP`.
        """
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
        """Create an HA group of existing nodes (bare ids)."""
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
        """Delete a node from the Exchange and switch it off permanently."""
        self._as_admin("DELETE", node.spec.org, f"/nodes/{segment(node.spec.id)}")
        node.die()

    def publish(self, org: str, nmp: str, version: str, *, group: str = "", enabled: bool = True) -> None:
        """Create or change a node management policy that upgrades agents to `version`.

        With `group`, it is only for that group's nodes.
        """
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
        """Create or change a deployment policy for nodes that match every constraint.

        The first version has the highest priority.
        """
        body = seed.policy_body(org, url, versions, constraints)
        exists = (org, policy) in self.exchange.world.business_policies
        self._as_admin("PUT" if exists else "POST", org, f"/business/policies/{segment(policy)}", body)

    def _as_admin(self, method: str, org: str, below: str, body: dict[str, Any] | None = None) -> None:
        seed.send(self.exchange, method, f"/orgs/{segment(org)}{below}", body, caller=seed.admin_of(org))

    async def until(self, holds: Callable[[], bool], *, within_seconds: float) -> bool:
        """Wait until a condition holds, checked every simulated second; return whether it does."""
        for _ in range(int(within_seconds / _POLL_SECONDS) + 1):
            if holds():
                return True
            await self.clock.sleep(_POLL_SECONDS)
        return holds()

    def report(self) -> dict[str, Any]:
        """Return the observer's figures, and the requests to the Exchange by role (JSON)."""
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
    """Return habits with cron every minute and short installs, for tests and short demos."""
    return replace(
        habits or Habits(),
        cron_seconds=60.0,
        install_seconds=(10.0, 30.0),
        rollback_seconds=(10.0, 30.0),
        boot_seconds=(1.0, 3.0),
    )
