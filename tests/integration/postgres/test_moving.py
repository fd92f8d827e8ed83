"""`agbot store move` takes everything from a file to a database and back, while no daemon runs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, Phase, given, settings

from agbot.cli.main import main
from agbot.rules.lease import Lease
from agbot.rules.seen_time import ClockMark, SeenTime
from agbot.store.contract import Entry, JournalQuery, Store, Stored, Writes
from agbot.store.postgres.address import Address
from agbot.store.postgres.shared import PostgresShared
from agbot.store.postgres.store import PostgresStore
from agbot.store.records import Record
from agbot.store.sqlite import SqliteStore
from tests.contract import values
from tests.contract.values import GROUP, NOW
from tests.integration.postgres.test_faults import ONE
from tests.support.postgres import Postgres

FREE = Lease(group=GROUP)


@dataclass(frozen=True)
class Content:
    stored: Stored
    journal: list[Entry]
    cursor: int | None
    last: int
    of_org: list[Entry]


@pytest.fixture
def address(postgres_server: Postgres, postgres_common: str, postgres_schema: str) -> Address:
    return Address(url=postgres_server.url(postgres_common), schema=postgres_schema)


def run(source: str | Path, target: str | Path, address: Address, *more: str) -> Result:
    words = ["store", "move", str(source), str(target), "--schema", address.schema, *more]
    return CliRunner().invoke(main, words)


async def content(store: Store) -> Content:
    await store.open()
    try:
        everything = JournalQuery(after=0, limit=10_000)
        return Content(
            stored=await store.load(),
            journal=list(await store.journal(everything)),
            cursor=await store.cursor("mqtt"),
            last=await store.last_entry_id(),
            of_org=list(await store.journal(replace(everything, org="acme"))),
        )
    finally:
        await store.close()


async def fill(store: Store, records: list[Record]) -> None:
    """A store that has been in use for a while: its first entries are gone, its cursor is behind."""
    await store.open()
    held = values.granted(FREE)
    hold = Entry(at=NOW, event="hold.set", facts={"scope": "acme", "why": "x\x00y 😀"})
    old = [values.entry("old.entry", minutes=-9) for _ in range(5)]
    await store.write(Writes(entries=old))
    await store.prune(NOW - timedelta(minutes=1))
    await store.swap(FREE, held, Writes(put=records, entries=[values.entry(), hold]))
    free = Lease(group=values.OTHER_GROUP)
    await store.swap(free, values.released(values.granted(free)), Writes(entries=[values.entry("lease.released")]))
    await store.save_cursor("mqtt", 6)
    await store.close()


RECORDS: list[Record] = [
    values.brake(),
    values.waiter(),
    values.turn(),
    ClockMark(seen=SeenTime(NOW), wall=NOW, clear_since=None, settlings=2),
]


def test_everything_goes_to_the_database_and_back(tmp_path: Path, address: Address) -> None:
    there, back = tmp_path / "there.db", tmp_path / "back.db"
    asyncio.run(fill(SqliteStore(there), RECORDS))
    before = asyncio.run(content(SqliteStore(there)))
    assert (len(before.journal), before.last, before.journal[0].id, len(before.of_org)) == (3, 8, 6, 3)

    moved = run(there, address.url, address, "--json")
    assert moved.exit_code == 0, moved.output
    counts = json.loads(moved.output)["moved"]
    assert (counts["lease"], counts["journal"], counts["waiter"], counts["seen_clock"]) == (2, 3, 1, 1)
    in_database = asyncio.run(content(PostgresStore(address)))
    moved = run(address.url, back, address)
    assert moved.exit_code == 0, moved.output
    assert f'Set [store] path = "{back}" and start the daemon' in moved.output

    for found in (in_database, asyncio.run(content(SqliteStore(back)))):
        assert found.stored.generation.doubt == ""
        assert replace(found, stored=replace(found.stored, generation=before.stored.generation)) == before


def test_a_store_that_was_left_grants_nothing_to_whoever_starts_on_it(tmp_path: Path, address: Address) -> None:
    file, other = tmp_path / "agbot.db", tmp_path / "other.db"
    asyncio.run(fill(SqliteStore(file), []))
    assert run(file, address.url, address).exit_code == 0
    assert run(address.url, other, address).exit_code == 0

    for left in (SqliteStore(file), PostgresStore(address)):
        generation = asyncio.run(content(left)).stored.generation
        assert "it was moved to" in generation.doubt
        assert generation.token_floor > 1


def test_the_way_back_as_the_page_says_it_leads_to_a_new_file_and_not_onto_the_one_that_was_left(
    tmp_path: Path, address: Address
) -> None:
    file = tmp_path / "agbot.db"
    asyncio.run(fill(SqliteStore(file), []))
    assert run(file, address.url, address).exit_code == 0

    refused = run(address.url, file, address)

    assert (refused.exit_code, "the store to move to is not empty" in refused.output) == (7, True), refused.output
    assert run(address.url, tmp_path / "new.db", address).exit_code == 0
    page = " ".join(Path("docs/operations.md").read_text().split())
    assert "with the database as FROM and the name of a new file as TO" in page
    assert "The store that was left is refused as TO, because it is not empty." in page


def test_a_store_in_doubt_is_in_doubt_where_it_is_moved_to(tmp_path: Path, address: Address) -> None:
    file, other = tmp_path / "agbot.db", tmp_path / "other.db"
    asyncio.run(fill(SqliteStore(file), []))
    assert run(file, address.url, address).exit_code == 0
    before = asyncio.run(content(SqliteStore(file))).stored.generation

    assert run(file, other, address).exit_code == 0
    after = asyncio.run(content(SqliteStore(other))).stored.generation
    assert (after.doubt, after.token_floor) == (before.doubt, before.token_floor)


def test_a_store_that_a_daemon_uses_is_not_moved(tmp_path: Path, address: Address) -> None:
    file = tmp_path / "agbot.db"

    async def refused_while(store: Store | PostgresShared, source: str | Path, target: str | Path) -> None:
        await store.open()
        if isinstance(store, PostgresShared):
            await store.announce(ONE)  # it stands by
        result = await asyncio.to_thread(run, source, target, address)
        await store.close()
        assert result.exit_code != 0
        assert "in use" in result.output

    asyncio.run(fill(SqliteStore(file), []))
    asyncio.run(refused_while(SqliteStore(file), file, address.url))
    asyncio.run(refused_while(PostgresStore(address), file, address.url))
    asyncio.run(refused_while(PostgresShared(address), file, address.url))
    assert asyncio.run(content(SqliteStore(file))).stored.generation.doubt == ""


def test_a_store_with_content_is_not_written_over_and_a_missing_one_is_named(tmp_path: Path, address: Address) -> None:
    file, other = tmp_path / "agbot.db", tmp_path / "other.db"
    asyncio.run(fill(SqliteStore(file), []))
    asyncio.run(fill(SqliteStore(other), []))
    before = asyncio.run(content(SqliteStore(other)))

    result = run(file, other, address)
    assert result.exit_code != 0
    assert "is not empty (2 of lease" in result.output
    assert asyncio.run(content(SqliteStore(other))) == before
    assert "there is no store at" in run(tmp_path / "none.db", other, address).output
    assert not (tmp_path / "none.db").exists()
    assert "contains a password" in run(file, "postgresql://u:secret7@h/d", address).output
    assert "FROM and TO are the same" in run(file, file, address).output


@settings(
    max_examples=4,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(record=values.records, lease=values.any_leases, entry=values.entries)
def test_every_value_survives_the_way(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, record: Record, lease: Lease, entry: Entry
) -> None:
    postgres_server: Postgres = request.getfixturevalue("postgres_server")
    postgres_common: str = request.getfixturevalue("postgres_common")
    schema = f"agbot_{postgres_server.number()}"
    address = Address(url=postgres_server.url(postgres_common), schema=schema)
    folder = tmp_path_factory.mktemp("moved")

    async def put(store: SqliteStore) -> None:
        await store.open()
        await store.swap(Lease(group=lease.group), lease, Writes(put=[record], entries=[entry]))
        await store.close()

    asyncio.run(put(SqliteStore(folder / "a.db")))
    before = asyncio.run(content(SqliteStore(folder / "a.db")))
    try:
        assert run(folder / "a.db", address.url, address).exit_code == 0
        assert run(address.url, folder / "b.db", address).exit_code == 0
    finally:
        postgres_server.run(postgres_common, f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    after = asyncio.run(content(SqliteStore(folder / "b.db")))
    assert replace(after, stored=replace(after.stored, generation=before.stored.generation)) == before


@pytest.mark.parametrize("words", [("backup", "copy"), ("restore", "copy", "--reason", "x"), ("compact",)])
def test_what_works_on_a_file_names_the_tool_of_the_database(
    words: tuple[str, ...], tmp_path: Path, address: Address
) -> None:
    config = tmp_path / "agbot.toml"
    config.write_text(
        '[exchange]\nurl = "http://127.0.0.1:1/v1"\nidentity = "IBM/agbot"\n[store]\n'
        f'url = "{address.url}"\nschema = "{address.schema}"\n',
        encoding="utf-8",
    )
    result = CliRunner().invoke(main, ["store", *words, "--config", str(config)])
    assert result.exit_code != 0
    tool = {"backup": "pg_dump", "restore": "pg_restore", "compact": "VACUUM FULL"}[words[0]]
    assert tool in result.output
    assert address.schema in result.output or words[0] == "restore"


def test_a_database_can_be_declared_restored(tmp_path: Path, address: Address) -> None:
    config = tmp_path / "agbot.toml"
    config.write_text(
        '[exchange]\nurl = "http://127.0.0.1:1/v1"\nidentity = "IBM/agbot"\n[store]\n'
        f'url = "{address.url}"\nschema = "{address.schema}"\n',
        encoding="utf-8",
    )
    asyncio.run(fill(PostgresStore(address), []))
    words = ["store", "restored", "--reason", "snapshot of Monday", "--config", str(config)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output

    generation = asyncio.run(content(PostgresStore(address))).stored.generation
    assert "snapshot of Monday" in generation.doubt
    assert generation.token_floor > 1
