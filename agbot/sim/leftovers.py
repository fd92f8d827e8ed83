"""Rows that the agbot leaves behind, one scene for each defect (`agbot-ha.md` 5.4 and 5.5).

A scene has an HA group of its own with two members, called after the defect. The row is that of the
first member, and its upgrade is over or cannot continue. What takes the real programs minutes or
days, such as a node's silence, is there at once. Create scenes when the agbot has started, since at
its start it deletes some rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from agbot.sim.agbot_rows import AgbotRows, AgentRow, ServiceRow
from agbot.sim.exchange import SimExchange, seed

LONG_AGO = timedelta(hours=3)
OLD, NEW = "1.0.0", "1.1.0"
_FOR_NO_NODE = ("group == none",)
"""The scene has what the policy did; it must not begin anything more."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One group in a simulated hub."""

    exchange: SimExchange
    rows: AgbotRows
    org: str
    group: str

    @property
    def first(self) -> str:
        """The bare id of the member whose row is left behind."""
        return f"{self.group}-1"

    @property
    def second(self) -> str:
        """The bare id of the other member, which waits for the slot."""
        return f"{self.group}-2"

    @property
    def policy(self) -> str:
        """The bare name of the group's policy, of either kind."""
        return f"{self.group}-policy"

    def agent(self, node: str = "") -> AgentRow:
        """Leave the row of an agent upgrade."""
        row = AgentRow(org=self.org, group=self.group, node=node or self.first, nmp=self.policy)
        self.rows.agents.append(row)
        return row

    def service(self, node: str = "", policy: str = "") -> ServiceRow:
        """Leave the row of a service upgrade."""
        name = policy or f"{self.org}/{self.policy}"
        row = ServiceRow(org=self.org, group=self.group, policy=name, node=f"{self.org}/{node or self.first}")
        self.rows.services.append(row)
        return row

    def report(self, status: str, node: str = "") -> None:
        """Report the status of an agent upgrade, long ago."""
        name = node or self.first
        seed.upgrade_status(self.exchange, self.org, name, self.policy, status, version=NEW)
        shown = self.exchange.world.management_status[self.org, name][f"{self.org}/{self.policy}"]
        shown["agentUpgradePolicyStatus"]["lastUpdated"] = self._long_ago()

    def run(self, version: str, node: str = "") -> None:
        """Run the policy's service in a version, since long ago."""
        name, agreement = node or self.first, f"{node or self.first}-agreement"
        service = {"orgid": self.org, "pattern": "", "url": f"{self.org}/{self.group}-service"}
        body: dict[str, object] = {"services": [], "agreementService": service, "state": "Finalized Agreement"}
        self._as_node(name, f"agreements/{agreement}", body)
        containers = [{"name": "/svc", "image": f"lab/svc:{version}", "created": 0, "state": "running"}]
        shown = {
            "agreementId": agreement,
            "serviceUrl": f"{self.group}-service",
            "orgid": self.org,
            "version": version,
            "arch": "amd64",
            "containerStatus": containers,
            "operatorStatus": None,
            "configState": "active",
        }
        self._as_node(name, "status", {"connectivity": {}, "services": [shown]})
        self.exchange.world.node_agreements[self.org, name][agreement]["lastUpdated"] = self._long_ago()

    def die(self, node: str = "") -> None:
        """Be silent since long ago."""
        self.exchange.world.nodes[self.org, node or self.first].doc["lastHeartbeat"] = self._long_ago()

    def delete_node(self) -> None:
        """Delete the first member from the Exchange."""
        self._as_admin("DELETE", f"/nodes/{self.first}")

    def delete_nmp(self) -> None:
        """Delete the node management policy."""
        self._as_admin("DELETE", f"/managementpolicies/{self.policy}")

    def recreate_without_first(self) -> None:
        """Delete the group and create it again without the first member, between two polls."""
        self._as_admin("DELETE", f"/hagroups/{self.group}")
        seed.group(self.exchange, self.org, self.group, [self.second])

    def unregister(self) -> None:
        """Unregister the agent of the first member, as `hzn unregister` does."""
        world, key = self.exchange.world, (self.org, self.first)
        world.management_status.pop(key, None)
        world.nodes[key].doc["publicKey"] = ""

    def _as_admin(self, method: str, path: str) -> None:
        seed.send(self.exchange, method, f"/orgs/{self.org}{path}", caller=seed.admin_of(self.org))

    def _as_node(self, node: str, path: str, body: dict[str, object]) -> None:
        seed.send(self.exchange, "PUT", f"/orgs/{self.org}/nodes/{node}/{path}", body, caller=f"{self.org}/{node}")

    def _long_ago(self) -> str:
        return (self.exchange.now() - LONG_AGO).isoformat().replace("+00:00", "Z")


def _a1(scene: Scene) -> None:
    scene.report("initiated")
    scene.agent()
    scene.die()


def _a2(scene: Scene) -> None:
    scene.report("initiated")
    scene.agent()
    scene.delete_node()


def _a3(scene: Scene) -> None:
    scene.report("downloaded")
    scene.agent()
    scene.delete_nmp()


def _a3_unregistered(scene: Scene) -> None:
    scene.report("downloaded")
    scene.agent()
    scene.unregister()


def _a7(scene: Scene) -> None:
    scene.report("initiated")
    scene.agent()


def _w1(scene: Scene) -> None:
    scene.run(OLD, scene.second)
    scene.service()
    scene.die()


def _w2(scene: Scene) -> None:
    scene.run(NEW)
    scene.run(OLD, scene.second)
    scene.service()


def _w3(scene: Scene) -> None:
    scene.run(OLD)
    scene.run(OLD, scene.second)
    scene.service()


def _w14(scene: Scene) -> None:
    """Two rows for one slot: the first member is dead, the second one upgrades."""
    _a1(scene)
    seed.upgrade_status(scene.exchange, scene.org, scene.second, scene.policy, "downloaded", version=NEW)
    scene.agent(scene.second)


def _w15(scene: Scene) -> None:
    scene.run(OLD, scene.second)
    scene.service()
    scene.recreate_without_first()


def _two_policies(scene: Scene) -> None:
    """A stuck row beside that of another policy, which the local API would delete with it."""
    _w2(scene)
    seed.deployment_policy(
        scene.exchange, scene.org, f"{scene.group}-other", service="other", versions=[NEW], constraints=_FOR_NO_NODE
    )
    scene.service(scene.second, f"{scene.org}/{scene.group}-other")


SCENES: Mapping[str, Callable[[Scene], None]] = MappingProxyType(
    {
        "a1": _a1,
        "a2": _a2,
        "a3": _a3,
        "a3-unregistered": _a3_unregistered,
        "a7": _a7,
        "w1": _w1,
        "w2": _w2,
        "w3": _w3,
        "w5": _two_policies,
        "w14": _w14,
        "w15": _w15,
    }
)
"""What sets a scene, by the number of its defect."""


def leave_behind(exchange: SimExchange, rows: AgbotRows, org: str, defect: str) -> Scene:
    """Set the scene of a defect in an organisation that exists. Its group has the defect's name."""
    scene = Scene(exchange, rows, org, defect)
    for node in (scene.first, scene.second):
        seed.node(exchange, org, node)
    seed.group(exchange, org, defect, [scene.first, scene.second])
    if defect.startswith("a") or defect == "w14":
        seed.management_policy(exchange, org, scene.policy, constraints=_FOR_NO_NODE)
    else:
        seed.deployment_policy(
            exchange, org, scene.policy, service=f"{defect}-service", versions=[NEW, OLD], constraints=_FOR_NO_NODE
        )
    SCENES[defect](scene)
    return scene
