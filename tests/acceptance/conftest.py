"""A hub and a host for a coordinator, new for each test; whatever is started ends with the test, and nobody's secret is in any log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.acceptance.hub import Hub, revealed
from tests.acceptance.programs import Programs
from tests.acceptance.site import OPERATOR, Site


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    found = Programs(tmp_path)
    try:
        yield found
    finally:
        found.end()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    # a connection each: a kept one to a killed daemon would break in the middle of the next question
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10)) as found:
        yield found


@pytest.fixture
def absent_hub(programs: Programs, session: aiohttp.ClientSession) -> Iterator[Hub]:
    """A hub that a test starts when it wants."""
    found = Hub(session)
    yield found
    programs.end()  # their connections would keep it from ending at once
    found.end()


@pytest.fixture
async def hub(absent_hub: Hub) -> Hub:
    await absent_hub.start()
    return absent_hub


@pytest.fixture
def site(tmp_path: Path, programs: Programs, absent_hub: Hub) -> Iterator[Site]:
    """A host whose hub is there if the test asks for one."""
    found = Site(tmp_path / "site", programs, absent_hub.session, absent_hub.url)
    yield found
    for daemon in found.daemons:
        assert not revealed({*absent_hub.auths, ("operator", OPERATOR)}, daemon.log), "a secret stands in the log"
        failed = [
            line for line in daemon.lines() if "exception" in line or line["event"] in {"cycle.failed", "part.failed"}
        ]
        assert not failed, "something failed that nobody foresaw"
