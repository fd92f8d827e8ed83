"""Where the stores under the contract live.

A further implementation adds its place here and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from agbot.store.contract import Store
from agbot.store.mark import MarkFile
from agbot.store.postgres.address import Address
from agbot.store.postgres.store import PostgresStore
from agbot.store.sqlite import SqliteStore
from tests.support.faulty_store import FaultyStore
from tests.support.postgres import Postgres


class Place(Protocol):
    """One place where a store's content outlives the daemon that wrote it."""

    def store(self) -> Store:
        """Return a store of this place, not open, as a newly started daemon would make it."""

    async def changed(self) -> Store:
        """Put another content in place than the one that was used last, and return it, open."""


class MemoryPlace:
    """A memory store is its own place."""

    def __init__(self) -> None:
        self._store = FaultyStore()

    def store(self) -> Store:
        return self._store

    async def changed(self) -> Store:
        self._store.change_generation("it is an older copy", 1_000)
        await self._store.open()
        return self._store


class SqlitePlace:
    """A file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def store(self) -> Store:
        return SqliteStore(self._path)

    async def changed(self) -> Store:
        MarkFile(self._path).path.unlink()
        opened = self.store()
        await opened.open()
        return opened


class PostgresPlace:
    """A schema of a database."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._server: Postgres = request.getfixturevalue("postgres_server")
        self._database: str = request.getfixturevalue("postgres_common")
        schema: str = request.getfixturevalue("postgres_schema")
        self._address = Address(url=self._server.url(self._database), schema=schema)

    def store(self) -> Store:
        return PostgresStore(self._address)

    async def changed(self) -> Store:
        self._server.run(self._database, f"UPDATE {self._address.schema}.generation SET home = 'another/one'")  # noqa: S608 - a name
        opened = self.store()
        await opened.open()
        return opened


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "postgres":
        return PostgresPlace(request)
    places: dict[str, Place] = {"memory": MemoryPlace(), "sqlite": SqlitePlace(tmp_path / "agbot.db")}
    return places[request.param]


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    """Give an open store of every kind, one after the other."""
    opened = place.store()
    await opened.open()
    yield opened
    await opened.close()
