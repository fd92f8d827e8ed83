"""The statements that are the same for every table, generated from `records.KEPT`.

The others, each for one table, are in `sql/queries.sql`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agbot.rules.lease import Lease
from agbot.store.codec import ENTRIES, LEASES, RECORDS
from agbot.store.contract import Entry
from agbot.store.records import KEPT, Kept, Key, Record
from agbot.store.texts import Row

Statement = tuple[str, Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The statements about the records of one type."""

    put: str
    insert: str
    """The beginning of `put`, up to its values."""
    values: str
    """The parameters of the values."""
    replace: str
    """The end of `put`."""
    drop: str
    all: str
    key: tuple[str, ...]
    """The columns of the key."""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def named(names: Iterable[str]) -> str:
    """Quote the columns: some of their names are words of one dialect of SQL or another."""
    return _listed(f'"{name}"' for name in names)


def _given(names: Iterable[str]) -> str:
    return _listed(f":{name}" for name in names)


def _equal(names: Iterable[str], separator: str) -> str:
    return separator.join(f'"{name}" = :{name}' for name in names)


def _table(kept: Kept) -> Table:
    codec = RECORDS[kept.of]
    names, key = codec.names, tuple(codec.column(path) for path in kept.key)
    only, number = ((), ()) if key else (("id",), ("1",))  # a table with one row
    insert = f"INSERT INTO {kept.table} ({named((*only, *names))})"
    values = _listed((*number, _given(names)))
    replaced = _listed(f'"{name}" = excluded."{name}"' for name in names if name not in key)
    replace = f"ON CONFLICT ({named(key or only)}) DO UPDATE SET {replaced}"
    return Table(
        put=f"{insert} VALUES ({values}) {replace}",
        insert=insert,
        values=values,
        replace=replace,
        drop=f"DELETE FROM {kept.table} WHERE {_equal(key, ' AND ') or 'true'}",
        all=f"SELECT * FROM {kept.table} ORDER BY {named(key or only)}",
        key=key,
    )


TABLES: Mapping[type, Table] = {of: _table(kept) for of, kept in KEPT.items()}

APPENDED = tuple(name for name in ENTRIES.names if name != "id")  # the table counts
APPEND = f"INSERT INTO journal ({named(APPENDED)}) VALUES ({_given(APPENDED)})"

SWAP = (
    f"UPDATE lease SET {_equal((name for name in LEASES.names if name != 'group_id'), ', ')}"
    " WHERE group_id = :group_id AND token = :expected_token AND state = :expected_state"
)
"""Compare and set: a row changes only if its token and state are the expected ones."""

FIRST = f"INSERT INTO lease ({named(LEASES.names)}) VALUES ({_given(LEASES.names)}) ON CONFLICT (group_id) DO NOTHING"
"""The first swap of a group inserts its row; a second one finds it."""


def put(record: Record) -> Statement:
    """Insert or replace the record with its key."""
    return TABLES[type(record)].put, RECORDS[type(record)].row(record)


def drop(key: Key) -> Statement:
    """Delete the record with this key."""
    table = TABLES[key.of]
    return table.drop, dict(zip(table.key, key.values, strict=True))


def swap_row(expected: Lease, new: Lease) -> Row:
    """Return the parameters of `SWAP`."""
    return LEASES.row(new) | {"expected_token": expected.token, "expected_state": expected.state.value}


def append(entry: Entry) -> Statement:
    """Append an entry to the journal."""
    row = ENTRIES.row(entry)
    del row["id"]
    return APPEND, row
