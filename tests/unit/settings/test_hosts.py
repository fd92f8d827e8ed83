"""Databases are named with their servers and ports, as people need them to find one of several."""

from __future__ import annotations

import pytest

from agbot.settings.hosts import database_in_words


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"host": "db", "port": 5433, "dbname": "agbot"}, "db:5433/agbot"),
        ({"host": "db", "dbname": "agbot"}, "db/agbot"),
        ({"host": "db-1,db-2", "port": "5433", "dbname": "agbot"}, "db-1:5433,db-2:5433/agbot"),
        ({"host": "db-1,db-2", "port": "5433,", "dbname": "agbot"}, "db-1:5433,db-2/agbot"),
        ({"hostaddr": "::1", "port": "5433", "user": "ada"}, "[::1]:5433/ada"),
        ({"host": "/run/postgresql", "port": "5433", "dbname": "agbot"}, "/run/postgresql:5433/agbot"),
        ({"dbname": "agbot"}, "the local server/agbot"),
    ],
)
def test_a_database_is_named_with_its_servers_and_their_ports(parameters: dict[str, object], expected: str) -> None:
    assert database_in_words(parameters) == expected
