"""Every test of the guard has an agbot's database of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.guarded import Guarded, copied, prepare
from tests.support.postgres import Postgres


@pytest.fixture(scope="session")
def template(postgres_server: Postgres) -> Guarded:
    """The database of an agbot, with the store's schema and without the guard."""
    return prepare(postgres_server, postgres_server.database())


@pytest.fixture
def hub(template: Guarded) -> Iterator[Guarded]:
    """A copy of it."""
    made = copied(template)
    yield made
    made.server.drop(made.database)
