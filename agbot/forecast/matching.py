"""Whether a node management policy is for a node, as far as that is plain from what was read. Pure.

Agents evaluate constraints, a language of its own. Only `name == value`, joined by `&&` or `AND`,
is evaluated here; of any other constraint it is not known which nodes it is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from agbot.exchange.policy_mapping import Aim
from agbot.rules.facts import Node

_AND: Final = re.compile(r"\s*(?:&&|\bAND\b)\s*")
_EQUAL: Final = re.compile(r"([\w.@/-]+)\s*(?:==|=)\s*(\"[^\"]*\"|'[^']*'|[\w.@/-]+)")


def is_for(aim: Aim, node: Node, properties: Mapping[str, str]) -> bool | None:
    """Return whether the policy is for a node; None if that is not plain."""
    if aim.patterns:
        return node.pattern in aim.patterns
    return _all(_holds(each, properties) for each in aim.constraints)


def _holds(constraint: str, properties: Mapping[str, str]) -> bool | None:
    return _all(_equal(clause, properties) for clause in _AND.split(constraint.strip()))


def _equal(clause: str, properties: Mapping[str, str]) -> bool | None:
    found = _EQUAL.fullmatch(clause)
    return None if found is None else properties.get(found[1]) == found[2].strip("\"'")


def _all(answers: Iterable[bool | None]) -> bool | None:
    """Return whether all hold; None if that is not plain."""
    found = list(answers)
    # one that does not hold decides, also beside one that is not plain
    return False if False in found else None if None in found else True
