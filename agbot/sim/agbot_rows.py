"""The two tables in which the real agbots of a hub coordinate the members of a group.

All agbots of the hub share one database. `ha_workload_upgrade` has a row per group and deployment
policy, `ha_group_updates` one per group (`agbot-ha.md` 3.2 and 3.3). Neither takes account of the
other, of time, or of a node that died: a row stays until it is deleted. Names are as in the real
tables: qualified in a service row, bare in an agent row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Doc = dict[str, Any]


class UnexpectedReplyError(Exception):
    """What the database returned is an error to an agbot, which answers its agent with 500."""


class NoDatabaseError(Exception):
    """The database cannot be used for a simulated agbot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRow:
    """A service upgrade under way.

    `policy` is `org/name` (for a pattern `{pattern}_{url}_{org}_{arch}`), `node` is `org/id`.
    """

    org: str
    group: str
    policy: str
    node: str

    def shown(self) -> Doc:
        """Return the row as the local API shows it."""
        return {"groupName": self.group, "orgId": self.org, "policyName": self.policy, "nodeId": self.node}

    def is_selected(self, org: str, group: str, policy: str) -> bool:
        """Whether it is one of these; an empty name selects any."""
        return org in ("", self.org) and group in ("", self.group) and policy in ("", self.policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRow:
    """An agent upgrade that the agbot has permitted. Its names are bare."""

    org: str
    group: str
    node: str
    nmp: str

    def shown(self) -> Doc:
        """Return the row as the local API shows it."""
        return {"groupName": self.group, "orgId": self.org, "nodeId": self.node, "nmpName": self.nmp}

    def is_selected(self, org: str, group: str) -> bool:
        """Whether it is one of these; an empty name selects any."""
        return org in ("", self.org) and group in ("", self.group)


class AgbotRows:
    """The database. It does not enforce unique rows, and it never removes one by itself."""

    def __init__(self) -> None:
        """Start with empty tables."""
        self.services: list[ServiceRow] = []
        self.agents: list[AgentRow] = []
        self.on_deleted: Callable[[AgentRow | ServiceRow], None] = _ignore
        """Called with every row that is deleted."""

    def claim_service(self, wanted: ServiceRow) -> bool:
        """Insert a row unless its group and policy have one; return whether it was inserted.

        A row of the same node counts like a row of any other: an agbot proceeds only with a row
        that it has just inserted (W2, W4).
        """
        if self.has_service(wanted.org, wanted.group, wanted.policy):
            return False
        self.services.append(wanted)
        return True

    def has_service(self, org: str, group: str, policy: str) -> bool:
        """Return whether a group and policy have a row of any node."""
        return any((row.org, row.group, row.policy) == (org, group, policy) for row in self.services)

    def end_service(self, node: str, policy: str) -> None:
        """Delete the rows of a node (`org/id`) and policy, whose upgrade has ended."""
        self.keep_services(lambda row: (row.node, row.policy) != (node, policy))

    def claim_agent(self, wanted: AgentRow) -> bool:
        """Insert a row unless its group has one; return whether the group's row is this one."""
        there = next((row for row in self.agents if (row.org, row.group) == (wanted.org, wanted.group)), None)
        if there is None:
            self.agents.append(wanted)
        return there is None or there == wanted

    def delete_services(self, org: str = "", group: str = "", policy: str = "") -> None:
        """Delete the matching rows; without arguments all of them."""
        self.keep_services(lambda row: not row.is_selected(org, group, policy))

    def delete_agents(self, org: str = "", group: str = "") -> None:
        """Delete the rows of a group, whichever member holds it (A4), or all of them."""
        gone = [row for row in self.agents if row.is_selected(org, group)]
        self.agents = [row for row in self.agents if row not in gone]
        for row in gone:
            self.on_deleted(row)

    def list_services(self, org: str = "", group: str = "", policy: str = "") -> list[Doc]:
        """Return the matching rows as the local API shows them."""
        return [row.shown() for row in self.services if row.is_selected(org, group, policy)]

    def list_agents(self, org: str = "", group: str = "") -> list[Doc]:
        """Return the matching rows as the local API shows them."""
        return [row.shown() for row in self.agents if row.is_selected(org, group)]

    def keep_services(self, wanted: Callable[[ServiceRow], bool]) -> None:
        """Delete the service rows that are not wanted."""
        gone = [row for row in self.services if not wanted(row)]
        self.services = [row for row in self.services if wanted(row)]
        for row in gone:
            self.on_deleted(row)


def _ignore(_row: AgentRow | ServiceRow) -> None:
    """Do nothing."""
