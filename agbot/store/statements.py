"""The statements that are alike for every table, made from `records.KEPT` and the columns that `codec` derives.

The others, which are about one table alone, stand in `sql/queries.sql`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agbot.store.codec import ENTRIES, LEASES, RECORDS
from agbot.store.contract import Entry
from agbot.store.records import KEPT, Kept, Key, Record
from agbot.store.texts import Row

Statement = tuple[str, Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The statements about the records of one type."""

    put: str
    drop: str
    all: str
    key: tuple[str, ...]
    """The columns of the key."""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _given(names: Iterable[str]) -> str:
    return ", ".join(f":{name}" for name in names)


def _equal(names: Iterable[str], separator: str) -> str:
    return separator.join(f"{name} = :{name}" for name in names)


def _table(kept: Kept) -> Table:
    codec = RECORDS[kept.of]
    names, key = codec.names, tuple(codec.column(path) for path in kept.key)
    only, number = ((), ()) if key else (("id",), ("1",))  # a table of one row
    replaced = _listed(f"{name} = excluded.{name}" for name in names if name not in key)
    return Table(
        put=f"INSERT INTO {kept.table} ({_listed((*only, *names))}) VALUES ({_listed((*number, _given(names)))})"
        f" ON CONFLICT ({_listed(key or only)}) DO UPDATE SET {replaced}",
        drop=f"DELETE FROM {kept.table} WHERE {_equal(key, ' AND ') or 'true'}",
        all=f"SELECT * FROM {kept.table} ORDER BY {_listed(key or only)}",
        key=key,
    )


TABLES: Mapping[type, Table] = {of: _table(kept) for of, kept in KEPT.items()}

_APPENDED = tuple(name for name in ENTRIES.names if name != "id")  # the table counts
APPEND = f"INSERT INTO journal ({_listed(_APPENDED)}) VALUES ({_given(_APPENDED)})"

SWAP = (
    f"UPDATE lease SET {_equal((name for name in LEASES.names if name != 'group_id'), ', ')}"
    " WHERE group_id = :group_id AND token = :expected_token AND state = :expected_state"
)
"""Compare and set: no row changes unless token and state are still the expected ones."""

FIRST = f"INSERT INTO lease ({_listed(LEASES.names)}) VALUES ({_given(LEASES.names)}) ON CONFLICT (group_id) DO NOTHING"
"""The first swap of a group makes its row; whoever comes second finds it there."""


def put(record: Record) -> Statement:
    """Write a record in the place of the one with its key."""
    return TABLES[type(record)].put, RECORDS[type(record)].row(record)


def drop(key: Key) -> Statement:
    """Delete the record with this key."""
    table = TABLES[key.of]
    return table.drop, dict(zip(table.key, key.values, strict=True))


def append(entry: Entry) -> Statement:
    """Append an entry to the journal."""
    row = ENTRIES.row(entry)
    del row["id"]
    return APPEND, row
