"""A daemon on PostgreSQL: what it has granted outlives it, and while the database is away nothing is granted and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agbot.sim.agent_state import Word
from tests.acceptance.hub import Hub
from tests.acceptance.site import Site, ask, group_of_three
from tests.support.patience import until
from tests.support.postgres import Postgres

PASSWORD = "hush7database7hush"
SIZE = "agbot_store_bytes"


@pytest.fixture
def database() -> Iterator[Postgres]:
    """A server that asks for a password, and that the test may stop."""
    server = Postgres.create()
    try:
        server.start()
        server.run(
            "postgres", f"CREATE ROLE agbot LOGIN PASSWORD '{PASSWORD}'", "CREATE SCHEMA agbot_ha AUTHORIZATION agbot"
        )
        (server.data / "pg_hba.conf").write_text(
            "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n", encoding="utf-8"
        )
        server.run("postgres", "SELECT pg_reload_conf()")
        yield server
    finally:
        server.remove()


def use(site: Site, database: Postgres) -> None:
    """Let the settings name the database, with the password in a file."""
    password = site.folder / "store-password"
    password.write_text(PASSWORD, encoding="utf-8")
    password.chmod(0o600)
    site.tables["store"] = {"url": database.url(user="agbot"), "password_file": password.name}
    site.write()


async def test_a_lease_outlives_the_daemon_and_the_database(hub: Hub, site: Site, database: Postgres) -> None:
    use(site, database)
    await group_of_three(hub)
    await hub.group("g2", "dora", "emil")
    first = await site.start_ready()
    await until("a yes", lambda: is_granted(site, "anna"))
    await hub.report("anna", Word.INITIATED)
    token = (await site.leases())["g1"]["token"]
    assert not site.store_file.exists()
    metrics = text_string_to_metric_families((await site.get("/metrics"))[1])
    sizes = {each.labels["file"]: each.value for family in metrics for each in family.samples if each.name == SIZE}
    assert sizes.keys() == {"schema"}
    assert sizes["schema"] > 100_000
    first.kill()

    daemon = site.start()
    await until("the lead, once the row of the one that was killed has expired", lambda: daemon.events("daemon.ready"))
    assert (await ask(site, "ben"))[0] == 409
    await asyncio.to_thread(database.stop)
    status, message = await ask(site, "dora", group="g2")
    assert status == 409, message
    assert "127.0.0.1" not in message, "where the hub keeps its database is no business of a node"
    await site.until_unready()
    await asyncio.to_thread(database.start)
    await site.until_ready()
    await until("the lease as it was", lambda: is_held_by_anna(site, token))
    await until("a yes", lambda: is_granted(site, "dora", group="g2"))
    written = [daemon.log_file.read_text(encoding="utf-8"), first.log_file.read_text(encoding="utf-8")]
    assert not any(PASSWORD in text for text in written)
    daemon.terminate()
    assert await daemon.ended() == 0


async def is_granted(site: Site, node: str, **more: str) -> bool:
    return (await ask(site, node, **more))[0] == 201


async def is_held_by_anna(site: Site, token: int) -> bool:
    lease = (await site.leases()).get("g1", {})
    return (lease.get("state"), lease.get("holder"), lease.get("token")) == ("held", "o1/anna", token)


async def test_with_the_database_down_it_starts_unready_and_goes_on_when_the_database_is_there(
    hub: Hub, site: Site, database: Postgres
) -> None:
    use(site, database)
    await group_of_three(hub)
    await asyncio.to_thread(database.stop)
    daemon = site.start()
    await until("the reason", lambda: site.shows("/readyz", HTTPStatus.SERVICE_UNAVAILABLE))
    _, text = await site.get("/readyz")
    assert f"could not connect to 127.0.0.1:{database.port}/postgres" in text
    await asyncio.to_thread(database.start)
    await site.until_ready()
    daemon.terminate()
    assert await daemon.ended() == 0
    assert PASSWORD not in daemon.log_file.read_text(encoding="utf-8")


async def test_a_database_that_does_not_let_it_in_is_named_at_the_start(site: Site, database: Postgres) -> None:
    use(site, database)
    (site.folder / "store-password").write_text("wrong7\n", encoding="utf-8")
    daemon = site.start()
    assert await daemon.ended() == 7
    [failed] = daemon.events("daemon.failed")
    assert failed["error"].startswith(f"[store] url: could not connect to 127.0.0.1:{database.port}/postgres")
    assert "check the user in [store] url, [store] password_file" in failed["error"]
    assert "wrong7" not in daemon.log_file.read_text(encoding="utf-8")
