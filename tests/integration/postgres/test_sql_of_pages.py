"""The SQL that the pages give to an operator does on a real PostgreSQL what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from agbot.cli.main import main
from agbot.rules.lease import Lease
from agbot.store.sqlite import SqliteStore
from tests.acceptance.pages.commands import PAGES, statements
from tests.contract import values
from tests.contract.values import GROUP
from tests.support.guarded import AGBOT, COORDINATOR, prepare
from tests.support.postgres import Postgres

GUARD, OPERATIONS, IN_AND_OUT = "docs/guard.md", "docs/operations.md", "docs/in-and-out.md"
ROLE = "agbot_coordinator"
"""The role of the store in the pages."""
LEASES = "SELECT count(*) FROM {}.lease"


@pytest.fixture
def database(postgres_server: Postgres, postgres_database: str) -> Iterator[str]:
    """Give an empty database of a server that has no role of the pages, neither before nor after."""
    yield postgres_database
    postgres_server.drop(postgres_database)
    postgres_server.run("postgres", f"DROP ROLE IF EXISTS {ROLE}")


def agbot(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="agbot")


async def a_file_with_a_lease(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    await store.swap(Lease(group=GROUP), values.granted(Lease(group=GROUP)))
    await store.close()


def test_every_page_with_sql_has_a_test_here_that_executes_it() -> None:
    assert {page for page in PAGES if statements(page)} == {GUARD, OPERATIONS, IN_AND_OUT}


def test_the_rights_of_the_guards_page_are_enough_to_install_it_and_none_can_be_left_out(
    postgres_server: Postgres, postgres_database: str
) -> None:
    hub = prepare(postgres_server, postgres_database)
    with psycopg.connect(hub.url(AGBOT), autocommit=True) as owner:
        owner.execute(f"REVOKE ALL ON ha_group_updates, ha_workload_upgrade, version FROM {COORDINATOR}".encode())
    postgres_server.run(postgres_database, f"REVOKE CREATE ON DATABASE {postgres_database} FROM {COORDINATOR}")
    on_database, *on_tables = statements(GUARD)
    assert len(on_tables) == 2

    postgres_server.run(postgres_database, here(on_database, postgres_database))
    with psycopg.connect(hub.url(AGBOT), autocommit=True) as owner:
        for statement in on_tables:
            assert agbot("guard", "install", "--database", hub.url(COORDINATOR)).exit_code == 7
            owner.execute(here(statement, postgres_database).encode())

    assert agbot("guard", "install", "--database", hub.url(COORDINATOR)).exit_code == 0


def here(statement: str, database: str) -> str:
    """Return a statement of the page for the names of this database and role."""
    return statement.replace("DATABASE agbot ", f"DATABASE {database} ").replace("TO coordinator", f"TO {COORDINATOR}")


def test_the_role_and_the_schema_of_the_pages_hold_a_store_that_can_be_moved_aside_mended_and_dropped(
    postgres_server: Postgres, database: str, tmp_path: Path
) -> None:
    role, schema, clock_is_right, aside = statements(OPERATIONS)
    (dropped,) = statements(IN_AND_OUT)
    file, url = tmp_path / "agbot.db", postgres_server.url(database, user=ROLE)
    asyncio.run(a_file_with_a_lease(file))

    postgres_server.run(database, role)
    assert agbot("store", "move", file, url).exit_code != 0, "this role may not create the schema itself"
    postgres_server.run(database, schema)
    moved = agbot("store", "move", file, url)
    assert moved.exit_code == 0, moved.output

    postgres_server.run(database, "UPDATE agbot_ha.leader SET seen_at = seen_at + interval '1 hour'")
    with postgres_server.connect(database, user=ROLE) as connection:
        connection.execute(clock_is_right.encode())
    assert postgres_server.run(database, "SELECT seen_at <= clock_timestamp() FROM agbot_ha.leader") == [(True,)]

    postgres_server.run(database, aside, schema)
    assert postgres_server.run(database, LEASES.format("agbot_ha_before")) == [(1,)]
    moved = agbot("store", "move", file, url)
    assert moved.exit_code == 0, moved.output
    assert postgres_server.run(database, LEASES.format("agbot_ha")) == [(1,)]

    with postgres_server.connect(database, user=ROLE) as connection:
        connection.execute(dropped.encode())
    assert postgres_server.run(database, "SELECT to_regnamespace('agbot_ha')") == [(None,)]
