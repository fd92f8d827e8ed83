"""Faults in the content of replies: false statements, and JSON that breaks its reader.

Each fault changes the JSON of one reply and leaves the state of the Exchange as it is. Nodes are
selected by their `org/id`. A reply to which a fault does not apply stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any

from agbot.sim.exchange.message import Reply, dumps
from agbot.sim.faults import Fault, FaultKind

FAR_FUTURE = "9999-12-31T23:59:59.999999999Z"
DEPTH = 5000
"""Deeper than the stack of a recursive parser."""
_DEEP = "<deep>"
_GONE = {"code": "not-found", "msg": "not found"}
_NODE = re.compile(r"^/v1/orgs/([^/]+)/nodes/([^/]+)")
_ONE_NODE = re.compile(r"/nodes/[^/]+$")

Edit = Callable[[Fault, Any, str], None]


def corrupt(fault: Fault, good: Reply, path: str, now: datetime) -> Reply:
    """Return a reply as a fault of one of `KINDS` changes it."""
    if fault.kind is FaultKind.DATE:
        date = format_datetime((now + timedelta(seconds=fault.seconds)).replace(microsecond=0), usegmt=True)
        return replace(good, headers={**good.headers, "Date": date})
    body = _parsed(good)
    if body is None:
        return good
    if fault.kind in (FaultKind.ABSENT, FaultKind.EMPTY):
        is_list_of_nodes = isinstance(body, dict) and path.endswith("/nodes")
        if fault.kind is FaultKind.EMPTY and not is_list_of_nodes:
            return good
        empty = _GONE if _ONE_NODE.search(path) else _emptied(body)
        return _with(replace(good, status=HTTPStatus.NOT_FOUND), dumps(empty))
    _EDITS[fault.kind](fault, body, path)
    return _with(good, dumps(body).replace(json.dumps(_DEEP).encode(), b"[" * DEPTH + b"]" * DEPTH))


def _parsed(reply: Reply) -> Any:
    if reply.status not in (HTTPStatus.OK, HTTPStatus.CREATED):
        return None
    try:
        return reply.json()
    except ValueError:
        return None


def _with(reply: Reply, body: bytes) -> Reply:
    return replace(reply, body=body, headers={**reply.headers, "Content-Length": str(len(body))})


def _emptied(body: Any) -> Any:
    if not isinstance(body, dict):
        return []
    return {name: type(value)() if isinstance(value, dict | list) else value for name, value in body.items()}


def _nodes(fault: Fault, body: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    table = body.get("nodes") if isinstance(body, dict) else None
    if isinstance(table, dict):
        yield from ((name, doc) for name, doc in tuple(table.items()) if re.search(fault.node, name))


def _shorten(fault: Fault, body: Any, path: str) -> None:
    if path.endswith("/nodes"):
        for name, _ in _nodes(fault, body):
            del body["nodes"][name]


def _remove_from_groups(fault: Fault, body: Any, _path: str) -> None:
    for _, doc in _nodes(fault, body):
        doc["ha_group"] = None


def _own_data(fault: Fault, body: Any, path: str) -> Iterator[dict[str, Any]]:
    """Yield the documents of a node's own data: nodes, and what is read below one node."""
    owned = [doc for _, doc in _nodes(fault, body)]
    of_one = _NODE.match(path)
    if not owned and of_one and re.search(fault.node, "/".join(of_one.groups())) and isinstance(body, dict):
        tables = [value for value in body.values() if isinstance(value, dict)]
        owned = [doc for table in tables for doc in table.values() if isinstance(doc, dict)] or [body]
    yield from owned


def _set_far_future(fault: Fault, body: Any, path: str) -> None:
    for doc in _own_data(fault, body, path):
        _stamp(doc)


def _stamp(value: Any) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "lastUpdated":
                value[name] = FAR_FUTURE
            else:
                _stamp(item)


def _nest(fault: Fault, body: Any, path: str) -> None:
    for doc in _own_data(fault, body, path):
        doc["userInput"] = _DEEP


_EDITS: Mapping[FaultKind, Edit] = {
    FaultKind.SHORT: _shorten,
    FaultKind.NO_GROUP: _remove_from_groups,
    FaultKind.FUTURE: _set_far_future,
    FaultKind.NESTED: _nest,
}
KINDS = (FaultKind.ABSENT, FaultKind.EMPTY, *_EDITS, FaultKind.DATE)
"""In the order in which they are applied."""
