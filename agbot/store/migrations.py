"""Schema migrations.

Each file `sql/NNNN_name.sql` is one step; `user_version` is the number of the last one applied.

A step and the new version are one transaction, so a crash leaves the version before or after it. A
file of a newer program, or of another program, is refused before anything in it is changed.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

from agbot.store.contract import StoreSchemaError

_APPLICATION_ID = 0x6167626F
"""`agbo`: marks the file as ours (PRAGMA application_id)."""

_FILE = re.compile(r"^(\d{4})_\w+\.sql$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the schema: from version `version - 1` to `version`."""

    version: int
    sql: str


def in_order(files: Iterable[tuple[str, str]]) -> tuple[Step, ...]:
    """Return the steps among (name, text) pairs in order; other names are ignored.

    Raises:
        ValueError: a number is missing or is used twice.
    """
    numbered = ((_FILE.match(name), text) for name, text in files)
    steps = sorted((int(found[1]), text) for found, text in numbered if found)
    if [number for number, _ in steps] != list(range(1, len(steps) + 1)):
        message = f"migrations must be numbered 1, 2, 3 ...: {[number for number, _ in steps]}"
        raise ValueError(message)
    return tuple(Step(version=number, sql=text) for number, text in steps)


def shipped() -> tuple[Step, ...]:
    """Return the steps of this program."""
    folder = resources.files("agbot.store").joinpath("sql")
    return in_order((entry.name, entry.read_text(encoding="utf-8")) for entry in folder.iterdir())


def check_origin(connection: sqlite3.Connection, steps: Sequence[Step]) -> None:
    """Refuse a file that this program must not change. It only reads.

    Raises:
        StoreSchemaError: it is newer, or another program's.
    """
    version = version_of(connection)
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    is_new = (version, application, objects) == (0, 0, 0)
    if application != _APPLICATION_ID and not is_new:
        message = "it is a database of another program; use another file for the store"
        raise StoreSchemaError(message)
    refuse_newer(version, steps, "file")


def refuse_newer(version: int, steps: Sequence[Step], what: str) -> None:
    """Refuse a store whose version this program does not know.

    Raises:
        StoreSchemaError: it is newer.
    """
    if version > len(steps):
        message = (
            f"its schema has version {version} and this program knows {len(steps)}; it was written by a newer program; install that"
            f" one again. The {what} has not been changed"
        )
        raise StoreSchemaError(message)


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of the schema; 0 for a new file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def migrate(connection: sqlite3.Connection, steps: Sequence[Step]) -> None:
    """Apply the missing steps, each in its own transaction."""
    for step in steps[version_of(connection) :]:
        # within the transaction: SQLite keeps both in the header of the file
        marks = f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {step.version};"
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{step.sql}\n{marks}\nCOMMIT;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def check_complete(connection: sqlite3.Connection, steps: Sequence[Step]) -> None:
    """Compare the schema with that of the steps.

    Additions of an operator, such as an index, are allowed.

    Raises:
        StoreSchemaError: something is missing or different.
    """
    model = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(model, steps)
        missing = _schema(model) - _schema(connection)
    finally:
        model.close()
    if missing:
        names = ", ".join(sorted(name for name, _ in missing))
        message = f"its schema is damaged, {names} is missing or was changed; restore the file from a backup"
        raise StoreSchemaError(message)


def _schema(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    return {(name, sql) for name, sql in rows}
