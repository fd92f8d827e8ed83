"""The resources of the Exchange, one row each: path, reply, what it fills, what outdates it.

A new resource is a row here, a struct in `wire` and a function in `mapping` (or `policy_mapping`).
The client requests by the row, the reader uses what `fills` the picture, rows of the feed become
reads through `rows`, and requests are counted under their template.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import msgspec

from agbot.exchange import mapping, policy_mapping, routes, wire
from agbot.exchange.timestamps import ExchangeClock
from agbot.fleet.changes import CREATED, DELETED, Change, Read, What
from agbot.fleet.garbled import Garbled
from agbot.rules.facts import Node, Policy
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId, name_of, org_of
from agbot.rules.statuses import Status

Reply = TypeVar("Reply", bound=msgspec.Struct)
Value = TypeVar("Value")

VERSION = "/admin/version"
"""Plain text, which needs no credentials."""
MAX_CHANGE_ID = "/changes/maxchangeid"
CHANGES = "/orgs/{org}/changes"
MEMBER = "/orgs/{org}/hagroups/{group}/nodes/{node}"
OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource(Generic[Reply, Value]):
    """One resource. Only those that fill the picture have feed rows."""

    path: str
    """Below `/v1`, with a placeholder for each id."""
    reply: type[Reply]
    meaning: Callable[[str, Reply, ExchangeClock], Value]
    """The value of a reply for the requested id."""
    absent: Value
    """The value if there is none."""
    fills: What | None = None
    rows: tuple[str, ...] = ()
    """The names of the feed's rows that outdate it."""
    is_ended_by_its_row: bool = False
    """Whether a row `deleted` means that the resource itself is gone."""
    goes_with_node: bool = False
    """Whether it is gone or replaced with its node, without a row of its own."""
    is_list: bool = False
    """Whether it is a list of an organisation; the others are about one thing."""

    def at(self, key: str) -> str:
        """Return the path of the resource `org/name`, or of an organisation's list.

        Raises:
            ValueError: the name is empty.
        """
        return routes.path(self.path, (org_of(key), name_of(key)))


ORG: Resource[wire.Orgs, bool] = Resource(
    path="/orgs/{org}",
    reply=wire.Orgs,
    meaning=lambda org, reply, _: org in reply.orgs,
    absent=False,
)
GROUPS: Resource[wire.NodeGroups, Mapping[GroupId, tuple[NodeId, ...] | Garbled]] = Resource(
    path="/orgs/{org}/hagroups",
    reply=wire.NodeGroups,
    meaning=lambda org, reply, _: mapping.groups(OrgId(org), reply),
    absent={},
    fills=What.ORG,
    is_list=True,
)
GROUP: Resource[wire.NodeGroups, tuple[NodeId, ...] | None] = Resource(
    path="/orgs/{org}/hagroups/{group}",
    reply=wire.NodeGroups,
    meaning=lambda group, reply, _: mapping.one_group(GroupId(group), reply),
    absent=None,
    fills=What.GROUP,
    rows=("ha_group",),
    is_ended_by_its_row=True,
)
NODES: Resource[wire.Nodes, Mapping[NodeId, Node | Garbled]] = Resource(
    path="/orgs/{org}/nodes",
    reply=wire.Nodes,
    meaning=lambda org, reply, clock: mapping.nodes(OrgId(org), reply, clock),
    absent={},
    fills=What.ORG,
    is_list=True,
)
NODE: Resource[wire.Nodes, Node | None] = Resource(
    path="/orgs/{org}/nodes/{node}",
    reply=wire.Nodes,
    meaning=lambda node, reply, clock: mapping.one_node(NodeId(node), reply, clock),
    absent=None,
    fills=What.NODE,
    rows=("node",),
    is_ended_by_its_row=True,
    goes_with_node=True,
)
STATUSES: Resource[wire.ManagementStatuses, Mapping[PolicyId, Status]] = Resource(
    path="/orgs/{org}/nodes/{node}/managementStatus",
    reply=wire.ManagementStatuses,
    meaning=lambda _, reply, clock: mapping.statuses(reply, clock),
    absent={},
    fills=What.STATUSES,
    rows=("nodemgmtpolstatus",),
    goes_with_node=True,
)
AGREEMENTS: Resource[wire.Agreements, wire.Agreements] = Resource(
    path="/orgs/{org}/nodes/{node}/agreements",
    reply=wire.Agreements,
    meaning=lambda _, reply, __: reply,  # with `CONTAINERS` of the same node
    absent=wire.Agreements(agreements={}),
    fills=What.AGREEMENTS,
    rows=("nodeagreements", "nodestatus"),
    goes_with_node=True,
)
CONTAINERS: Resource[wire.NodeStatus, wire.NodeStatus | None] = Resource(
    path="/orgs/{org}/nodes/{node}/status",
    reply=wire.NodeStatus,
    meaning=lambda _, reply, __: reply,
    absent=None,
)
PROPERTIES: Resource[wire.NodePolicy, Mapping[str, str]] = Resource(
    # needs the same permission as the node (`route/node/Policy.scala` of the Exchange)
    path="/orgs/{org}/nodes/{node}/policy",
    reply=wire.NodePolicy,
    meaning=lambda _, reply, __: mapping.properties(reply),
    absent={},
    fills=What.PROPERTIES,
    rows=("nodepolicies",),
    goes_with_node=True,
)
MANAGEMENT_POLICY: Resource[wire.ManagementPolicies, Policy | None] = Resource(
    path="/orgs/{org}/managementpolicies/{policy}",
    reply=wire.ManagementPolicies,
    meaning=lambda policy, reply, clock: policy_mapping.one_management_policy(PolicyId(policy), reply, clock),
    absent=None,
    fills=What.MANAGEMENT_POLICY,
    rows=("mgmtpolicy",),
    is_ended_by_its_row=True,
)
MANAGEMENT_POLICIES: Resource[wire.ManagementPolicies, Mapping[PolicyId, policy_mapping.Aim | Garbled]] = Resource(
    path="/orgs/{org}/managementpolicies",
    reply=wire.ManagementPolicies,
    meaning=lambda org, reply, clock: policy_mapping.aims(OrgId(org), reply, clock),
    absent={},
    is_list=True,
)
DEPLOYMENT_POLICIES: Resource[wire.DeploymentPolicies, Mapping[PolicyId, Policy | Garbled]] = Resource(
    path="/orgs/{org}/business/policies",
    reply=wire.DeploymentPolicies,
    meaning=lambda org, reply, clock: policy_mapping.deployment_policies(OrgId(org), reply, clock),
    absent={},
    is_list=True,
)
DEPLOYMENT_POLICY: Resource[wire.DeploymentPolicies, Policy | None] = Resource(
    path="/orgs/{org}/business/policies/{policy}",
    reply=wire.DeploymentPolicies,
    meaning=lambda policy, reply, clock: policy_mapping.one_deployment_policy(PolicyId(policy), reply, clock),
    absent=None,
    fills=What.DEPLOYMENT_POLICY,
    rows=("policy",),
    is_ended_by_its_row=True,
)
PATTERN: Resource[wire.Patterns, tuple[Policy, ...] | None] = Resource(
    path="/orgs/{org}/patterns/{pattern}",
    reply=wire.Patterns,
    meaning=policy_mapping.one_pattern,
    absent=None,
    fills=What.PATTERN,
    rows=("pattern",),
    is_ended_by_its_row=True,
)
AGBOT: Resource[wire.Agbots, bool] = Resource(
    path="/orgs/{org}/agbots/{agbot}",
    reply=wire.Agbots,
    meaning=lambda agbot, reply, _: mapping.has_agbot(agbot, reply),
    absent=False,
)
SERVED_POLICIES: Resource[wire.ServedPolicies, wire.ServedPolicies] = Resource(
    path="/orgs/{org}/agbots/{agbot}/businesspols",
    reply=wire.ServedPolicies,
    meaning=lambda _, reply, __: reply,
    absent=wire.ServedPolicies(business_pols={}),
    is_list=True,
)
SERVED_PATTERNS: Resource[wire.ServedPatterns, wire.ServedPatterns] = Resource(
    path="/orgs/{org}/agbots/{agbot}/patterns",
    reply=wire.ServedPatterns,
    meaning=lambda _, reply, __: reply,
    absent=wire.ServedPatterns(patterns={}),
    is_list=True,
)

ALL: tuple[Resource[Any, Any], ...] = (
    *(ORG, GROUPS, GROUP, NODES, NODE, STATUSES, AGREEMENTS, CONTAINERS, PROPERTIES),
    *(MANAGEMENT_POLICY, DEPLOYMENT_POLICY, PATTERN, AGBOT, SERVED_POLICIES, SERVED_PATTERNS),
    *(MANAGEMENT_POLICIES, DEPLOYMENT_POLICIES),
)
BY_WHAT: Mapping[What, Resource[Any, Any]] = MappingProxyType(
    {each.fills: each for each in ALL if each.fills is not None and each.fills is not What.ORG}
)
"""The resource that fills each part of the picture; an organisation has two lists."""

_TEMPLATES = (VERSION, MAX_CHANGE_ID, CHANGES, MEMBER, *(each.path for each in ALL))
_LISTS = frozenset({CHANGES, *(each.path for each in ALL if each.is_list)})
_BY_ROW: Mapping[str, Resource[Any, Any]] = MappingProxyType({row: each for each in ALL for row in each.rows})
_WITH_NODE = tuple(each.fills for each in ALL if each.goes_with_node and each.fills is not None)
_PATH = re.compile("|".join(f"({routes.PLACEHOLDER.sub('[^/]*', each)})" for each in _TEMPLATES))
"""Each template is a group of its own."""


def template(path: str) -> str:
    """Return the template of a path, `other` for an unknown one."""
    found = _PATH.fullmatch(path.partition("?")[0])
    return OTHER if found is None or found.lastindex is None else _TEMPLATES[found.lastindex - 1]


def is_list(path: str) -> bool:
    """Whether the answer is a list of an organisation."""
    return template(path) in _LISTS


def change(
    org: OrgId,
    resource: str,
    name: str,
    operation: str,
    *,
    change_ids: tuple[int, ...] = (),
    at: datetime | None = None,
) -> Change:
    """Return which reads a row of the feed outdates, and which of them are about something deleted.

    A row that is not in the table is about nothing that is kept. Heartbeats make no rows
    (`exchange-api.md` 4.4).
    """
    # the id of a deployment policy may include the organisation
    key, known = (name if name.startswith(f"{org}/") else f"{org}/{name}"), _BY_ROW.get(resource)
    whats: tuple[What, ...] = () if known is None or known.fills is None else (known.fills,)
    is_ended = known is not None and known.is_ended_by_its_row and operation == DELETED
    ends = tuple(Read(what=what, id=key) for what in whats) if is_ended else ()
    # a node takes its statuses and agreements with it without rows, and a new one of its name may
    # show a deletion and a creation as `created` alone
    if known is NODE and operation in {CREATED, DELETED}:
        whats = _WITH_NODE
    outdates = tuple(Read(what=what, id=key) for what in whats)
    return Change(
        org=org,
        resource=resource,
        id=name,
        operation=operation,
        outdates=outdates,
        ends=ends,
        change_ids=change_ids,
        at=at,
    )
