"""A machine with an installation, new for each test, and an agbot beside it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agbot.sim.agbot_rows import AgbotRows
from agbot.sim.clock import ScaledClock
from agbot.sim.local_api import LocalApi, Shown
from agbot.sim.plain_http import listening
from agbot.sim.secure_api import SecureApi
from tests.acceptance.hub import Hub
from tests.acceptance.pages.machine import Machine, check_logs, made
from tests.acceptance.programs import Programs, environment
from tests.acceptance.template import Template
from tests.support.places import place


@pytest.fixture(scope="session")
def root() -> Iterator[Path]:
    """Where the machines of this worker have their files. The path is short: sockets and columns have room for no more."""
    folder = Path(tempfile.mkdtemp(prefix="agbot-", dir=place()))
    yield folder / "m"
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def installed(root: Path) -> Iterator[Template]:
    """A template of commands that find their settings below that root."""
    found = Template(environment(), root)
    yield found
    found.end()


@pytest.fixture
async def machine(hub: Hub, programs: Programs, installed: Template, root: Path) -> AsyncIterator[Machine]:
    found = made(hub, programs, installed, root)
    try:
        yield found
        check_logs(found, hub)
    finally:
        await found.end()
        shutil.rmtree(root)


@dataclass
class Agbot:
    """The real agbot's side."""

    rows: AgbotRows
    api: str
    secure_api: str


@pytest.fixture
async def agbot(machine: Machine) -> AsyncIterator[Agbot]:
    """An agbot that the settings of the machine name."""
    rows = AgbotRows()
    local = LocalApi(rows, ScaledClock(), Shown(org="IBM", id="agbot1"))
    async with listening(local) as api, listening(SecureApi(ScaledClock())) as secure:
        machine.tables["agbot"] = {"api": [api.url], "secure_api": secure.url}
        machine.write()
        yield Agbot(rows, api.url, secure.url)
