"""The coordinator's own PostgreSQL: what the doctor finds is what the daemon would meet."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from agbot.clock import SystemClock
from agbot.doctor import store
from agbot.doctor.finding import Finding, Verdict, worst
from agbot.store.postgres import schema
from agbot.store.postgres.address import Address
from agbot.store.postgres.inspecting import inspect
from agbot.store.sqlite import SqliteStore
from tests.integration.doctor.ward import of, ward
from tests.support.postgres import PgBouncer, Postgres

ROLE = "agbot_stranger"


async def findings(url: str) -> tuple[Finding, ...]:
    return store.judged(await inspect(Address(url=url)), "db")


def texts(found: tuple[Finding, ...]) -> str:
    return "; ".join(each.found for each in found)


async def test_the_doctor_names_server_schema_and_clock_and_creates_nothing(
    tmp_path: Path, postgres_server: Postgres, postgres_database: str
) -> None:
    async with ward(tmp_path) as hub:
        hub.tables["store"] = {"url": f'"{postgres_server.url(postgres_database)}"'}
        new, *_ = of(await hub.examine(), "store")
        assert new.verdict is Verdict.OK
        assert new.found.endswith("; it has no tables yet, and the first start creates them")
        await schema.prepare(Address(url=postgres_server.url(postgres_database)))
        report = await hub.examine()
        found, *_ = of(report, "store")
        assert (
            f"127.0.0.1:{postgres_server.port}/{postgres_database} (schema agbot_ha) answers, PostgreSQL "
            in found.found
        )
        assert found.found.endswith(f"; its schema has version {len(schema.shipped())}, that of this program")
        assert "the store's clock agrees with ours within 2 s" in [each.found for each in of(report, "clocks")]

        postgres_server.run(postgres_database, "COMMENT ON SCHEMA agbot_ha IS 'agbot lease store, version 999'")
        [newer] = of(await hub.examine(), "store")
        assert (newer.verdict, "was written by a newer program" in newer.found) == (Verdict.WRONG, True)
        hub.tables["store"] = {"url": '"postgresql://agbot@127.0.0.1:1/agbot"'}
        [down] = of(await hub.examine(), "store")
        assert (down.verdict, "look whether the server runs" in down.found) == (Verdict.WRONG, True)


async def test_a_file_that_the_daemon_could_not_open_is_wrong(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        [new] = of(await hub.examine(), "store")
        assert (new.verdict, new.found) == (Verdict.OK, "[store] path is a new file, which the first start creates")
        for path, stated in (("none/agbot.db", "none does not exist"), (".", "is a directory")):
            hub.tables["store"] = {"path": f'"{tmp_path / path}"'}
            [found] = of(await hub.examine(), "store")
            assert (found.verdict, stated in found.found) == (Verdict.WRONG, True), found
            assert found.next_step


async def test_a_file_that_another_process_uses_is_wrong_unless_that_is_the_coordinator(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        used = SqliteStore(tmp_path / "agbot.db")
        await used.open()
        try:
            loaded = hub.settings().loaded
            assert loaded is not None
            [alone] = await store.check(loaded, SystemClock(), coordinator_answers=False)
            [beside] = await store.check(loaded, SystemClock(), coordinator_answers=True)
        finally:
            await used.close()
        [ended] = await store.check(loaded, SystemClock(), coordinator_answers=False)
    assert (alone.verdict, f"process {os.getpid()} uses" in alone.found) == (Verdict.WRONG, True)
    assert (beside.verdict, ended.found) == (Verdict.OK, "[store] path can be used")


async def test_a_role_that_may_not_write_create_or_migrate_is_named(
    postgres_server: Postgres, postgres_database: str
) -> None:
    postgres_server.run(
        "postgres", f"DO $$ BEGIN CREATE ROLE {ROLE} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    url = postgres_server.url(postgres_database, user=ROLE)
    named, lacks, *_ = await findings(url)
    assert "the first start creates them" not in named.found
    assert lacks.found == f"the schema agbot_ha does not exist, and the role {ROLE} may not create it"
    assert lacks.next_step == f"as the owner of the database: CREATE SCHEMA agbot_ha AUTHORIZATION {ROLE};"
    await schema.prepare(Address(url=postgres_server.url(postgres_database)))
    postgres_server.run(
        postgres_database,
        f"GRANT USAGE ON SCHEMA agbot_ha TO {ROLE}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA agbot_ha TO {ROLE}",
        f"REVOKE DELETE ON agbot_ha.lease, agbot_ha.hold FROM {ROLE}",
    )
    assert "the role may not read and write hold, lease" in texts(await findings(url))
    postgres_server.run(postgres_database, f"GRANT ALL ON ALL TABLES IN SCHEMA agbot_ha TO {ROLE}")
    found = await findings(url)
    assert (worst(found), "does not own the schema" in texts(found)) == (Verdict.WARNING, True)
    postgres_server.run(postgres_database, f"DROP OWNED BY {ROLE}")


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_a_pooler_is_named_and_refused_if_it_splits_transactions(
    postgres_server: Postgres, postgres_database: str, mode: str
) -> None:
    pooler = PgBouncer.before(postgres_server, mode=mode)
    try:
        found = await findings(pooler.url(postgres_database))
    finally:
        pooler.remove()
    assert ", behind a pooler; " in texts(found)
    assert (Verdict.WRONG in {each.verdict for each in found}) == (mode == "statement"), found


async def test_commits_that_a_crash_can_lose_are_a_warning_and_replicas_a_remark(postgres_server: Postgres) -> None:
    inspected = await inspect(Address(url=postgres_server.url()))
    assert not inspected.keeps_commits, "the server of the tests has fsync = off"
    assert (inspected.is_replica, inspected.replicas, inspected.waits_for_replicas) == (False, 0, False)
    assert "fsync or synchronous_commit is off" in texts(store.judged(inspected, "db"))
    durable = replace(inspected, keeps_commits=True)
    assert worst(store.judged(durable, "db")) is Verdict.OK
    assert "1 replica follows" in texts(store.judged(replace(durable, replicas=1), "db"))
    assert "replica" not in texts(store.judged(replace(durable, replicas=1, waits_for_replicas=True), "db"))
    assert worst(store.judged(replace(durable, is_replica=True), "db")) is Verdict.WRONG
