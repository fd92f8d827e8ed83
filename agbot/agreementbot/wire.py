"""The JSON of the agbot's local API, as far as we read it (the recorded `agbot-local-api.jsonl`).

Unknown fields are skipped. Strict where "missing" could be taken for "nobody upgrades": a row without one of its names, or `null` where a
list is due (the agbot prints that where its database failed), is not decoded at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agbot.rules import ids
from agbot.rules.facts import Row
from agbot.rules.ids import NodeId, PolicyId
from agbot.rules.lease import Kind


class _Wire(msgspec.Struct, rename="camel"):
    """What both lists share: field names in camel case."""


class ServiceRow(_Wire):
    """One entry of `/ha/upgradingwlu`. The node is `org/id`; the policy is `org/name`, or a name alone where a pattern made it."""

    group_name: str
    org_id: str
    policy_name: str
    node_id: str


class AgentRow(_Wire):
    """One entry of `/ha/upgradingnode`, with bare names."""

    group_name: str
    org_id: str
    node_id: str
    nmp_name: str


def service_rows(body: bytes) -> list[Row]:
    """Decode `/ha/upgradingwlu`.

    Raises:
        ValueError: it is not that list.
    """
    return [
        Row(
            kind=Kind.SERVICE,
            group=ids.group_id(row.org_id, row.group_name),
            node=_node(row.org_id, row.node_id),
            subject=PolicyId(row.policy_name),
        )
        for row in msgspec.json.decode(body, type=list[ServiceRow])
        if _is_real(row.org_id, row.group_name, row.node_id)
    ]


def agent_rows(body: bytes) -> list[Row]:
    """Decode `/ha/upgradingnode`.

    Raises:
        ValueError: it is not that list.
    """
    return [
        Row(
            kind=Kind.AGENT,
            group=ids.group_id(row.org_id, row.group_name),
            node=_node(row.org_id, row.node_id),
            subject=ids.policy_id(row.org_id, row.nmp_name),
        )
        for row in msgspec.json.decode(body, type=list[AgentRow])
        if _is_real(row.org_id, row.group_name, row.node_id)
    ]


def _is_real(*names: str) -> bool:
    """Leave out the empty row that an agbot on its file database shows for ever (A16)."""
    return all(names)


def _node(org: str, name: str) -> NodeId:
    return NodeId(name) if name.startswith(f"{org}/") else ids.node_id(org, name)


def distinct(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return each row once: the agbot's tables have no unique keys (W14)."""
    return tuple(dict.fromkeys(rows))
