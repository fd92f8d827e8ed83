"""The JSON of the agbot's local API, as far as it is read (`agbot-local-api.jsonl`).

Unknown fields are ignored. What could be mistaken for "no upgrade" is an error: a row without one
of its names, or `null` in place of a list (which the agbot prints if its database has failed).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from agbot.rules import ids
from agbot.rules.facts import Row
from agbot.rules.ids import NodeId, PolicyId
from agbot.rules.lease import Kind


class _Wire(msgspec.Struct, rename="camel"):
    """The base of both lists: field names in camel case."""


class ServiceRow(_Wire):
    """One entry of `/ha/upgradingwlu`.

    The node is `org/id`; the policy is `org/name`, or a name alone if it comes from a pattern.
    """

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
    found = msgspec.json.decode(body, type=list[ServiceRow])
    return _rows(Kind.SERVICE, ((row.org_id, row.group_name, row.node_id, row.policy_name) for row in found))


def agent_rows(body: bytes) -> list[Row]:
    """Decode `/ha/upgradingnode`.

    Raises:
        ValueError: it is not that list.
    """
    found = msgspec.json.decode(body, type=list[AgentRow])
    return _rows(Kind.AGENT, ((row.org_id, row.group_name, row.node_id, row.nmp_name) for row in found))


class WorkloadUsage(msgspec.Struct):
    """One entry of `/workloadusage`; its names are those of `WorkloadUsage` in anax.

    The node is `org/id`, the policy as in a service row.
    """

    device_id: str
    policy_name: str
    pending_upgrade_time: int = 0


def waiting_services(body: bytes) -> list[tuple[NodeId, PolicyId]]:
    """Decode from `/workloadusage` the members that wait for a service upgrade, and its policy.

    The agbot notes the time when it begins to wait, and deletes the entry when the upgrade begins.

    Raises:
        ValueError: it is not that list.
    """
    found = msgspec.json.decode(body, type=list[WorkloadUsage])
    return [(NodeId(each.device_id), PolicyId(each.policy_name)) for each in found if each.pending_upgrade_time]


def _rows(kind: Kind, listed: Iterable[tuple[str, str, str, str]]) -> list[Row]:
    """Return the rows of these names."""
    # an agbot with a file database lists an empty one, which no upgrade stands for (A16)
    return [to_row(kind, *names) for names in listed if all(names[:3])]


def to_row(kind: Kind, org: str, group: str, node: str, subject: str) -> Row:
    """Return the row with these names, as the agbot writes them in its lists and its tables."""
    # Those of an agent are bare. A service has qualified names, but its policy has a bare one if a
    # pattern made it: the organisation is then the pattern's, which `rows.claim_of` finds (W18).
    return Row(
        kind=kind,
        group=ids.group_id(org, group),
        node=NodeId(node) if node.startswith(f"{org}/") else ids.node_id(org, node),
        subject=ids.policy_id(org, subject) if kind is Kind.AGENT else PolicyId(subject),
    )


def distinct(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return each row once: the agbot's tables have no unique keys (W14)."""
    return tuple(dict.fromkeys(rows))


def repeated(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return each row that is there more than once (W14)."""
    return tuple(row for row, times in Counter(rows).items() if times > 1)
