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
        # not LIKE: an organisation may be called `a_b` or `100%`
        filters.append(f"({about} IN (:org, '*') OR substr({about}, 1, length(:within)) = :within)")
        row |= {"org": query.org, "within": f"{query.org}/"}
    for name, operator, events in (("event", "IN", query.events), ("without", "NOT IN", query.without)):
        given: Row = {f"{name}_{number}": event for number, event in enumerate(events)}
        if given:
            filters.append(f"event {operator} ({', '.join(f':{each}' for each in given)})")
            row |= given
    for condition, name, value in (
        ("group_id = :group", "group", query.group),
        ("node_id = :node", "node", query.node),
        ("at >= :since", "since", None if query.since is None else stamp(query.since)),
        ("id > :after", "after", query.after),
        ("id < :before", "before", query.before),
    ):
        if value is not None:
            filters.append(condition)
            row[name] = value
    where = f" WHERE {' AND '.join(filters)}" if filters else ""
    order = "DESC" if query.after is None else "ASC"
    return f"{QUERIES['journal.read']}{where} ORDER BY id {order} LIMIT :limit", row
