"""The state of the simulated Exchange.

It holds organisations, users, nodes, groups, policies, statuses and agreements. Routes change it;
nothing here checks permissions or depends on HTTP. Keys are `(org, id)`. A write that the real
Exchange logs goes through `World.note`, so the change feed and the observers get every one.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agbot.sim.exchange.changelog import ChangeLog
from agbot.sim.exchange.message import Doc
from agbot.sim.exchange.stamp import Stamps
from agbot.sim.exchange.table import Key, Table

MASK = "***************"


@dataclass(slots=True, kw_only=True)
class User:
    """A plain user, an organisation's admin, a hub admin (organisation `root`), or `root/root`."""

    password: str
    admin: bool = False
    hub_admin: bool = False
    email: str = ""
    last_updated: str = ""
    updated_by: str = ""


@dataclass(slots=True, kw_only=True)
class Node:
    """An edge node; `doc` is what GET shows. The group routes keep its `ha_group` up to date."""

    token: str
    owner: str
    doc: Doc


@dataclass(slots=True, kw_only=True)
class Agbot:
    """An agreement bot; `doc` is what GET shows."""

    token: str
    owner: str
    doc: Doc


@dataclass(slots=True, kw_only=True)
class Group:
    """An HA group. `admin` is whether an admin or root created it, and never changes."""

    admin: bool
    description: str | None
    last_updated: str
    members: set[str] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class Owned:
    """A policy, service or pattern: its owner and what GET shows."""

    owner: str
    doc: Doc


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One write, for observers.

    `resource` and `operation` are those of the change feed, or those of a heartbeat (such as
    `node`/`heartbeat`).
    """

    resource: str
    operation: str
    org: str
    id: str
    at: datetime
    data: Doc


class World:
    """The whole state, and the log of changes."""

    def __init__(self) -> None:
        """Start empty, even without the organisations `root` and `IBM`."""
        self.log = ChangeLog()
        self.stamps = Stamps()
        self.orgs: dict[str, Doc] = {}
        self.users: dict[Key, User] = {}
        self.nodes: Table[Node] = Table()
        self.agbots: dict[Key, Agbot] = {}
        self.groups: Table[Group] = Table()
        self.management_policies: Table[Owned] = Table()
        self.business_policies: dict[Key, Owned] = {}
        self.services: dict[Key, Owned] = {}
        self.patterns: dict[Key, Owned] = {}
        self.node_status: dict[Key, Doc] = {}
        self.node_policy: dict[Key, Doc] = {}
        self.management_status: dict[Key, dict[str, Doc]] = {}
        self.node_agreements: dict[Key, dict[str, Doc]] = {}
        self.agbot_agreements: dict[Key, dict[str, Doc]] = {}
        self.served_patterns: dict[Key, dict[str, Doc]] = {}
        self.served_policies: dict[Key, dict[str, Doc]] = {}
        self.agent_files: Doc | None = None
        self._watchers: list[Callable[[Write], None]] = []

    def subscribe(self, watcher: Callable[[Write], None]) -> None:
        """Call `watcher` with every write, in order, after it took effect."""
        self._watchers.append(watcher)

    def note(self, at: datetime, resource: str, operation: str, key: Key, data: Doc | None = None) -> None:
        """Log one write in the change feed and notify the observers."""
        self.log.append(at, key, resource, operation, public=resource == "agentfileversion")
        self.notify(at, resource, operation, key, data)

    def notify(self, at: datetime, resource: str, operation: str, key: Key, data: Doc | None = None) -> None:
        """Notify the observers of a write that makes no change row, such as a heartbeat."""
        if self._watchers:
            write = Write(resource=resource, operation=operation, org=key[0], id=key[1], at=at, data=data or {})
            for watcher in self._watchers:
                watcher(write)

    def drop_node(self, key: Key) -> None:
        """Remove a node and its data. Its group keeps its time, and no group change is logged."""
        group = self.nodes.pop(key).doc["ha_group"]
        if group is not None:
            self.groups[key[0], group].members.discard(key[1])
        for table in (self.node_status, self.node_policy, self.management_status, self.node_agreements):
            table.pop(key, None)

    def drop_management_policy(self, key: Key) -> None:
        """Remove a management policy and every node's status for it. No status change is logged."""
        del self.management_policies[key]
        name = "/".join(key)
        for statuses in self.management_status.values():
            statuses.pop(name, None)

    def drop_user(self, key: Key, at: datetime) -> None:
        """Remove a user, and everything that the user owns with its data. No change is logged."""
        del self.users[key]
        owner = "/".join(key)
        for node in [name for name, node in self.nodes.items() if node.owner == owner]:
            self.drop_node(node)
            self.notify(at, "node", "deleted", node)
        for agbot in [name for name, agbot in self.agbots.items() if agbot.owner == owner]:
            self.drop_agbot(agbot)
        for policy in [name for name, policy in self.management_policies.items() if policy.owner == owner]:
            self.drop_management_policy(policy)
            self.notify(at, "mgmtpolicy", "deleted", policy)
        for table in (self.business_policies, self.patterns, self.services):
            for name in [name for name, owned in table.items() if owned.owner == owner]:
                del table[name]

    def drop_agbot(self, key: Key) -> None:
        """Remove an agbot, its agreements and its served lists. No change of these is logged."""
        del self.agbots[key]
        for table in (self.agbot_agreements, self.served_patterns, self.served_policies):
            table.pop(key, None)

    def drop_org(self, org: str, at: datetime) -> None:
        """Remove an organisation and everything in it."""
        for node in [key for key in self.nodes if key[0] == org]:
            self.drop_node(node)
            self.notify(at, "node", "deleted", node)
        tables: tuple[MutableMapping[Key, Any], ...] = (
            self.users,
            self.nodes,
            self.agbots,
            self.groups,
            self.management_policies,
            self.business_policies,
            self.services,
            self.patterns,
            self.node_status,
            self.node_policy,
            self.management_status,
            self.node_agreements,
            self.agbot_agreements,
            self.served_patterns,
            self.served_policies,
        )
        for table in tables:
            for key in [key for key in table if key[0] == org]:
                del table[key]
        del self.orgs[org]

    def dump(self) -> bytes:
        """Return a copy of the state, without the observers."""
        return pickle.dumps({name: value for name, value in vars(self).items() if name != "_watchers"})

    def restore(self, copy: bytes) -> None:
        """Go back to the state of a copy; the observers stay."""
        vars(self).update(pickle.loads(copy))  # noqa: S301 - a copy of our own making
