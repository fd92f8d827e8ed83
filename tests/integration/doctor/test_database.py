"""The agbot's database in place of its local API: read with SELECT alone, never in the agbot's way, and cured row by row."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agbot.agreementbot.client import Listed, Unreadable
from agbot.agreementbot.cures import Cure
from agbot.agreementbot.source import Unreached
from agbot.agreementbot.tables import Tables
from agbot.clock import SystemClock
from agbot.doctor.finding import Verdict
from agbot.sim.agbot_database import AgbotDatabase
from tests.integration.doctor.ward import ORG, Ward, of, stuck, ward
from tests.support.patience import until
from tests.support.postgres import Postgres

READER = "agbot_reader"


@pytest.fixture
def database(postgres_server: Postgres, postgres_database: str) -> Iterator[str]:
    """The agbot's database, with a role that may read its two tables and nothing else."""
    agbot = AgbotDatabase(postgres_server.url(postgres_database))
    agbot.close()
    postgres_server.run(
        postgres_database,
        f"DO $$ BEGIN CREATE ROLE {READER} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        f"GRANT SELECT ON ha_group_updates, ha_workload_upgrade TO {READER}",
    )
    yield postgres_database
    postgres_server.run(postgres_database, f"DROP OWNED BY {READER}")


def tables(server: Postgres, database: str, *, user: str = READER, seconds: float = 5.0) -> Tables:
    return Tables(server.url(database, user=user), SystemClock(), seconds=seconds)


def copy(server: Postgres, database: str, hub: Ward) -> None:
    """Put the rows of a simulated agbot into its database."""
    services = [(row.group, row.org, row.node, row.policy) for row in hub.rows.services]
    agents = [(row.group, row.org, row.node, row.nmp) for row in hub.rows.agents]
    with server.connect(database) as connection:
        for table, subject, rows in (
            ("ha_workload_upgrade", "policy_name", services),
            ("ha_group_updates", "nmp_id", agents),
        ):
            insert = f"INSERT INTO {table} (group_name, org_id, node_id, {subject}) VALUES (%s, %s, %s, %s)"  # noqa: S608 - names of ours
            connection.cursor().executemany(insert.encode(), rows)


async def test_select_is_all_that_a_read_needs_and_the_rows_are_those_of_the_api(
    tmp_path: Path, postgres_server: Postgres, database: str
) -> None:
    async with ward(tmp_path) as hub:
        hub.leave("a1", "w2", "w14")
        copy(postgres_server, database, hub)
        source = tables(postgres_server, database)
        found = await source.list_rows()
        await source.close()
        assert isinstance(found, Listed)
        async with hub.doctor() as doctor:
            by_api = {slot.row for slot in (await doctor.examine()).slots}
        assert set(found.rows) == by_api


async def test_between_two_reads_nothing_is_held_that_an_agbot_would_wait_for(
    postgres_server: Postgres, database: str
) -> None:
    source = tables(postgres_server, database)
    assert isinstance(await source.list_rows(), Listed)
    with postgres_server.connect(database) as other:
        other.execute("SET lock_timeout = '2s'")
        claimed = other.execute("SELECT * FROM ha_group_add_if_not_present('g1', 'o1', 'n1', 'up1')").fetchall()
    again = await source.list_rows()
    await source.close()
    assert claimed == [("n1", "up1")]
    assert isinstance(again, Listed)
    assert [row.node for row in again.rows] == ["o1/n1"], "and the next read sees it: no snapshot is kept"


async def test_who_waits_for_a_service_is_read_where_the_role_may(postgres_server: Postgres, database: str) -> None:
    usage = """INSERT INTO workload_usages (device_id, policy_name, partition, workload_usage)
        VALUES ('o1/n{0}', 'o1/dp', 'IBM/agbot1', '{{"device_id": "o1/n{0}", "pending_upgrade_time": {1}}}')"""
    postgres_server.run(database, usage.format(1, 0), usage.format(2, 1764000000))
    source = tables(postgres_server, database)
    assert await source.waiting() == frozenset()
    state = await source.state()
    assert not isinstance(state, Unreadable)
    assert not state.shows_waiting
    assert isinstance(await source.list_rows(), Listed), "and the refusal is none of the lists"
    postgres_server.run(database, f"GRANT SELECT ON workload_usages TO {READER}")
    assert await source.waiting() == {("o1/n2", "o1/dp")}
    await source.close()


async def test_a_table_that_is_locked_is_not_waited_for_longer_than_set(
    postgres_server: Postgres, database: str
) -> None:
    source = tables(postgres_server, database, seconds=0.3)
    with postgres_server.connect(database) as other, other.transaction():
        other.execute("LOCK TABLE ha_group_updates")
        found = await source.list_rows()
    assert isinstance(found, Unreadable)

    async def is_read() -> bool:
        return isinstance(await source.list_rows(), Listed)

    await until("a later read finds it free again", is_read)
    await source.close()


async def test_the_session_that_reads_cannot_write_whoever_it_is(postgres_server: Postgres, database: str) -> None:
    source = tables(postgres_server, database, user="postgres")
    await source.list_rows()
    connection = source._connection  # noqa: SLF001 - what it would do if it were told to
    assert connection is not None
    with pytest.raises(Exception, match="read-only transaction"):
        await connection.execute("DELETE FROM ha_group_updates")
    await source.close()


@pytest.mark.parametrize("address", ["postgresql://nobody@127.0.0.1:1/agbot", "postgresql://"])
async def test_a_database_that_cannot_be_reached_proves_nothing(address: str) -> None:
    found = await Tables(address, SystemClock(), seconds=2.0).list_rows()
    assert isinstance(found, Unreadable)
    assert "the agbot's database" in found.why


async def test_tables_that_do_not_exist_are_named(postgres_server: Postgres, postgres_database: str) -> None:
    found = await tables(postgres_server, postgres_database, user="postgres").list_rows()
    assert isinstance(found, Unreadable)
    assert "ha_workload_upgrade" in found.why


@pytest.mark.parametrize("defect", ["w5", "w14"])
async def test_a_row_that_the_api_cannot_name_alone_is_cured_there(
    tmp_path: Path, postgres_server: Postgres, database: str, defect: str
) -> None:
    async with ward(tmp_path) as hub:
        hub.leave(defect)
        copy(postgres_server, database, hub)
        hub.tables["agbot"]["database"] = f'"{postgres_server.url(database)}"'
        async with hub.doctor() as doctor:
            [slot] = stuck(await doctor.examine())
            outcome = await doctor.cure(slot)
        assert outcome.is_cured, outcome.text
        nodes = "SELECT node_id FROM ha_workload_upgrade UNION ALL SELECT node_id FROM ha_group_updates"
        assert [str(node).removeprefix(f"{ORG}/") for (node,) in postgres_server.run(database, nodes)] == [
            f"{defect}-2"
        ]
        assert not [request for request in hub.api.requests if request.startswith("DELETE")]


async def test_a_name_with_a_quote_is_deleted_as_it_is_and_a_reader_may_not_delete(
    postgres_server: Postgres, database: str
) -> None:
    name = "it's; DROP TABLE version; --"
    with postgres_server.connect(database) as other:
        insert = "INSERT INTO ha_group_updates (group_name, org_id, node_id, nmp_id) VALUES (%s, 'o1', 'n1', 'up1')"
        other.execute(insert, (name,))
        other.execute(insert, ("g2",))
    reader, owner = tables(postgres_server, database), tables(postgres_server, database, user="postgres")
    found = await reader.list_rows()
    assert isinstance(found, Listed)
    [row] = [each for each in found.rows if name in each.group]
    with pytest.raises(Unreached, match="permission denied"):
        await reader.delete(row, Cure(command="DELETE …"))
    await owner.delete(row, Cure(command="DELETE …"))
    with pytest.raises(Unreached, match="has gone in the meantime"):
        await owner.delete(row, Cure(command="DELETE …"))
    assert postgres_server.run(database, "SELECT group_name FROM ha_group_updates") == [("g2",)]
    await asyncio.gather(reader.close(), owner.close())


async def test_version_clock_and_permissions_of_the_database_are_checked(
    tmp_path: Path, postgres_server: Postgres, database: str
) -> None:
    async with ward(tmp_path) as hub:
        hub.tables["agbot"]["database"] = f'"{postgres_server.url(database, user=READER)}"'
        report = await hub.examine()
        [found] = of(report, "agbot database")
        assert re.fullmatch(r"answers, PostgreSQL \d+\.\d[^;]*; the role may not delete, so --cure .*", found.found)
        assert "the role may not read workload_usages" in found.found
        assert "the database's clock agrees with ours within 2 s" in [each.found for each in of(report, "clocks")]
        hub.tables["agbot"]["database"] = '"postgresql://nobody@127.0.0.1:1/agbot"'
        [found] = of(await hub.examine(), "agbot database")
        assert found.verdict is Verdict.WRONG
