"""The host of a coordinator: a folder with settings, tokens and store, two addresses, and the process that runs there.

Periods are short, so that seconds show what takes minutes; nothing else differs from what an
operator would write.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp

from tests.acceptance import hub as hubs
from tests.acceptance.hub import COORDINATOR, Hub, secret_of
from tests.acceptance.programs import Program, Programs, Said, free_port
from tests.support.patience import until

OPERATOR = secret_of("operator")
_TOO_SLOW = ("exchange-unavailable", "view-stale")
Tables = dict[str, dict[str, Any]]


@dataclass
class Site:
    """One host."""

    folder: Path
    programs: Programs
    session: aiohttp.ClientSession
    exchange_url: str
    gateway_port: int = field(default_factory=free_port)
    console_port: int = field(default_factory=free_port)
    tables: Tables = field(default_factory=dict)
    daemons: list[Program] = field(default_factory=list)
    stderr: int | None = None
    """Where the daemon's log goes, if not to a file of its own."""
    installed: bool = False
    """Whether the daemon is the installed script, with an interpreter of its own."""

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        for name, content in (("exchange-token", secret_of(COORDINATOR)), ("operator-token", OPERATOR)):
            file = self.folder / name
            file.write_text(f"{content}\n", encoding="utf-8")
            file.chmod(0o600)
        self.tables = {
            "exchange": {
                "url": self.exchange_url,
                "identity": f"IBM/{COORDINATOR}",
                "token_file": "exchange-token",
                "poll_seconds": 0.3,
                "busy_poll_seconds": 0.1,
                "heartbeat_seconds": 0.5,
                "view_max_age_seconds": 1.5,
                "request_seconds": 1.0,
            },
            "gateway": {"listen": f"127.0.0.1:{self.gateway_port}"},
            "console": {"listen": f"127.0.0.1:{self.console_port}", "token_file": "operator-token"},
            "store": {"path": "agbot.db"},
            "log": {"level": "debug", "format": "json"},
            "rules": {},
        }
        self.write()

    @property
    def settings_file(self) -> Path:
        return self.folder / "agbot.toml"

    @property
    def store_file(self) -> Path:
        return self.folder / "agbot.db"

    @property
    def gateway(self) -> str:
        """What HZN_AGBOT_URL is set to."""
        scheme = "https" if "certificate_file" in self.tables["gateway"] else "http"
        return f"{scheme}://127.0.0.1:{self.gateway_port}"

    @property
    def console(self) -> str:
        return f"http://127.0.0.1:{self.console_port}"

    def write(self) -> None:
        """Write the settings file from the tables."""
        self.settings_file.write_text(toml(self.tables), encoding="utf-8")

    def share(self, url: str, schema: str = "agbot_ha", **leadership: float) -> None:
        """Use a PostgreSQL store that other hosts use too, under the name of the folder."""
        self.tables["store"] = {"url": url, "schema": schema}
        self.tables["leadership"] = {
            "name": self.folder.name,
            "gateway_url": self.gateway,
            "console_url": self.console,
            **leadership,
        }
        self.write()

    def start(self, **environ: str) -> Program:
        """Start the daemon."""
        words = ("run", "--config", self.settings_file)
        self.daemons.append(self.programs.start(*words, environ=environ, stderr=self.stderr, installed=self.installed))
        return self.daemons[-1]

    async def start_ready(self, **environ: str) -> Program:
        """Start the daemon and wait until it may grant."""
        daemon = self.start(**environ)
        await self.until_ready()
        return daemon

    async def until_ready(self) -> None:
        await until("ready", lambda: self.shows("/readyz", HTTPStatus.OK))

    async def until_unready(self, why: str = "") -> str:
        """Wait until the daemon says that it may not grant, for that reason; return what it says."""

        async def look() -> str:
            status, text = await self.get("/readyz")
            return text if status == HTTPStatus.SERVICE_UNAVAILABLE and why in text else ""

        return await until(f"not ready ({why})", look)

    async def get(self, path: str) -> tuple[int, str]:
        """Read from the operators' listener; status 0 when no one answers."""
        try:
            async with self.session.get(f"{self.console}{path}") as reply:
                return reply.status, await reply.text()
        except aiohttp.ClientConnectionError as error:
            return 0, str(error)

    async def shows(self, path: str, status: int) -> bool:
        """Whether the operators' listener answers this path so."""
        return (await self.get(path))[0] == status

    async def leases(self) -> dict[str, dict[str, Any]]:
        """Return the leases by bare name of their group, as operators see them."""
        status, text = await self.get("/v1/leases")
        assert status == HTTPStatus.OK, text
        return {each["group"].partition("/")[2]: each for each in json.loads(text)["leases"]}

    async def holder(self, group: str = hubs.GROUP) -> str | None:
        """Return who holds a group's lease, bare."""
        holder = (await self.leases())[group]["holder"]
        return holder.partition("/")[2] if holder else None

    async def journal(self) -> list[dict[str, Any]]:
        """Return every decision, oldest first."""
        _, text = await self.get("/v1/journal?after=0&limit=1000")
        entries: list[dict[str, Any]] = json.loads(text)["entries"]
        return entries

    def use_certificate(self, pair: Path) -> None:
        """Let the agents' listener speak TLS, with a file that holds certificate and key."""
        self.tables["gateway"] |= {"certificate_file": str(pair), "key_file": str(pair)}

    async def write_as_operator(self, path: str, body: dict[str, Any]) -> tuple[int, str]:
        """Post to the API with the operator token."""
        bearer = {"Authorization": f"Bearer {OPERATOR}"}
        async with self.session.post(f"{self.console}{path}", json=body, headers=bearer) as reply:
            return reply.status, await reply.text()

    async def operate(self, *words: str) -> Said:
        """Run one of the operators' commands against this daemon."""
        environ = {"AGBOT_URL": self.console, "AGBOT_OPERATOR_TOKEN_FILE": str(self.folder / "operator-token")}
        return await self.programs.run(*words, environ=environ)


def toml(tables: Tables) -> str:
    """Return tables as a settings file has them."""
    lines: list[str] = []
    for section, content in tables.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in content.items())]
    return "\n".join(lines) + "\n"


async def ask(site: Site, node: str, **more: str) -> tuple[int, str]:
    """Ask for permission as the node's agent does; return status and message."""
    answer = await hubs.ask(site.gateway, node, **more)
    body = answer.json()
    return answer.status, body["msg"] if isinstance(body, dict) else str(body)


def is_late(message: str) -> bool:
    """Whether a refusal says that a read took too long, which a busy machine explains."""
    return any(code in message for code in _TOO_SLOW)


async def granted(site: Site, node: str, **more: str) -> None:
    """Ask until the node is permitted, as its agent does.

    Only what a busy machine explains is asked again: reads that took too long.
    """

    async def is_granted() -> bool:
        status, message = await ask(site, node, **more)
        if is_late(message):
            return False
        assert status == HTTPStatus.CREATED, message
        return True

    await until(f"the grant to {node}", is_granted)


async def group_of_three(hub: Hub) -> None:
    """Fill a hub with one group of anna, ben and carl, and an upgrade for them."""
    await hub.publish()
    await hub.group(hubs.GROUP, "anna", "ben", "carl")
