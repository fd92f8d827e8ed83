"""A simulated agbot outlives a restart of the server on which it keeps its tables, and states that one stays away."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import click
import pytest

from agbot.cli import sim
from agbot.cli.failure import Exit, Failure
from agbot.sim import agbot_database
from agbot.sim.agbot_database import AgbotDatabase
from agbot.sim.agbot_rows import AgentRow, NoDatabaseError, ServiceRow
from tests.support.postgres import Postgres

AGENT = AgentRow(org="o1", group="g1", node="n1", nmp="up1")
SERVICE = ServiceRow(org="o1", group="g1", policy="o1/dp1", node="o1/n1")


@pytest.fixture
def server() -> Iterator[Postgres]:
    made = Postgres.create()
    try:
        made.start()
        yield made
    finally:
        made.remove()


def test_it_goes_on_where_it_was_after_a_restart_of_the_server(server: Postgres) -> None:
    agbot = AgbotDatabase(server.url())
    assert agbot.claim_agent(AGENT)
    server.restart()
    assert agbot.claim_service(SERVICE)
    server.stop()
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(lambda: (agbot.agents, agbot.services))
        server.start()
        assert reading.result() == ([AGENT], [SERVICE])
    agbot.close()


def test_a_server_that_stays_away_is_named_without_a_traceback(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    agbot = AgbotDatabase(server.url())
    server.stop()
    monkeypatch.setattr(agbot_database, "_AWAY_SECONDS", 0.3)
    with pytest.raises(NoDatabaseError, match=r"connection .*failed"):
        agbot.claim_service(SERVICE)

    async def run() -> None:
        raise ExceptionGroup("tasks", [ExceptionGroup("of a fleet", [NoDatabaseError("it is away")])])

    with pytest.raises(click.ClickException) as found:
        sim._run(run())  # noqa: SLF001 - a hub of its own would take a minute
    assert isinstance(found.value, Failure)
    assert (found.value.exit_code, found.value.problem) == (Exit.UNREACHABLE, "it is away")
