"""The schema's versions and the named statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from agbot.rules.lease import Kind, Lease
from agbot.rules.records import Deferral
from agbot.store import migrations, queries
from agbot.store.contract import JournalQuery, StoreSchemaError, StoreUnavailableError, Writes
from agbot.store.migrations import Step
from agbot.store.sqlite import SqliteStore
from tests.contract import values

SHIPPED = migrations.shipped()
NEXT = Step(
    version=len(SHIPPED) + 1,
    sql="""
    ALTER TABLE brake ADD COLUMN lifted_by TEXT;
    CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
    INSERT INTO note (text) SELECT subject FROM brake;
    """,
)
BROKEN = Step(version=NEXT.version, sql="CREATE TABLE half (id INTEGER);\nINSERT INTO nowhere VALUES (1);")


def dump(path: Path) -> tuple[int, list[tuple[str, str]]]:
    """Return the version and all that the schema says."""
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").fetchall()
        return migrations.version_of(connection), rows
    finally:
        connection.close()


def alter(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


async def opened(path: Path, steps: Sequence[Step] = SHIPPED) -> SqliteStore:
    store = SqliteStore(path, steps=steps)
    await store.open()
    return store


async def fill(path: Path) -> tuple[object, object]:
    """Make a store of the shipped version with something in every table."""
    store = await opened(path)
    free = Lease(group=values.GROUP)
    await store.swap(
        free, values.granted(free), Writes(put=[values.brake(), values.waiter()], entries=[values.entry()])
    )
    content = await store.load(), await store.journal(JournalQuery())
    await store.close()
    return content


async def test_a_new_file_gets_the_newest_schema(tmp_path: Path) -> None:
    store = await opened(tmp_path / "new.db")
    await store.close()

    version, schema = dump(tmp_path / "new.db")
    assert version == len(SHIPPED)
    assert {"lease", "brake", "deferral", "hold", "turn", "waiter", "journal"} <= {name for name, _ in schema}


async def test_a_file_brought_up_step_by_step_equals_one_made_at_once(tmp_path: Path) -> None:
    content = await fill(tmp_path / "old.db")
    upgraded = await opened(tmp_path / "old.db", [*SHIPPED, NEXT])
    after = await upgraded.load(), await upgraded.journal(JournalQuery())
    await upgraded.close()
    made_at_once = await opened(tmp_path / "new.db", [*SHIPPED, NEXT])
    await made_at_once.close()

    assert after == content
    assert dump(tmp_path / "old.db") == dump(tmp_path / "new.db")
    assert dump(tmp_path / "old.db")[0] == NEXT.version
    connection = sqlite3.connect(tmp_path / "old.db")
    assert connection.execute("SELECT text FROM note").fetchall() == [(values.UPGRADE,)]
    connection.close()


async def test_a_deferral_from_before_services_were_deferred_is_one_of_an_agent(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as first:
        migrations.migrate(first, SHIPPED[:1])
    alter(path, "INSERT INTO deferral VALUES ('o1/g1', 'o1/n1', 'o1/up1', '2026-03-01T12:00:00.000000Z', 'initiated')")

    store = await opened(path)

    assert [(each.kind, each.subject) for each in (await store.load()).of(Deferral)] == [(Kind.AGENT, "o1/up1")]
    await store.close()


async def test_a_lease_from_before_hosts_had_leases_stays_with_its_token_and_cannot_be_deleted(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as first:
        migrations.migrate(first, SHIPPED[:15])
    alter(path, "INSERT INTO lease (group_id, token, state) VALUES ('o1/g1', 41, 'free')")

    store = await opened(path)
    leases = (await store.load()).leases
    await store.close()

    assert [(lease.group, lease.token) for lease in leases.values()] == [("o1/g1", 41)]
    with pytest.raises(sqlite3.IntegrityError, match="kept for ever"):
        alter(path, "DELETE FROM lease")


async def test_a_step_that_fails_leaves_the_version_before_and_its_content(tmp_path: Path) -> None:
    path = tmp_path / "agbot.db"
    content = await fill(path)
    before = dump(path)

    with pytest.raises(StoreUnavailableError, match="nowhere"):
        await opened(path, [*SHIPPED, BROKEN])

    assert dump(path) == before
    store = await opened(path)
    assert (await store.load(), await store.journal(JournalQuery())) == content
    await store.close()


async def test_a_newer_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "agbot.db"
    newer = await opened(path, [*SHIPPED, NEXT])
    await newer.close()
    before = path.read_bytes()

    stated = rf"agbot\.db.*version {NEXT.version} and this program knows {len(SHIPPED)}.*newer program"
    with pytest.raises(StoreSchemaError, match=stated):
        await opened(path)

    assert path.read_bytes() == before


async def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    alter(path, "CREATE TABLE notes (text TEXT)")
    before = path.read_bytes()

    with pytest.raises(StoreSchemaError, match="another program"):
        await opened(path)

    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE turn",
        "DROP TRIGGER lease_token_never_goes_back",
        "ALTER TABLE brake RENAME COLUMN cause TO reason",
    ],
)
async def test_a_damaged_schema_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "agbot.db"
    await fill(path)
    alter(path, damage)

    with pytest.raises(StoreSchemaError, match="damaged"):
        await opened(path)


async def test_an_index_of_an_operator_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "agbot.db"
    await fill(path)
    alter(path, "CREATE INDEX mine ON journal (at)")

    store = await opened(path)

    assert values.GROUP in (await store.load()).leases
    await store.close()


async def test_the_schema_itself_refuses_a_lower_token_and_the_end_of_a_lease(tmp_path: Path) -> None:
    path = tmp_path / "agbot.db"
    await fill(path)

    with pytest.raises(sqlite3.IntegrityError, match="never goes back"):
        alter(path, "UPDATE lease SET token = 0")
    with pytest.raises(sqlite3.IntegrityError, match="kept for ever"):
        alter(path, "DELETE FROM lease")


def test_steps_are_numbered_without_a_gap() -> None:
    steps = migrations.in_order([("0002_b.sql", "B"), ("0001_a.sql", "A"), ("queries.sql", "Q")])

    assert steps == (Step(version=1, sql="A"), Step(version=2, sql="B"))
    with pytest.raises(ValueError, match="numbered"):
        migrations.in_order([("0001_a.sql", "A"), ("0003_c.sql", "C")])
    with pytest.raises(ValueError, match="numbered"):
        migrations.in_order([("0001_a.sql", "A"), ("0001_b.sql", "B")])


def test_a_block_is_found_by_its_name_and_comments_stay_out() -> None:
    found = queries.parse("-- About the file.\n\n-- a.b --\n-- why\nSELECT 1\nFROM t;\n\n-- c.d --\nSELECT 2;\n")

    assert found == {"a.b": "SELECT 1\nFROM t", "c.d": "SELECT 2"}


def test_a_name_cannot_stand_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        queries.parse("-- a.b --\nSELECT 1;\n\n-- a.b --\nSELECT 2;\n")


@pytest.mark.parametrize("name", sorted(queries.QUERIES))
def test_every_statement_fits_the_schema(name: str) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrations.migrate(connection, SHIPPED)
    statement = queries.QUERIES[name]
    parameters = {word.strip(":,();").split(")")[0]: None for word in statement.split() if ":" in word}

    plan = connection.execute(f"EXPLAIN {statement}", {key.lstrip("(:"): None for key in parameters}).fetchall()
    connection.close()

    assert plan


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (JournalQuery(group=values.GROUP), "journal_by_group"),
        (JournalQuery(node=values.ANNA, after=3), "journal_by_node"),
        (JournalQuery(after=3), "INTEGER PRIMARY KEY"),
        (JournalQuery(before=300), "INTEGER PRIMARY KEY"),
    ],
)
def test_a_journal_query_does_not_read_the_whole_journal(query: JournalQuery, index: str) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrations.migrate(connection, SHIPPED)
    statement, row = queries.journal_read(query)

    (plan,) = connection.execute(f"EXPLAIN QUERY PLAN {statement}", row).fetchall()
    connection.close()

    assert index in plan[3]
    assert "SEARCH" in plan[3]
