"""A hub on real sockets whose agbot has left rows behind, and a doctor for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agbot.clock import Clock, SystemClock
from agbot.doctor import certificates, incumbent, listeners, secure_api
from agbot.doctor.doctor import Doctor, Patient, opened
from agbot.doctor.finding import Finding, Report, Slot, Standing
from agbot.doctor.listeners import Daemon
from agbot.settings import load
from agbot.settings.load import Reading
from agbot.settings.model import AGENT_PATIENCE_SECONDS
from agbot.sim.agbot_rows import AgbotRows
from agbot.sim.clock import ScaledClock
from agbot.sim.exchange import SimExchange, seed, serving
from agbot.sim.leftovers import Scene, leave_behind
from agbot.sim.local_api import LocalApi, Shown
from agbot.sim.plain_http import listening
from agbot.sim.secure_api import SecureApi
from tests.acceptance.programs import free_port
from tests.support.patience import PATIENCE_SECONDS

ORG = "o1"
COORDINATOR = "coordinator"
SECRET = "hush7coordinator7hush"


class BriskClock(SystemClock):
    """Between two looks it does not wait ten seconds, but lets something happen."""

    def __init__(self, happens: Callable[[], None] = lambda: None) -> None:
        self._happens = happens

    async def sleep(self, seconds: float) -> None:
        self._happens()
        await super().sleep(min(seconds, 0.05))


@dataclass
class Ward:
    """The hub, and the settings that name it."""

    exchange: SimExchange
    rows: AgbotRows
    api: LocalApi
    folder: Path
    exchange_url: str
    api_url: str
    tables: dict[str, dict[str, str]] = field(default_factory=dict)

    def leave(self, *defects: str) -> list[Scene]:
        return [leave_behind(self.exchange, self.rows, ORG, defect) for defect in defects]

    @property
    def file(self) -> Path:
        """The settings file, written as the tables are now."""
        path = self.folder / "agbot.toml"
        sections = (
            f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
            for name, keys in self.tables.items()
        )
        path.write_text("\n".join(sections), encoding="utf-8")
        return path

    def settings(self) -> Reading:
        return load.read(self.file, {}, may_lack_secrets=True)

    @asynccontextmanager
    async def doctor(self, daemon: Daemon | None = None, clock: Clock | None = None) -> AsyncIterator[Doctor]:
        reading = self.settings()
        assert reading.loaded is not None, reading.mistakes
        known = daemon or Daemon(overview=None, url="http://127.0.0.1:1")
        patient = Patient(file=str(self.folder / "agbot.toml"), settings_read=reading, daemon=known)
        async with opened(reading.loaded, patient, clock or BriskClock()) as doctor:
            yield doctor

    async def examine(self, daemon: Daemon | None = None) -> Report:
        async with self.doctor(daemon) as doctor:
            return await doctor.examine()

    def listed(self) -> list[object]:
        return [*self.rows.services, *self.rows.agents]


@asynccontextmanager
async def patient() -> AsyncIterator[None]:
    """Let the checks wait for as long as it takes: an answer that a busy machine delays is no finding."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (certificates, incumbent, listeners, secure_api):
            patch.setattr(module, "_SECONDS", PATIENCE_SECONDS)
        yield


@asynccontextmanager
async def ward(folder: Path) -> AsyncIterator[Ward]:
    """Run the hub's Exchange and its agbot's local API, both empty."""
    exchange, rows = SimExchange(clock=ScaledClock(), root_password="rootpw"), AgbotRows()
    seed.org(exchange, ORG)
    body = {"token": SECRET, "name": COORDINATOR, "msgEndPoint": "", "publicKey": "QUdCT1Q="}
    seed.send(exchange, "PUT", f"/orgs/IBM/agbots/{COORDINATOR}", body)
    seed.agbot(exchange, "IBM", "agbot1")
    seed.serves(exchange, "IBM/agbot1", ORG)
    api = LocalApi(rows, ScaledClock(), Shown(org="IBM", id="agbot1"))
    token = folder / "token"
    token.write_text(SECRET, encoding="utf-8")
    token.chmod(0o600)
    async with (
        serving(exchange) as server,
        listening(api) as local,
        listening(SecureApi(ScaledClock())) as secure,
        patient(),
    ):
        found = Ward(exchange, rows, api, folder, server.url, local.url)
        found.tables = {
            "exchange": {
                "url": f'"{server.url}"',
                "identity": f'"IBM/{COORDINATOR}"',
                "token_file": f'"{token}"',
                "request_seconds": f"{PATIENCE_SECONDS}",
            },
            "agbot": {
                "request_seconds": f"{AGENT_PATIENCE_SECONDS - 1.0}",
                "api": f'["{local.url}"]',
                "identity": '"IBM/agbot1"',
                "secure_api": f'"{secure.url}"',
            },
            "gateway": {"listen": f'"127.0.0.1:{free_port()}"', "answer_seconds": f"{AGENT_PATIENCE_SECONDS - 0.5}"},
            "console": {"listen": f'"127.0.0.1:{free_port()}"'},
            "store": {"path": f'"{folder / "agbot.db"}"'},
        }
        yield found


def stuck(report: Report) -> list[Slot]:
    return [each for each in report.slots if each.standing is Standing.STUCK]


def of(report: Report, check: str) -> list[Finding]:
    return [each for each in report.findings if each.check == check]
