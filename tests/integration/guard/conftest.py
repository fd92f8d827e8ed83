"""Every test of the guard has an agbot's database of its own."""

from __future__ import annotations

import pytest

from tests.support.guarded import Guarded, prepare
from tests.support.postgres import Postgres


@pytest.fixture
def hub(postgres_server: Postgres, postgres_database: str) -> Guarded:
    """The database of an agbot, with the store's schema and without the guard."""
    return prepare(postgres_server, postgres_database)
