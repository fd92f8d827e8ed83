"""The schema on PostgreSQL: migrated forward under a lock, and refused when it is newer, damaged or another program's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agbot.store.contract import StoreSchemaError, StoreUnavailableError
from agbot.store.migrations import Step
from agbot.store.postgres import schema
from agbot.store.postgres.address import Address
from agbot.store.postgres.shared import PostgresShared
from tests.support.postgres import Postgres

ADD = Step(version=2, sql="ALTER TABLE hold ADD COLUMN more TEXT NOT NULL DEFAULT ''")


@pytest.fixture
def address(postgres_server: Postgres, postgres_database: str) -> Address:
    return Address(url=postgres_server.url(postgres_database))


def comment(server: Postgres, database: str) -> object:
    return server.run(database, "SELECT obj_description('agbot_ha'::regnamespace)")[0][0]


async def test_of_several_that_start_at_once_one_creates_it(
    address: Address, postgres_server: Postgres, postgres_database: str
) -> None:
    await asyncio.gather(*(schema.prepare(address) for _ in range(5)))

    assert comment(postgres_server, postgres_database) == f"agbot lease store, version {len(schema.shipped())}"
    assert postgres_server.run(postgres_database, "SELECT epoch FROM agbot_ha.leader") == [(0,)]


async def test_the_missing_steps_are_applied_and_an_older_program_is_refused_afterwards(
    address: Address, postgres_server: Postgres, postgres_database: str
) -> None:
    await schema.prepare(address)
    await schema.prepare(address, [*schema.shipped(), ADD])

    assert postgres_server.run(postgres_database, "SELECT count(more) FROM agbot_ha.hold") == [(0,)]
    with pytest.raises(StoreSchemaError, match="newer program"):
        await schema.prepare(address)


async def test_a_step_that_fails_leaves_the_version_before(
    address: Address, postgres_server: Postgres, postgres_database: str
) -> None:
    await schema.prepare(address)
    bad = Step(version=3, sql="ALTER TABLE nowhere ADD COLUMN more TEXT")
    with pytest.raises(StoreUnavailableError, match="nowhere"):
        await schema.prepare(address, [*schema.shipped(), ADD, bad])

    await schema.prepare(address)
    assert comment(postgres_server, postgres_database) == f"agbot lease store, version {len(schema.shipped())}"


async def test_the_schema_of_another_program_is_not_touched(
    address: Address, postgres_server: Postgres, postgres_database: str
) -> None:
    postgres_server.run(postgres_database, "CREATE SCHEMA agbot_ha", "CREATE TABLE agbot_ha.theirs (id int)")
    with pytest.raises(StoreSchemaError, match="another program"):
        await schema.prepare(address)

    names = postgres_server.run(
        postgres_database, "SELECT relname FROM pg_class WHERE relnamespace = 'agbot_ha'::regnamespace"
    )
    assert names == [("theirs",)]


async def test_a_missing_column_is_named(address: Address, postgres_server: Postgres, postgres_database: str) -> None:
    await schema.prepare(address)
    postgres_server.run(postgres_database, "ALTER TABLE agbot_ha.brake DROP COLUMN failed")

    with pytest.raises(StoreSchemaError, match=r"brake\.failed is missing"):
        await schema.prepare(address)


async def test_an_empty_schema_of_an_administrator_is_used_by_a_role_that_may_create_none(
    postgres_server: Postgres, postgres_database: str
) -> None:
    role = f"role_{postgres_database}"
    postgres_server.run(postgres_database, f"CREATE ROLE {role} LOGIN", f"CREATE SCHEMA agbot_ha AUTHORIZATION {role}")
    try:
        await schema.prepare(Address(url=postgres_server.url(postgres_database, user=role)))
        with pytest.raises(StoreUnavailableError, match="42501"):
            await schema.prepare(Address(url=postgres_server.url(postgres_database, user=role), schema="more"))
    finally:
        postgres_server.run(postgres_database, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


async def test_the_schema_beside_the_store_of_another_name_is_another_store(
    address: Address, postgres_server: Postgres, postgres_database: str
) -> None:
    other = Address(url=address.url, schema="beside")
    await asyncio.gather(schema.prepare(address), schema.prepare(other))

    assert postgres_server.run(postgres_database, "SELECT epoch FROM beside.leader") == [(0,)]


async def test_its_size_is_that_of_its_own_tables_and_grows_with_them(
    address: Address, postgres_server: Postgres, postgres_database: str
) -> None:
    beside = Address(url=address.url, schema="beside")
    async with opened(address) as store, opened(beside) as other:
        empty, empty_beside = await store.size_bytes(), await other.size_bytes()
        rows = "SELECT n, '2026', 'e', 'x', repeat(md5(n::text), 10) FROM generate_series(1, 1000) AS n"
        postgres_server.run(postgres_database, f"INSERT INTO agbot_ha.journal (id, at, event, who, facts) {rows}")

        assert empty == empty_beside > 0
        assert await store.size_bytes() > empty + 300_000
        assert await other.size_bytes() == empty_beside


@asynccontextmanager
async def opened(address: Address) -> AsyncIterator[PostgresShared]:
    store = PostgresShared(address)
    await store.open()
    try:
        yield store
    finally:
        await store.close()
