"""A management hub for the daemon as a process: the simulated Exchange on a socket, filled over HTTP as people and nodes fill a real one.

`tests.support.hub` has the same without sockets and processes, in virtual time.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp

from agbot.sim.clock import ScaledClock
from agbot.sim.exchange import SimExchange
from agbot.sim.exchange.server import ExchangeServer, serve
from agbot.sim.http_links import HttpGateway
from agbot.sim.links import Answered, Kind, Question
from tests.acceptance.programs import free_port
from tests.support.loop_thread import LoopThread

ORG, GROUP, NMP = "o1", "g1", "up1"
OLD, NEW = "2.31.0", "2.32.0"
COORDINATOR = "coordinator"
ROOT = ("root/root", "rootpw")
FAULT_SECONDS = 20.0

Auth = tuple[str, str]


def secret_of(name: str) -> str:
    """Return the secret of whoever has this bare name; nothing else looks like it."""
    return f"hush7{name}7hush"


def auth_of(name: str, org: str = ORG) -> Auth:
    """Return identity and secret of a node, user or agbot."""
    return f"{org}/{name}", secret_of(name)


class Listening:
    """A simulated Exchange that listens until it is closed."""

    def __init__(self, port: int) -> None:
        self._loop = LoopThread()
        exchange = SimExchange(clock=ScaledClock(), root_password=ROOT[1], seed=0)
        self._server: ExchangeServer = self._loop.run(serve(exchange, "127.0.0.1", port))

    def close(self) -> None:
        """End every connection and the thread."""
        self._loop.run(self._server.close())
        self._loop.close()


@dataclass
class Hub:
    """The Exchange, and short ways to play people and nodes."""

    session: aiohttp.ClientSession
    port: int = field(default_factory=free_port)
    listening: Listening | None = None
    auths: set[Auth] = field(default_factory=set)
    """Everybody whose secret was ever sent."""

    @property
    def url(self) -> str:
        """What HZN_EXCHANGE_URL is set to."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self) -> None:
        """Start the Exchange, and fill it."""
        self.listening = Listening(self.port)
        await self.fill()

    async def fill(self) -> None:
        """Give an empty Exchange an organisation, its policy, and the coordinator's identity."""
        await self.send("POST", f"/orgs/{ORG}", {"label": ORG, "description": ORG}, ROOT)
        admin = {"password": secret_of("admin"), "admin": True, "email": "admin@o1.example"}
        await self.send("POST", f"/orgs/{ORG}/users/admin", admin, ROOT)
        agbot = {"token": secret_of(COORDINATOR), "name": COORDINATOR, "msgEndPoint": "", "publicKey": "QUdCT1Q="}
        await self.send("PUT", f"/orgs/IBM/agbots/{COORDINATOR}", agbot, ROOT)
        self.auths |= {auth_of("admin"), auth_of(COORDINATOR, "IBM")}

    def end(self) -> None:
        """End the Exchange, if it was started."""
        if self.listening is not None:
            self.listening.close()

    async def publish(self, nmp: str = NMP, version: str = NEW) -> None:
        """Publish a node management policy for every node."""
        body = {
            "label": nmp,
            "description": nmp,
            "constraints": [],
            "properties": [],
            "enabled": True,
            "start": "now",
            "startWindow": 0,
            "agentUpgradePolicy": {"manifest": f"IBM/edgeNodeFiles_manifest_{version}", "allowDowngrade": False},
        }
        await self.admin("POST", f"/managementpolicies/{nmp}", body)

    async def node(
        self, name: str, *, public_key: str = "QUJD", claims_seconds: int = 0, node_type: str = "device"
    ) -> None:
        """Create a node with a fresh heartbeat, which claims to be received so seldom."""
        body = {
            "token": secret_of(name),
            "name": name,
            "nodeType": node_type,
            "pattern": "",
            "publicKey": public_key,
            "arch": "amd64",
            "softwareVersions": {"horizon": OLD, "certificate": "1.0.0", "config": "1.0.0"},
            "registeredServices": [],
        }
        if claims_seconds:
            body["heartbeatIntervals"] = {
                "minInterval": claims_seconds,
                "maxInterval": claims_seconds,
                "intervalAdjustment": 1,
            }
        await self.admin("PUT", f"/nodes/{name}", body)
        self.auths.add(auth_of(name))

    async def group(self, name: str, *members: str, exists: bool = False) -> None:
        """Create an HA group of new nodes, or of nodes that exist."""
        for member in () if exists else members:
            await self.node(member)
        await self.admin("POST", f"/hagroups/{name}", {"description": "", "members": list(members)})

    async def report(self, node: str, status: str, nmp: str = NMP, *, runs: str = NEW) -> None:
        """Report a node's status for a management policy, as the node, which runs a version when it reports success."""
        if status == "successful":
            versions = {"softwareVersions": {"horizon": runs, "certificate": "1.0.0", "config": "1.0.0"}}
            await self.send("PATCH", f"/orgs/{ORG}/nodes/{node}", versions, auth_of(node))
        emitted = {"softwareVersion": NEW, "certVersion": "", "configVersion": ""}
        body = {
            "scheduledTime": "2026-11-23T12:00:00Z",
            "upgradedVersions": emitted,
            "status": status,
            "errorMessage": "",
        }
        path = f"/orgs/{ORG}/nodes/{node}/managementStatus/{nmp}"
        await self.send("PUT", path, {"agentUpgradePolicyStatus": body}, auth_of(node))

    async def heartbeat(self, node: str) -> None:
        """Show that a node lives."""
        await self.send("POST", f"/orgs/{ORG}/nodes/{node}/heartbeat", None, auth_of(node))

    async def admin(self, method: str, below: str, body: Any = None) -> None:
        """Send what the organisation's admin sends."""
        await self.send(method, f"/orgs/{ORG}{below}", body, auth_of("admin"))

    async def send(self, method: str, path: str, body: Any, auth: Auth) -> None:
        """Send a request that must succeed."""
        async with self.session.request(method, f"{self.url}{path}", json=body, headers=_headers(auth)) as reply:
            assert reply.status < HTTPStatus.BAD_REQUEST, f"{method} {path}: {reply.status} {await reply.text()}"

    async def break_down(self, *faults: dict[str, Any]) -> None:
        """Let requests go wrong from now on, and all those be right that are not named.

        Without faults all are.
        """
        url = f"http://127.0.0.1:{self.port}/sim/faults"
        async with self.session.put(url, json=faults, headers=_headers(ROOT)) as reply:
            assert reply.status == HTTPStatus.CREATED

    async def faults(self) -> list[dict[str, Any]]:
        """Return the faults that are on, with how often each struck."""
        async with self.session.get(f"http://127.0.0.1:{self.port}/sim/faults", headers=_headers(ROOT)) as reply:
            found: list[dict[str, Any]] = await reply.json(content_type=None)
            return found


async def ask(gateway: str, node: str, *, group: str = GROUP, nmp: str = NMP, secret: str = "") -> Answered:
    """Ask for permission as the node's agent does."""
    identity, own = auth_of(node)
    question = Question(
        kind=Kind.AGENT, org=ORG, group=group, node=node, policy=nmp, identity=identity, secret=secret or own
    )
    # whose certificate it shows is tested elsewhere
    return await HttpGateway(gateway, timeout_seconds=FAULT_SECONDS, tls=False).ask(question)


def revealed(auths: Sequence[Auth] | set[Auth], text: str) -> list[str]:
    """Return whose secret stands in a text, bare or as a Basic header has it."""
    return [
        identity
        for identity, secret in auths
        if secret in text or base64.b64encode(f"{identity}:{secret}".encode()).decode().rstrip("=") in text
    ]


def _headers(auth: Auth) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(*auth)}
