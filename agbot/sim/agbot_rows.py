"""The two tables by which the real agbot keeps members of a group apart: one database, shared by every agbot of the hub.

`ha_workload_upgrade` has a row per group and deployment policy, `ha_group_updates` one per group (`agbot-ha.md` 3.2 and 3.3). Neither
knows of the other, of time, or of a node that died: what is not deleted stays. Names are those that the tables really hold: the
node and policy of a service row qualified, those of an agent row bare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Doc = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRow:
    """A service upgrade under way: `policy` is `org/name` (for a pattern `{pattern}_{url}_{org}_{arch}`), `node` is `org/id`."""

    org: str
    group: str
    policy: str
    node: str

    def shown(self) -> Doc:
        """Return the row as the local API shows it."""
        return {"groupName": self.group, "orgId": self.org, "policyName": self.policy, "nodeId": self.node}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRow:
    """An agent upgrade that the agbot permitted: bare names."""

    org: str
    group: str
    node: str
    nmp: str

    def shown(self) -> Doc:
        """Return the row as the local API shows it."""
        return {"groupName": self.group, "orgId": self.org, "nodeId": self.node, "nmpName": self.nmp}


class AgbotRows:
    """The database. Nothing makes its rows unique, and nothing removes them by itself."""

    def __init__(self) -> None:
        """Start with empty tables."""
        self.services: list[ServiceRow] = []
        self.agents: list[AgentRow] = []
        self.on_gone: Callable[[AgentRow | ServiceRow], None] = _nobody_watches
        """Is told of every row that is deleted."""

    def claim_service(self, wanted: ServiceRow) -> bool:
        """Insert a row unless its group and policy have one, and say whether it was inserted.

        A row that names the very node counts as anybody else's: an agbot goes on only with a row that it has just won (W2, W4).
        """
        if self.has_service(wanted.org, wanted.group, wanted.policy):
            return False
        self.services.append(wanted)
        return True

    def has_service(self, org: str, group: str, policy: str) -> bool:
        """Say whether a group and policy have a row, whoever it names."""
        return any((row.org, row.group, row.policy) == (org, group, policy) for row in self.services)

    def end_service(self, node: str, policy: str) -> None:
        """Delete the rows of a node (`org/id`) and policy: it is upgraded."""
        self.keep_services(lambda row: (row.node, row.policy) != (node, policy))

    def claim_agent(self, wanted: AgentRow) -> bool:
        """Insert a row unless its group has one, and say whether the row is exactly the one wanted."""
        there = next((row for row in self.agents if (row.org, row.group) == (wanted.org, wanted.group)), None)
        if there is None:
            self.agents.append(wanted)
        return there is None or there == wanted

    def delete_services(self, org: str = "", group: str = "", policy: str = "") -> None:
        """Delete rows by what is given; without arguments all of them."""
        self.keep_services(lambda row: not _meant(row, org, group, policy))

    def delete_agents(self, org: str = "", group: str = "") -> None:
        """Delete rows by what is given: by group, whoever holds it (A4), or all of them."""
        gone = [row for row in self.agents if _meant(row, org, group)]
        self.agents = [row for row in self.agents if row not in gone]
        for row in gone:
            self.on_gone(row)

    def list_services(self, org: str = "", group: str = "", policy: str = "") -> list[Doc]:
        """Return rows as the local API shows them."""
        return [row.shown() for row in self.services if _meant(row, org, group, policy)]

    def list_agents(self, org: str = "", group: str = "") -> list[Doc]:
        """Return rows as the local API shows them."""
        return [row.shown() for row in self.agents if _meant(row, org, group)]

    def keep_services(self, wanted: Callable[[ServiceRow], bool]) -> None:
        """Delete the service rows that are not wanted."""
        gone = [row for row in self.services if not wanted(row)]
        self.services = [row for row in self.services if wanted(row)]
        for row in gone:
            self.on_gone(row)


def _meant(row: ServiceRow | AgentRow, org: str, group: str, policy: str = "") -> bool:
    wanted = ((org, row.org), (group, row.group), (policy, row.policy if isinstance(row, ServiceRow) else policy))
    return all(given in ("", is_) for given, is_ in wanted)


def _nobody_watches(_row: AgentRow | ServiceRow) -> None:
    """Do nothing."""
