"""`GET /openapi.json`: the operators' listener in OpenAPI 3.1, derived from `api`."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from agbot import __version__
from agbot.console.answers import ErrorAnswer
from agbot.console.api import JSON, TEXT, Endpoint

_SCHEMAS: Final = "#/components/schemas/{name}"
_IN_PATH: Final = re.compile(r"\{(\w+)(?::[^}]*)?\}")


@functools.cache
def described(endpoints: tuple[Endpoint[Any], ...]) -> Mapping[str, Any]:
    """Describe these paths."""
    # all at once: a type that two paths answer with gets one schema, under one name
    types = [ErrorAnswer, *(each.answer for each in endpoints), *(each.body for each in endpoints if each.body)]
    schemas, components = msgspec.json.schema_components(types, schema_hook=_open, ref_template=_SCHEMAS)
    known = dict(zip(map(id, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for each in endpoints:
        paths.setdefault(_IN_PATH.sub(r"{\1}", each.path), {})[each.method.lower()] = _operation(each, known)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "agbot, the operators' listener",
            "version": __version__,
            "description": "The upgrade coordinator for HA groups of Open Horizon: what operators read and order.",
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"operator": {"type": "http", "scheme": "bearer"}}},
    }


def _open(kind: type) -> dict[str, Any]:
    """Describe what may be any JSON value: the facts of reasons and events."""
    if kind is object:
        return {"description": "Any JSON value."}
    message = f"no schema for {kind.__name__}"
    raise TypeError(message)


def _operation(each: Endpoint[Any], known: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    names = [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in _IN_PATH.findall(each.path)]
    query = [{"name": name, "in": "query", "schema": schema} for name, schema in each.query.items()]
    done = {
        "description": "Done." if each.method == "POST" else each.does,
        "content": {each.media: {"schema": known[id(each.answer)]}},
    }
    operation: dict[str, Any] = {"summary": each.does, "parameters": [*names, *query], "responses": {"200": done}}
    if each.is_api:
        error = {JSON: {"schema": known[id(ErrorAnswer)]}}
        operation["responses"]["default"] = {"description": "An error, with what to do next.", "content": error}
    if each.body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": known[id(each.body)]}}}
        operation["security"] = [{"operator": []}]
    return operation
