"""The commands an administrator knows from `hzn`, against a simulated Exchange on a real socket, which runs in a thread of its own.

There is no coordinator here: these commands go to the Exchange.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agbot.cli.main import main
from agbot.sim.clock import ScaledClock
from agbot.sim.exchange import Request, SimExchange, basic
from agbot.sim.exchange.server import serve
from agbot.sim.faults import Fault, FaultKind
from tests.support.loop_thread import LoopThread

NOWHERE = "http://127.0.0.1:1"
"""Where no coordinator is."""
PASSWORDS = {"root/root": "rootpw", "o1/admin": "adminpw", "o1/u1": "u1pw", "o1/u2": "u2pw"}
_LEFT_OUT = (
    "HZN_EXCHANGE_NODE_AUTH",
    "HZN_MGMT_HUB_CERT_PATH",
    "HZN_ICP_CA_CERT_PATH",
    "HZN_SSL_SKIP_VERIFY",
    "HZN_HTTP_TIMEOUT",
    "HZN_ORG_ID",
    "HZN_EXCHANGE_URL",
    "HZN_EXCHANGE_USER_AUTH",
)


@dataclass
class Hub:
    """A simulated Exchange over HTTP, and a person who types commands."""

    exchange: SimExchange
    _loop: LoopThread
    url: str

    def send(self, identity: str, secret: str, method: str, path: str, body: object = None) -> int:
        """Write something directly; the status."""
        headers = {"Authorization": basic(identity, secret), "Content-Type": "application/json"}
        content = body if isinstance(body, str) else "" if body is None else json.dumps(body)
        request = Request(method=method, target=path, headers=headers, body=content.encode())

        async def handle() -> int:
            return self.exchange.handle(request).status

        return self._loop.run(handle())

    def as_admin(self, method: str, path: str, body: object = None) -> None:
        status = self.send("o1/admin", "adminpw", method, f"/v1/orgs/o1{path}", body)
        assert status in {200, 201, 204}, f"{method} {path}: {status}"

    def fault(self, kind: FaultKind, **how: Any) -> None:
        """Let something go wrong from now on."""
        self.exchange.faults.add(Fault(kind=kind, **how))

    def members(self, group: str) -> list[str]:
        """Return a group's members as the Exchange has them."""
        return sorted(self.exchange.world.groups["o1", group].members)

    def has(self, group: str) -> bool:
        return ("o1", group) in self.exchange.world.groups

    def report(self, node: str, status: str, policy: str = "up1") -> None:
        """Let a node report a status of its agent upgrade."""
        upgrade = {
            "scheduledTime": "2026-11-23T12:00:00Z",
            "upgradedVersions": {"softwareVersion": "2.32.0", "certVersion": "", "configVersion": ""},
            "status": status,
            "errorMessage": "",
        }
        path = f"/v1/orgs/o1/nodes/{node}/managementStatus/{policy}"
        assert self.send(f"o1/{node}", f"{node}tok", "PUT", path, {"agentUpgradePolicyStatus": upgrade}) == 201

    def run(
        self,
        *words: str,
        user: str | None = "o1/admin:adminpw",
        stdin: str = "",
        environ: Mapping[str, str] | None = None,
        coordinator: str = NOWHERE,
    ) -> Result:
        """Type `agbot …` where no one can be asked."""
        own = {"HZN_EXCHANGE_URL": self.url, "HZN_ORG_ID": "o1", "AGBOT_URL": coordinator}
        given = own if environ is None else {"AGBOT_URL": coordinator, **environ}
        if user is not None and environ is None:
            given["HZN_EXCHANGE_USER_AUTH"] = user
        env: dict[str, str | None] = dict.fromkeys(_LEFT_OUT) | given
        return CliRunner().invoke(main, words, input=stdin, env=env, prog_name="agbot")

    def json(self, *words: str, user: str = "o1/admin:adminpw") -> Any:
        """Return what a command says to a program."""
        done = self.run(*words, user=user)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@pytest.fixture
def empty_hub() -> Iterator[Hub]:
    """Run an Exchange as a new one is."""
    loop = LoopThread()
    exchange = SimExchange(clock=ScaledClock(), root_password=PASSWORDS["root/root"])
    server = loop.run(serve(exchange, "127.0.0.1", 0))
    yield Hub(exchange, loop, server.url)
    loop.run(server.close())
    loop.close()


@pytest.fixture
def hub(empty_hub: Hub) -> Hub:
    """Fill it: g1 with n1, n2 and n3 by the admin, u1's own group gu with m1, free nodes n4 and m2, the cluster node c1."""
    hub = empty_hub
    assert hub.send("root/root", "rootpw", "POST", "/v1/orgs/o1", {"label": "o1", "description": "d"}) == 201
    admin = {"password": "adminpw", "admin": True, "email": "a@x"}
    assert hub.send("root/root", "rootpw", "POST", "/v1/orgs/o1/users/admin", admin) == 201
    for user in ("u1", "u2"):
        hub.as_admin("POST", f"/users/{user}", {"password": f"{user}pw", "admin": False, "email": "u@x"})
    for name in ("n1", "n2", "n3", "n4", "c1"):
        kind = "cluster" if name == "c1" else "device"
        hub.as_admin("PUT", f"/nodes/{name}", node_body(name, kind))
    for name in ("m1", "m2"):
        assert hub.send("o1/u1", "u1pw", "PUT", f"/v1/orgs/o1/nodes/{name}", node_body(name, "device")) == 201
    hub.as_admin("POST", "/hagroups/g1", {"description": "group one", "members": ["n1", "n2", "n3"]})
    hub.as_admin("POST", "/hagroups/g2", {"description": "group two", "members": []})
    mine = {"description": "u1's", "members": ["m1"]}
    assert hub.send("o1/u1", "u1pw", "POST", "/v1/orgs/o1/hagroups/gu", mine) == 201
    hub.as_admin("POST", "/managementpolicies/up1", _POLICY)
    return hub


def node_body(name: str, kind: str) -> dict[str, Any]:
    return {
        "token": f"{name}tok",
        "name": name,
        "nodeType": kind,
        "pattern": "",
        "publicKey": "",
        "arch": "amd64",
        "softwareVersions": {"horizon": "2.31.0"},
    }


_POLICY = {
    "label": "up1",
    "description": "up1",
    "constraints": [],
    "properties": [],
    "enabled": True,
    "start": "now",
    "startWindow": 300,
    "agentUpgradePolicy": {"manifest": "IBM/up1_manifest", "allowDowngrade": False},
}
