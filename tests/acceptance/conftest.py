"""A hub and a host for a coordinator, new for each test.

Whatever is started ends with the test, and no one's secret is in any log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.acceptance import programs as shared
from tests.acceptance.hub import Hub, revealed
from tests.acceptance.programs import Programs
from tests.acceptance.site import OPERATOR, Site
from tests.acceptance.template import Template
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture
def template() -> Template:
    return shared.template()


@pytest.fixture
def programs(tmp_path: Path, template: Template) -> Iterator[Programs]:
    found = Programs(tmp_path, template)
    try:
        yield found
    finally:
        found.end()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    # a connection each: a kept one to a killed daemon would break in the middle of the next
    # question
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    ) as found:
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
def new_site(tmp_path: Path, programs: Programs, absent_hub: Hub) -> Iterator[Callable[[str], Site]]:
    """Make hosts beside the same hub, which is there if the test asks for it.

    Each has a coordinator and a store of its own.
    """
    made: list[Site] = []

    def make(name: str) -> Site:
        made.append(Site(tmp_path / name, programs, absent_hub.session, absent_hub.url))
        return made[-1]

    yield make
    for daemon in [daemon for each in made for daemon in each.daemons]:
        assert not revealed({*absent_hub.auths, ("operator", OPERATOR)}, daemon.log), "a secret stands in the log"
        failed = [
            line for line in daemon.lines() if "exception" in line or line["event"] in {"cycle.failed", "part.failed"}
        ]
        assert not failed, "something failed that nobody foresaw"


@pytest.fixture
def site(new_site: Callable[[str], Site]) -> Site:
    """A host."""
    return new_site("site")
