"""Which nodes a policy is for: its constraints against the properties of a node's policy.

The only constraint that is understood is `name == value`, with or without quotes, and all
constraints of a list must hold. That is enough for several policies of one service of which a node
matches one, and for policies that no node matches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def matches(constraints: Iterable[str], properties: Mapping[str, str]) -> bool:
    """Return whether a node with these properties matches."""
    pairs = (constraint.partition("==") for constraint in constraints)
    return all(not equals or properties.get(name.strip()) == _bare(value) for name, equals, value in pairs)


def properties_of(policy: Mapping[str, Any]) -> dict[str, str]:
    """Return the properties of a node's policy as the Exchange shows it."""
    return {str(one.get("name")): str(one.get("value")) for one in policy.get("properties") or []}


def node_policy_body(properties: Mapping[str, str]) -> dict[str, Any]:
    """Return the body of `PUT …/nodes/{id}/policy`."""
    return {"properties": [{"name": name, "value": value} for name, value in properties.items()], "constraints": []}


def _bare(value: str) -> str:
    return value.strip().strip("\"'")
