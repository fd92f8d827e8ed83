"""Administration of HA groups with a person's credentials (`exchange-api.md` 1).

Each method is one request, and none is retried: a person sees the answer and decides. What does not
exist is `None` or `False`. A node that is already in a group is `Conflicting`, also if the Exchange
loses a race and answers 500 (`exchange-api.md`, corrections, 6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec

from agbot.exchange import resources, routes, wire
from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import Conflicting
from agbot.exchange.replies import Answered
from agbot.exchange.transport import Reply, Transport
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId, group_id, name_of, org_of

REQUEST_SECONDS = 30.0
"""As in `hzn`; `HZN_HTTP_TIMEOUT` changes it in both."""
_LOST_RACE = b"pk_node_group_assignment"
_GONE = HTTPStatus.NO_CONTENT

Trace = Callable[[str], None]


class ShownGroup(wire.Wire):
    """One HA group, with all fields."""

    name: str
    members: list[str] | None
    description: str | None = ""
    admin: bool = False
    last_updated: str | None = ""


class ShownGroups(wire.Wire):
    """`GET orgs/{org}/hagroups` and `…/hagroups/{name}`, for a person."""

    node_groups: list[ShownGroup]


class RawNodes(wire.Wire):
    """`GET orgs/{org}/nodes` and `…/nodes/{id}` with all fields of a node."""

    nodes: dict[str, dict[str, Any]]


class RawStatuses(wire.Wire):
    """`GET orgs/{org}/nodes/{id}/managementStatus` with all fields."""

    management_status: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HaGroup:
    """An HA group as this caller sees it: a user sees only its own nodes among the members."""

    id: GroupId
    description: str
    members: tuple[str, ...]
    """Names without the organisation."""
    last_updated: str
    is_admins: bool
    """Created by an organisation's admin or by root: users may not change it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """A node as this caller sees it."""

    id: NodeId
    owner: str
    is_cluster: bool
    group: str
    """The name of its HA group without the organisation; empty if it is in none."""
    heartbeat: str
    """In the Exchange's notation; empty if there was none."""
    agent_version: str
    entry: Mapping[str, Any] = field(repr=False)
    """All its fields in the Exchange."""


class Administration:
    """The Exchange, for one person."""

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        *,
        request_seconds: float = REQUEST_SECONDS,
        trace: Trace = lambda _line: None,
    ) -> None:
        """Send requests as `credentials`; `trace` receives every request and its status."""
        self._transport = transport
        self._credentials = credentials
        self._request_seconds = request_seconds
        self._trace = trace

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def version(self) -> str:
        """Return the Exchange's version; it needs no credentials."""
        return (await self._answered("GET", resources.VERSION)).text()

    async def groups(self, org: OrgId) -> tuple[HaGroup, ...]:
        """Return all groups of an organisation, in the Exchange's order (by name)."""
        answered = await self._answered("GET", resources.GROUPS.at(org))
        return answered.read_or_none(ShownGroups, lambda reply: _groups(org, reply)) or ()

    async def group(self, group: GroupId) -> HaGroup | None:
        """Return one group, None if it does not exist."""
        answered = await self._answered("GET", resources.GROUP.at(group))
        found = answered.read_or_none(ShownGroups, lambda reply: _groups(org_of(group), reply)) or ()
        return next((each for each in found if each.id == group), None)

    async def node(self, node: NodeId) -> NodeRecord | None:
        """Return one node, None if it does not exist.

        Raises:
            Forbidden: it is another user's.
        """
        answered = await self._answered("GET", resources.NODE.at(node))
        return (answered.read_or_none(RawNodes, _nodes) or {}).get(node)

    async def nodes(self, org: OrgId) -> Mapping[NodeId, NodeRecord]:
        """Return the nodes of an organisation that this caller may see."""
        answered = await self._answered("GET", resources.NODES.at(org))
        return answered.read_or_none(RawNodes, _nodes) or {}

    async def statuses(self, node: NodeId) -> Mapping[PolicyId, Mapping[str, Any]]:
        """Return the node's statuses in the Exchange by policy."""
        answered = await self._answered("GET", resources.STATUSES.at(node))
        found = answered.read_or_none(RawStatuses, lambda reply: reply.management_status) or {}
        return {PolicyId(policy): entry for policy, entry in found.items()}

    async def management_policies(self, org: OrgId) -> frozenset[PolicyId]:
        """Return the names of the node management policies of an organisation."""
        answered = await self._answered("GET", resources.MANAGEMENT_POLICIES.at(org))
        found = answered.read_or_none(wire.ManagementPolicies, lambda reply: reply.management_policy) or {}
        return frozenset(map(PolicyId, found))

    async def create_group(self, group: GroupId, description: str, members: Sequence[str]) -> None:
        """Create a group.

        Raises:
            Conflicting: the group exists, or a node is in another one.
        """
        body = {"description": description, "members": list(members)}
        await self._write("POST", resources.GROUP.at(group), body)

    async def replace_group(self, group: GroupId, description: str, members: Sequence[str]) -> None:
        """Replace a group's description and all its members.

        Raises:
            Conflicting: a node is in another group.
        """
        body = {"description": description, "members": list(members)}
        await self._write("PUT", resources.GROUP.at(group), body)

    async def delete_group(self, group: GroupId) -> bool:
        """Delete a group; False if there was none."""
        return await self._delete(resources.GROUP.at(group))

    async def add_member(self, group: GroupId, node: NodeId) -> None:
        """Add a node to a group.

        Raises:
            Conflicting: it is in a group already, perhaps this one.
        """
        await self._write("POST", routes.path(resources.MEMBER, (org_of(group), name_of(group), name_of(node))), None)

    async def remove_member(self, group: GroupId, node: NodeId) -> bool:
        """Remove a node from a group; False if it was not in it."""
        return await self._delete(routes.path(resources.MEMBER, (org_of(group), name_of(group), name_of(node))))

    async def _delete(self, path: str) -> bool:
        reply = await self._send("DELETE", path, None)
        if reply.status == _GONE:
            return True  # 204, and without a body that could be decoded
        found = Answered("DELETE", path, self._credentials, reply)
        return found.read_or_none(wire.ApiResponse, lambda _reply: True) or False

    async def _write(self, method: str, path: str, body: object) -> None:
        reply = await self._send(method, path, None if body is None else msgspec.json.encode(body))
        # the Exchange checks and then inserts: the loser of a race gets a 500 with the constraint's
        # name
        lost_race = reply.status == HTTPStatus.INTERNAL_SERVER_ERROR and _LOST_RACE in reply.body
        if reply.status == HTTPStatus.CONFLICT or lost_race:
            message = "a node was added to a group at the same time" if lost_race else _message(reply)
            raise Conflicting(method, path, message, "check the group and its nodes again", status=reply.status)
        Answered(method, path, self._credentials, reply).text()

    async def _answered(self, method: str, path: str) -> Answered:
        return Answered(method, path, self._credentials, await self._send(method, path, None))

    async def _send(self, method: str, path: str, body: bytes | None) -> Reply:
        self._trace(f"{method} {path}")
        reply = await self._transport.request(
            method,
            path,
            credentials=None if path == resources.VERSION else self._credentials,
            body=body,
            timeout_seconds=self._request_seconds,
        )
        self._trace(f"{method} {path}: {reply.status}")
        return reply


def _groups(org: OrgId, reply: ShownGroups) -> tuple[HaGroup, ...]:
    return tuple(
        HaGroup(
            id=group_id(org, each.name),
            description=each.description or "",
            members=tuple(each.members or ()),
            last_updated=each.last_updated or "",
            is_admins=each.admin,
        )
        for each in reply.node_groups
    )


def _nodes(reply: RawNodes) -> dict[NodeId, NodeRecord]:
    return {NodeId(key): _node(NodeId(key), entry) for key, entry in reply.nodes.items()}


def _node(node: NodeId, entry: Mapping[str, Any]) -> NodeRecord:
    versions = entry.get("softwareVersions") or {}
    return NodeRecord(
        id=node,
        owner=str(entry.get("owner") or ""),
        is_cluster=entry.get("nodeType") == "cluster",
        group=str(entry.get("ha_group") or ""),
        heartbeat=str(entry.get("lastHeartbeat") or ""),
        agent_version=str(versions.get("horizon") or "") if isinstance(versions, dict) else "",
        entry=entry,
    )


def _message(reply: Reply) -> str:
    """Return the Exchange's own message, in the language of its host."""
    try:
        return msgspec.json.decode(reply.body, type=wire.ApiResponse).msg
    except ValueError:
        return f"the answer is {reply.status}"
