"""A journal that is large already: old entries, written straight into the file of a store that is not in use."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

from agbot.store.texts import stamp

FACTS_BYTES = 5_000
"""What a decision of a large group takes."""


def fill(path: Path, entries: int, at: datetime) -> None:
    """Append so many entries of that date."""
    padding = "x" * (FACTS_BYTES - len('{"padding": ""}'))
    facts = f'{{"padding": "{padding}"}}'
    rows = ((stamp(at), f"acme/g{number % 97}", f"acme/n{number % 997}", facts) for number in range(entries))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO journal (at, event, group_id, node_id, who, facts)"
            " VALUES (?, 'lease.granted', ?, ?, 'coordinator', ?)",
            rows,
        )
        connection.execute("COMMIT")


def entries_in(path: Path) -> int:
    """Count the entries of a journal, in use or not."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM journal").fetchone()
    return int(count)
