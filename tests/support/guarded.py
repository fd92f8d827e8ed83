"""The agbot's database with the guard's role: exactly the rights that the documents ask for, and no superuser."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from agbot.guard import installing
from agbot.guard.scripts import Schemas
from agbot.sim.agbot_database import AgbotDatabase
from agbot.store.postgres import schema
from agbot.store.postgres.address import Address
from tests.support.postgres import Postgres

SCHEMAS = Schemas()
AGBOT, COORDINATOR = "hub_agbot", "hub_coordinator"
"""The two roles. They belong to the server, so every database of a test has them."""
RIGHTS = (
    f"GRANT SELECT, TRIGGER, DELETE ON ha_group_updates, ha_workload_upgrade TO {COORDINATOR}",
    f"GRANT SELECT ON version TO {COORDINATOR}",
)


@dataclass
class Guarded:
    """One database of an agbot."""

    server: Postgres
    database: str

    def url(self, role: str) -> str:
        return self.server.socket_url(self.database, user=role)

    def agbot(self) -> AgbotDatabase:
        """Start another agbot on it."""
        return AgbotDatabase(self.url(AGBOT))

    @contextmanager
    def coordinator(self) -> Iterator[psycopg.Connection[Any]]:
        """Connect as the guard's role."""
        with psycopg.connect(self.url(COORDINATOR), autocommit=True) as connection:
            yield connection

    def install(self, *, unjudged: str = "wait") -> None:
        with self.coordinator() as connection:
            installing.install(connection, SCHEMAS)
            connection.execute(
                "UPDATE agbot_ha.guard_setting SET agents_without_leader = %s, services_without_leader = %s",
                (unjudged, unjudged),
            )

    def uninstall(self) -> None:
        with self.coordinator() as connection:
            installing.uninstall(connection, SCHEMAS)

    def read(self, statement: str, *values: object) -> Sequence[tuple[Any, ...]]:
        """Execute one statement as the guard's role."""
        with self.coordinator() as connection:
            done = connection.execute(statement.encode(), values or None)
            return done.fetchall() if done.description is not None else []

    def lease(self, group: str) -> tuple[int, str, str | None, str | None, str | None] | None:
        """Return token, state, holder, kind and subject of a group's lease."""
        rows = self.read("SELECT token, state, holder, kind, subject FROM agbot_ha.lease WHERE group_id = %s", group)
        return rows[0] if rows else None

    def free(self, group: str) -> None:
        """End the tenure in a group, as the coordinator does on evidence."""
        self.read(
            "UPDATE agbot_ha.lease SET state = 'free', holder = NULL, kind = NULL, subject = NULL, granted_at = NULL, "
            "renewed_at = NULL, expires_at = NULL, progress = NULL WHERE group_id = %s",
            group,
        )

    def outcomes(self) -> list[tuple[Any, ...]]:
        """Return what the triggers have noted: group, node, outcome, code, each once."""
        return list(self.read("SELECT group_id, node, outcome, code FROM agbot_ha.guard_outbox ORDER BY at"))


def prepare(server: Postgres, database: str) -> Guarded:
    """Give the roles an agbot's tables and the store's, without the guard."""
    for role in (AGBOT, COORDINATOR):
        server.run(
            database,
            f"DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
        )
    server.run(database, f"GRANT CREATE ON SCHEMA public TO {AGBOT}")
    made = _permitted(server, database)
    agbot = made.agbot()
    with psycopg.connect(made.url(AGBOT), autocommit=True) as owner:
        for right in RIGHTS:
            owner.execute(right.encode())
    agbot.close()
    asyncio.run(schema.prepare(Address(url=made.url(COORDINATOR))))
    return made


def copied(template: Guarded) -> Guarded:
    """Return another database like this one, to which nobody is connected."""
    return _permitted(template.server, template.server.database(template.database))


def _permitted(server: Postgres, database: str) -> Guarded:
    """Let the guard's role create its schemas; a copy of a database does not copy that right."""
    server.run(database, f"GRANT CREATE ON DATABASE {database} TO {COORDINATOR}")
    return Guarded(server, database)
