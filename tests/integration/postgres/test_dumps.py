"""The commands that `agbot store` prints for a store on PostgreSQL, run by the role of docs/operations.md."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from agbot.cli.main import main
from agbot.store.contract import Writes
from agbot.store.postgres.address import Address
from agbot.store.postgres.store import PostgresStore
from tests.contract import values
from tests.integration.postgres.test_moving import Content, content, fill
from tests.support.postgres import Postgres, program


@dataclass
class Site:
    """A store whose role owns its schema and may do nothing else in the database."""

    server: Postgres
    database: str
    address: Address
    folder: Path

    @property
    def store(self) -> PostgresStore:
        return PostgresStore(self.address)

    @property
    def dump(self) -> Path:
        return self.folder / "monday.dump"

    def run_printed(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command that `agbot store` prints for this one."""
        config = self.folder / "agbot.toml"
        config.write_text(
            '[exchange]\nurl = "http://127.0.0.1:1/v1"\nidentity = "IBM/agbot"\n[store]\n'
            f'url = "{self.address.url}"\nschema = "{self.address.schema}"\n',
            encoding="utf-8",
        )
        result = CliRunner().invoke(main, ["store", *words, "--config", str(config), "--json"])
        printed = json.loads(result.output)["error"]["next"]
        command = printed[printed.index("pg_") :].replace("FILE", str(self.dump))
        path = f"{Path(program('pg_dump')).parent}:/usr/bin:/bin"
        return subprocess.run(
            ["/bin/bash", "-c", command], env={"PATH": path}, capture_output=True, text=True, check=False
        )

    def back_up(self) -> Content:
        """Fill the store, dump it, and grant something afterwards; return what was dumped."""
        asyncio.run(fill(self.store, []))
        before = asyncio.run(content(self.store))
        done = self.run_printed("backup", "copy")
        assert done.returncode == 0, done.stderr
        asyncio.run(self._go_on())
        assert asyncio.run(content(self.store)) != before
        return before

    def restore(self) -> subprocess.CompletedProcess[str]:
        return self.run_printed("restore", "copy", "--reason", "x")

    async def _go_on(self) -> None:
        store = self.store
        await store.open()
        await store.write(Writes(entries=[values.entry("lease.granted")]))
        await store.close()


@pytest.fixture
def site(postgres_server: Postgres, postgres_database: str, tmp_path: Path) -> Iterator[Site]:
    role = f"{postgres_database}_coordinator"
    postgres_server.run(
        postgres_database, f"CREATE ROLE {role} LOGIN PASSWORD 'x'", f"CREATE SCHEMA agbot_ha AUTHORIZATION {role}"
    )
    address = Address(url=postgres_server.url(postgres_database, user=role))
    yield Site(postgres_server, postgres_database, address, tmp_path)
    postgres_server.drop(postgres_database)
    postgres_server.run("postgres", f"DROP ROLE {role}")


def test_the_printed_restore_puts_back_what_the_printed_backup_has_dumped(site: Site) -> None:
    before = site.back_up()
    site.server.run(site.database, "COMMENT ON SCHEMA agbot_ha IS 'something else'")

    done = site.restore()
    assert done.returncode == 0, done.stderr
    after = asyncio.run(content(site.store))
    assert (after.journal, after.stored.leases) == (before.journal, before.stored.leases)


def depended_on(site: Site) -> None:
    site.server.run(site.database, "CREATE VIEW public.report AS SELECT * FROM agbot_ha.lease")


def cut_off(site: Site) -> None:
    site.dump.write_bytes(site.dump.read_bytes()[:-4000])


def without_right(site: Site) -> None:
    site.server.run(site.database, "ALTER TABLE agbot_ha.waiter OWNER TO postgres")


@pytest.mark.parametrize("spoil", [depended_on, cut_off, without_right])
def test_a_restore_that_fails_leaves_everything_as_it_was(site: Site, spoil: Callable[[Site], None]) -> None:
    site.back_up()
    spoil(site)
    journal = "SELECT id, event FROM agbot_ha.journal ORDER BY id"
    leases = "SELECT group_id, token, state FROM agbot_ha.lease ORDER BY group_id"
    before = [site.server.run(site.database, each) for each in (journal, leases)]

    assert site.restore().returncode != 0
    assert [site.server.run(site.database, each) for each in (journal, leases)] == before
    assert all(before)
