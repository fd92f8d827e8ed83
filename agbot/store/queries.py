"""The SQLite store's statements by name, from `sql/queries.sql`.

A statement is sent exactly as it is written there: the driver caches a prepared statement for each
text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

from agbot.store.contract import JournalQuery
from agbot.store.texts import Row, stamp

_NAME = re.compile(r"^-- ([a-z]+\.[a-z]+) --$", re.MULTILINE)


def parse(text: str) -> Mapping[str, str]:
    """Split a file of named blocks; comments in a block are dropped.

    Raises:
        ValueError: a name is used twice.
    """
    _, *pieces = _NAME.split(text)
    names, bodies = pieces[::2], pieces[1::2]
    if len(set(names)) < len(names):
        message = f"a query's name is used twice among {sorted(names)}"
        raise ValueError(message)
    return MappingProxyType({name: _statement(body) for name, body in zip(names, bodies, strict=True)})


def _statement(body: str) -> str:
    lines = (line for line in body.splitlines() if line and not line.startswith("--"))
    return "\n".join(lines).removesuffix(";")


QUERIES = parse(resources.files("agbot.store").joinpath("sql", "queries.sql").read_text(encoding="utf-8"))


_ABOUT = "COALESCE(group_id, node_id, json_extract(facts, '$.scope'))"
"""The subject of an entry: a hold of an organisation or the fleet has neither group nor node."""


def journal_read(query: JournalQuery, about: str = _ABOUT) -> tuple[str, Row]:
    """Return the statement of a journal query, with only its own filters.

    `about` is the expression for the subject of an entry.
    """
    filters: list[str] = []
    row: Row = {"limit": max(query.limit, 0)}
    if query.org is not None:
        filters.append(f"({about} IN (:org, '*') OR substr({about}, 1, length(:within)) = :within)")
        row |= {"org": query.org, "within": f"{query.org}/"}
    if query.events:
        row |= {f"event_{number}": event for number, event in enumerate(query.events)}
        filters.append(f"event IN ({', '.join(f':event_{number}' for number in range(len(query.events)))})")
    if query.without:
        row |= {f"without_{number}": event for number, event in enumerate(query.without)}
        filters.append(f"event NOT IN ({', '.join(f':without_{number}' for number in range(len(query.without)))})")
    if query.group is not None:
        filters.append("group_id = :group_id")
        row["group_id"] = query.group
    if query.node is not None:
        filters.append("node_id = :node_id")
        row["node_id"] = query.node
    if query.since is not None:
        filters.append("at >= :since")
        row["since"] = stamp(query.since)
    if query.after is not None:
        filters.append("id > :after")
        row["after"] = query.after
    if query.before is not None:
        filters.append("id < :before")
        row["before"] = query.before
    where = f" WHERE {' AND '.join(filters)}" if filters else ""
    order = "DESC" if query.after is None else "ASC"
    return f"{QUERIES['journal.read']}{where} ORDER BY id {order} LIMIT :limit", row
