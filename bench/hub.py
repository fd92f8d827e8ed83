"""A hub to measure: a simulated Exchange and the daemon, each in a separate process.

Both are started by the command `agbot` and use real HTTP. Groups are pairs: group `g0007` has the
members `g0007a` and `g0007b`. The nodes do nothing by themselves; the measurement sends their
reports and questions to the Exchange and the daemon.
"""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench import load, machine
from bench.ports import free_port, wait_for

ORG, POLICY = "o1", "up1"
_IDENTITY, _ROOT = "IBM/coordinator", ("root/root", "rootpw")
_START_SECONDS = 60.0
_RETRY_SECONDS = 0.02
_SETTINGS = """
[exchange]
url = "http://127.0.0.1:{exchange}/v1"
identity = "{identity}"
token_file = "exchange-token"
{more}
[gateway]
listen = "127.0.0.1:{gateway}"

[console]
listen = "127.0.0.1:{console}"
token_file = "operator-token"

[store]
path = "agbot.db"
"""


def secret_of(name: str) -> str:
    """Return the secret of a node or user."""
    return f"{name}-secret"


class Hub:
    """A context manager; on leaving, both processes end. All files are in `folder`."""

    def __init__(self, folder: Path, *, groups: int, exchange_settings: str = "") -> None:
        self._folder = folder
        self._exchange_settings = exchange_settings
        self.groups = [f"g{number:04d}" for number in range(groups)]
        self.exchange_port, self.gateway_port, self.console_port = free_port(), free_port(), free_port()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._exchange = http.client.HTTPConnection("127.0.0.1", self.exchange_port, timeout=30)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def daemon(self) -> int:
        """The daemon's process id."""
        return self._processes[-1].pid

    def questions(self, member: str, groups: Sequence[str] | None = None) -> list[bytes]:
        """Return the question of one member (`a` or `b`) of each group."""
        named = self.groups if groups is None else groups
        return [load.question(ORG, group, group + member, POLICY, secret_of(group + member)) for group in named]

    def report(self, node: str, status: str) -> None:
        """Report a status of a node's upgrade."""
        upgrade = {
            "scheduledTime": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "upgradedVersions": {"softwareVersion": "2.32.0", "certVersion": "", "configVersion": ""},
            "status": status,
            "errorMessage": "",
        }
        path = f"/orgs/{ORG}/nodes/{node}/managementStatus/{POLICY}"
        self._as(f"{ORG}/{node}", "PUT", path, {"agentUpgradePolicyStatus": upgrade})

    def heartbeat(self, node: str) -> None:
        """Send a heartbeat of a node."""
        self._as(f"{ORG}/{node}", "POST", f"/orgs/{ORG}/nodes/{node}/heartbeat")

    def requests(self) -> Counter[str]:
        """Return the requests to the Exchange so far, by `METHOD template role`."""
        found = self._call("GET", "/sim/report", None, *_ROOT)["requests"]
        return Counter({str(name): int(number) for name, number in found.items()})

    def console(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON of any shape
        """Send a request to the operators' listener; a status of 400 or more is an error."""
        connection = http.client.HTTPConnection("127.0.0.1", self.console_port, timeout=30)
        headers = {"Authorization": "Bearer operator", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        assert response.status < 400, f"{method} {path}: {response.status} {content!r}"
        return json.loads(content) if content[:1] in (b"{", b"[") else content.decode()

    def overview(self) -> dict[str, Any]:
        """Return the coordinator's overview."""
        found: dict[str, Any] = self.console("GET", "/healthz")
        return found

    def wait_until(self, is_so: Callable[[dict[str, Any]], bool], *, seconds: float = _START_SECONDS) -> float:
        """Wait until the overview meets a condition; return the seconds that this took.

        Raises:
            TimeoutError: it never did.
        """
        began_at = time.perf_counter()
        while not is_so(self.overview()):
            if time.perf_counter() - began_at > seconds:
                message = f"the daemon did not reach the expected state: {self.overview()}"
                raise TimeoutError(message)
            time.sleep(_RETRY_SECONDS)
        return time.perf_counter() - began_at

    def _start(self) -> None:
        self._run("sim", "exchange", "--listen", f"127.0.0.1:{self.exchange_port}")
        wait_for(self.exchange_port)
        self._seed()
        for name, secret in (("exchange-token", "coordinator"), ("operator-token", "operator")):
            file = self._folder / name
            file.touch(mode=0o600)
            file.write_text(secret, encoding="utf-8")
        settings = self._folder / "agbot.toml"
        text = _SETTINGS.format(
            exchange=self.exchange_port,
            gateway=self.gateway_port,
            console=self.console_port,
            identity=_IDENTITY,
            more=self._exchange_settings,
        )
        settings.write_text(text, encoding="utf-8")
        self._run("run", "--config", str(settings))
        wait_for(self.console_port)
        self.wait_until(lambda seen: seen["ready"] and sum(org["groups"] for org in seen["orgs"]) == len(self.groups))

    def _run(self, *arguments: str) -> None:
        command = [str(Path(sys.executable).with_name("agbot")), *arguments]
        with (self._folder / f"{arguments[0]}.log").open("wb") as log:
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder))

    def _end(self) -> None:
        self._exchange.close()
        for process in reversed(self._processes):
            process.terminate()
            process.wait(timeout=10)

    def _seed(self) -> None:
        agbot = {"token": "coordinator", "name": "coordinator", "msgEndPoint": "", "publicKey": "QUdCT1Q="}
        self._as_root("PUT", "/orgs/IBM/agbots/coordinator", agbot)
        self._as_root("POST", f"/orgs/{ORG}", {"label": ORG, "description": ORG})
        admin = {"password": secret_of("admin"), "admin": True, "email": f"admin@{ORG}.example"}
        self._as_root("POST", f"/orgs/{ORG}/users/admin", admin)
        upgrade = {"manifest": f"IBM/{POLICY}_manifest", "allowDowngrade": False}
        policy = {"label": POLICY, "enabled": True, "start": "now", "startWindow": 300, "agentUpgradePolicy": upgrade}
        policy |= {"description": POLICY, "constraints": [], "properties": []}
        self._as_admin("POST", f"/orgs/{ORG}/managementpolicies/{POLICY}", policy)
        for group in self.groups:
            members = [f"{group}a", f"{group}b"]
            for member in members:
                self._as_admin("PUT", f"/orgs/{ORG}/nodes/{member}", _node(member))
            self._as_admin("POST", f"/orgs/{ORG}/hagroups/{group}", {"description": "", "members": members})

    def _as_root(self, method: str, path: str, body: object) -> None:
        self._call(method, f"/v1{path}", body, *_ROOT)

    def _as_admin(self, method: str, path: str, body: object) -> None:
        self._as(f"{ORG}/admin", method, path, body)

    def _as(self, identity: str, method: str, path: str, body: object = None) -> None:
        self._call(method, f"/v1{path}", body, identity, secret_of(identity.partition("/")[2]))

    def _call(self, method: str, path: str, body: object, identity: str, secret: str) -> Any:  # noqa: ANN401 - JSON of any shape
        basic = base64.b64encode(f"{identity}:{secret}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
        self._exchange.request(method, path, None if body is None else json.dumps(body), headers)
        response = self._exchange.getresponse()
        content = response.read()
        assert response.status < 400, f"{method} {path}: {response.status} {content!r}"
        return json.loads(content) if content else None


def daemon_cost(hub: Hub) -> tuple[float, float]:
    """Return the daemon's processor seconds so far, and its memory in MiB."""
    return machine.cpu_seconds(hub.daemon), machine.resident_mebibytes(hub.daemon)


def _node(name: str) -> dict[str, object]:
    return {
        "token": secret_of(name),
        "name": name,
        "nodeType": "device",
        "pattern": "",
        "publicKey": "QUJD",
        "arch": "amd64",
        "softwareVersions": {"horizon": "2.31.0", "certificate": "1.0.0", "config": "1.0.0"},
        "registeredServices": [],
    }
