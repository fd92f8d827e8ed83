"""Where the stores live that several coordinators share.

A further implementation adds its place to `PLACES` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import pytest

from agbot.store.leadership import SharedStore
from agbot.store.postgres.address import Address
from agbot.store.postgres.shared import PostgresShared
from tests.contract.values import NOW
from tests.support.postgres import Postgres
from tests.support.shared_memory import SharedContent, SharedMemoryStore


class SharedPlace(Protocol):
    """One database."""

    def store(self) -> SharedStore:
        """Return one more connection to it, not open."""

    async def let_pass(self, seconds: float) -> None:
        """Let so much time pass by the database's clock."""


class SharedMemoryPlace:
    """A database in memory."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._now = NOW
        self._content = SharedContent(now=self._read)

    def _read(self) -> datetime:
        return self._now

    def store(self) -> SharedStore:
        return SharedMemoryStore(self._content)

    async def let_pass(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class SharedPostgresPlace:
    """A schema of a database. Its times are moved back, which is as if its clock had gone on."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._server: Postgres = request.getfixturevalue("postgres_server")
        self._database: str = request.getfixturevalue("postgres_common")
        self._schema: str = request.getfixturevalue("postgres_schema")

    def store(self) -> SharedStore:
        return PostgresShared(Address(url=self._server.url(self._database), schema=self._schema))

    async def let_pass(self, seconds: float) -> None:
        back = f"- interval '{seconds} s'"
        names = ("since", "expires_at", "reserved_until", "seen_at")
        moved = ", ".join(f"{name} = {name} {back}" for name in names)
        self._server.run(
            self._database,
            f"UPDATE {self._schema}.leader SET {moved}",  # noqa: S608 - numbers and names
            f"UPDATE {self._schema}.coordinator SET seen_at = seen_at {back}",  # noqa: S608 - numbers and names
        )


PLACES: dict[str, Callable[[pytest.FixtureRequest], SharedPlace]] = {
    "memory": SharedMemoryPlace,
    "postgres": SharedPostgresPlace,
}
