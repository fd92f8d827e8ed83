"""Checks before anything is changed: are these the agbot's tables, and may this role guard them?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import psycopg

from agbot.guard.scripts import VERSION, Schemas

Connection = psycopg.Connection[Any]
_Check = Callable[[Connection, Schemas], Iterable[str]]

_VERSIONS: Final = frozenset({0, 1})
"""The versions of the agbot's database (`version`, row 1) whose tables have the shape below."""
_TEXT: Final = ("text", True)
_TABLES: Final[Mapping[str, Mapping[str, tuple[str, bool]]]] = MappingProxyType(
    {
        "ha_group_updates": {"group_name": _TEXT, "org_id": _TEXT, "node_id": _TEXT, "nmp_id": _TEXT},
        "ha_workload_upgrade": {"group_name": _TEXT, "org_id": _TEXT, "policy_name": _TEXT, "node_id": _TEXT},
    }
)
"""Each column's type, and whether it is NOT NULL, in agbots up to 2.32 (`agbot-ha.md` 3.2)."""
_UPDATED: Final = {"updated": ("timestamp with time zone", False)}
_FUNCTIONS: Final = ("ha_group_add_if_not_present", "ha_workload_add_if_not_present")
_GUARDED: Final = ("SELECT", "TRIGGER", "DELETE")
_RIGHTS: Final = {"ha_group_updates": _GUARDED, "ha_workload_upgrade": _GUARDED, "version": ("SELECT",)}
_COLUMNS: Final = """
    SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
    WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
"""
_OWNER: Final = """
    SELECT pg_get_userbyid(relowner) FROM pg_class
    WHERE oid = to_regclass(%s) AND pg_get_userbyid(relowner) <> current_user
"""
"""Of the store, if it is not this role."""
_STORE: Final = ("lease", "generation", "leader", "seen_clock")


def problems(connection: Connection, schemas: Schemas) -> list[str]:
    """Return why the guard cannot be installed, one sentence each; empty if it can."""
    return _first(connection, schemas, _of_tables, _of_rights, _of_version, _of_store, _of_newer)


def obstacles(connection: Connection, schemas: Schemas) -> list[str]:
    """Return what keeps the guard out besides a store that an installation creates itself."""
    return _first(connection, schemas, _of_tables, _of_rights, _of_version, _of_newer, foreign_owner)


def _first(connection: Connection, schemas: Schemas, *checks: _Check) -> list[str]:
    """Return what the first check finds that finds anything.

    Without the tables every later check would fail too.
    """
    return next(filter(None, (list(check(connection, schemas)) for check in checks)), [])


def _rights_lacking(connection: Connection, schemas: Schemas) -> list[str]:
    """Return the statements that the owner of the agbot's tables has to execute."""
    role = one(connection, "SELECT quote_ident(current_user)")
    found: list[str] = []
    for table, rights in _RIGHTS.items():
        name = f"{schemas.theirs}.{table}"
        lacking = [right for right in rights if not one(connection, "SELECT has_table_privilege(%s, %s)", name, right)]
        if lacking:
            found.append(f"GRANT {', '.join(lacking)} ON {name} TO {role};")
    return found


def foreign_owner(connection: Connection, schemas: Schemas) -> list[str]:
    """Return, as a sentence, whose the store is if it is not this role's.

    The coordinator could not use what another role creates.
    """
    owner = one(connection, _OWNER, f"{schemas.ours}.lease")
    return [] if owner is None else [f"the lease store belongs to the role {owner}: install the guard as that role"]


def installed_version(connection: Connection, schemas: Schemas) -> int | None:
    """Return the version of the guard's objects; None if it is not installed."""
    if one(connection, "SELECT to_regclass(%s)", f"{schemas.ours}.guard_setting") is None:
        return None
    version = one(connection, f"SELECT version FROM {schemas.ours}.guard_setting")
    return None if version is None else int(version)


def _of_tables(connection: Connection, schemas: Schemas) -> Iterable[str]:
    if one(connection, "SELECT to_regnamespace(%s)", schemas.theirs) is None:
        yield f"there is no schema {schemas.theirs}: correct [guard] agbot_schema, or --agbot-schema"
        return
    for table, columns in _TABLES.items():
        name = f"{schemas.theirs}.{table}"
        expected = {**columns, **_UPDATED}
        found = {column: (kind, bool(strict)) for column, kind, strict in connection.execute(_COLUMNS, (name,))}
        if not found:
            yield f"there is no table {name}: this is not the agbot's database, or it has never been started on it"
        # an extra column is one too many: the trigger rewrites whole rows, and an agbot with
        # another table may mean another thing by them
        elif found != expected:
            yield f"the table {name} has other columns than an agbot's: {_difference(expected, found)}"
    if one(connection, "SELECT to_regclass(%s)", f"{schemas.theirs}.version") is None:
        yield f"there is no table {schemas.theirs}.version: this is not the agbot's database"
    for function in _FUNCTIONS:
        count = one(
            connection,
            "SELECT count(*) FROM pg_proc WHERE proname = %s AND pronamespace = to_regnamespace(%s)",
            function,
            schemas.theirs,
        )
        if count != 1:
            yield f"there is no single function {schemas.theirs}.{function}, which an agbot creates when it starts"


def _difference(expected: Mapping[str, object], found: Mapping[str, object]) -> str:
    names = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    return ", ".join(
        f"{name} is {found.get(name, 'missing')}, expected {expected.get(name, 'no such')}" for name in names
    )


def _of_version(connection: Connection, schemas: Schemas) -> Iterable[str]:
    version = one(connection, f"SELECT ver FROM {schemas.theirs}.version WHERE id = 1")
    if version not in _VERSIONS:
        yield f"the agbot's database has version {version}; the guard knows {', '.join(map(str, sorted(_VERSIONS)))}"


def _of_rights(connection: Connection, schemas: Schemas) -> Iterable[str]:
    lacking = _rights_lacking(connection, schemas)
    if lacking:
        yield f"this role lacks rights; the owner of the tables has to execute: {' '.join(lacking)}"


def _of_store(connection: Connection, schemas: Schemas) -> Iterable[str]:
    missing = [
        table for table in _STORE if one(connection, "SELECT to_regclass(%s)", f"{schemas.ours}.{table}") is None
    ]
    if missing:
        yield f"the lease store has no table {missing[0]} in the schema {schemas.ours}: start the coordinator once"


def _of_newer(connection: Connection, schemas: Schemas) -> Iterable[str]:
    version = installed_version(connection, schemas)
    if version is not None and version > VERSION:
        yield f"a newer program has installed the guard's version {version}; this one has {VERSION}"


def one(connection: Connection, statement: str, *values: object) -> Any:  # noqa: ANN401 - a value of the database
    """Return the first column of the first row; None if there is no row."""
    row = connection.execute(statement.encode(), values or None).fetchone()
    return None if row is None else row[0]
