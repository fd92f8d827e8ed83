"""One simulated edge node: a machine with an agent, a cron job and services in containers.

The programs are in `agent` (heartbeat, policies, questions), `upgrade_script` and `node_services`;
they share the `machine`. This module has what a person does to a node as a whole.
"""

from __future__ import annotations

import random
from collections.abc import Coroutine, Mapping
from typing import Any

from agbot.sim.actions import Act
from agbot.sim.agent import Agent
from agbot.sim.habits import Habits
from agbot.sim.links import segment
from agbot.sim.machine import Environment, Machine, NodeSpec
from agbot.sim.matching import node_policy_body
from agbot.sim.node_services import NodeServices
from agbot.sim.process import Process
from agbot.sim.upgrade_script import UpgradeScript


class SimNode(Machine):
    """A node."""

    def __init__(
        self, spec: NodeSpec, environment: Environment, *, chance: random.Random, habits: Habits | None = None
    ) -> None:
        """Take the node's properties and connections; it is off until `power_on`."""
        super().__init__(spec, environment, chance=chance, habits=habits)
        self.services = NodeServices(self)
        self._script = UpgradeScript(self, self.services)
        self.agent = Agent(self, self.services, self._script)

    def agent_program(self, process: Process) -> Coroutine[Any, Any, None]:
        """Return the main thread of the agent."""
        return self.agent.run(process)

    def power_on(self) -> None:
        """Start the machine: the cron job, and the agent if the node is registered."""
        if self.alive:
            return
        self.alive = True
        self.run_aside(self._script.cron())
        if self.registered:
            self.start_agent()

    def come_back(self) -> None:
        """Bring a lost node back; its agent's database is unchanged."""
        if self.alive:
            return
        self.notify(Act.RETURNED)
        self.power_on()

    def restart_agent(self) -> None:
        """Restart only the agent process."""
        self.stop_agent()
        self.start_agent()

    async def register(self) -> None:
        """Publish the agent's key and start the agent, as at the end of `hzn register`.

        The node exists already.
        """
        await self.send_until_answered("PATCH", self.path(), {"publicKey": "c2ltdWxhdGVkIGtleQ=="})
        if self.properties:
            await self.show_properties(self.properties)
        self.registered = True
        if self.alive:
            self.start_agent()

    async def show_properties(self, properties: Mapping[str, str]) -> None:
        """Set the properties in the node's policy, to which constraints refer."""
        self.properties = dict(properties)
        await self.send_until_answered("PUT", self.path("/policy"), node_policy_body(self.properties))

    async def unregister(self) -> None:
        """Do what `hzn unregister -f` does.

        The statuses and agreements are deleted, the key is emptied, and the agent stops.
        """
        self.stop_agent()
        self.registered = False
        for entry in tuple(self.notebook.entries.values()):
            await self.send_until_answered("DELETE", self.path(f"/managementStatus/{segment(entry.nmp)}"))
        self.notebook.entries.clear()
        await self.services.give_up()
        await self.send_until_answered("PATCH", self.path(), {"publicKey": ""})
        self.come_up("unregistered")
