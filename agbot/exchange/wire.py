"""The Exchange's JSON, as far as we read and write it (`exchange-api.md` 1 to 4, and the recorded replies).

Tolerant where nothing hangs on it: unknown fields are skipped, optional ones may be missing or null. Strict where "missing" could be taken
for "gone": a reply without its collection, or a node without the keys that every Exchange writes (`ha_group`, `lastHeartbeat`,
`publicKey`, null when unset), is not decoded at all. Collections hold their entries undecoded: one that
cannot be read must not hide the others (`entries`). Only `mapping` and `policy_mapping` turn these into values of the domain.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Wire(msgspec.Struct, rename="camel"):
    """What every wire type shares: field names in camel case."""


class ApiResponse(Wire):
    """Success or failure of anything that is not a collection; `code` is localized, so nothing depends on it."""

    code: str
    msg: str


class HeartbeatIntervals(Wire):
    """Seconds; 0 when the node has none of its own."""

    max_interval: float | None = 0


class Node(Wire):
    """One entry of `nodes`."""

    last_heartbeat: str | None
    public_key: str | None
    ha_group: str | None = msgspec.field(name="ha_group")
    node_type: str | None = ""
    arch: str | None = ""
    pattern: str | None = ""
    software_versions: dict[str, str | None] | None = None
    heartbeat_intervals: HeartbeatIntervals | None = None


class Nodes(Wire):
    """`GET orgs/{org}/nodes` and `…/nodes/{id}`."""

    nodes: dict[str, msgspec.Raw]


class GroupName(Wire):
    """What tells which HA group an entry is about."""

    name: str


class NodeGroup(Wire):
    """One HA group; `members` are names without the organisation."""

    name: str
    members: list[str]


class NodeGroups(Wire):
    """`GET orgs/{org}/hagroups` and `…/hagroups/{name}`: both a list."""

    node_groups: list[msgspec.Raw]


class ShownGroup(Wire):
    """One HA group as it is shown to a person."""

    name: str
    members: list[str] | None
    description: str | None = ""
    admin: bool = False
    last_updated: str | None = ""


class ShownGroups(Wire):
    """`GET orgs/{org}/hagroups` and `…/hagroups/{name}`, for a person."""

    node_groups: list[ShownGroup]


class RawNodes(Wire):
    """`GET orgs/{org}/nodes` and `…/nodes/{id}` with everything that the Exchange says of a node."""

    nodes: dict[str, dict[str, Any]]


class RawStatuses(Wire):
    """`GET orgs/{org}/nodes/{id}/managementStatus` with everything that the Exchange says."""

    management_status: dict[str, dict[str, Any]]


class UpgradedVersions(Wire):
    """What the agent read from the policy's manifest."""

    software_version: str | None = ""
    cert_version: str | None = ""
    config_version: str | None = ""


class AgentUpgradePolicyStatus(Wire):
    """How far an agent upgrade is."""

    status: str | None = ""
    last_updated: str | None = ""
    upgraded_versions: UpgradedVersions | None = None


class PolicyStatus(Wire):
    """One entry of `managementStatus`."""

    agent_upgrade_policy_status: AgentUpgradePolicyStatus | None = None


class ManagementStatuses(Wire):
    """`GET orgs/{org}/nodes/{id}/managementStatus`."""

    management_status: dict[str, msgspec.Raw]


class ManagementPolicy(Wire):
    """One entry of `managementPolicy`."""

    enabled: bool
    last_updated: str | None = ""


class ManagementPolicies(Wire):
    """`GET orgs/{org}/managementpolicies` and `…/managementpolicies/{name}`."""

    management_policy: dict[str, msgspec.Raw]


class Priority(msgspec.Struct):
    """Rollback order; written in snake case on the wire, 1 is the highest."""

    priority_value: int | None = None


class ServiceVersion(Wire):
    """One choice of version."""

    version: str
    priority: Priority | None = None


class ServiceChoice(Wire):
    """The service of a deployment policy."""

    name: str
    org: str
    arch: str | None = ""
    service_versions: list[ServiceVersion] | None = None


class DeploymentPolicy(Wire):
    """One entry of `businessPolicy`."""

    service: ServiceChoice
    last_updated: str | None = ""


class DeploymentPolicies(Wire):
    """`GET orgs/{org}/business/policies/{name}`."""

    business_policy: dict[str, msgspec.Raw]


class PatternService(Wire):
    """One service of a pattern; one without agreements runs beside the others and is no subject of an upgrade."""

    service_url: str
    service_orgid: str
    service_arch: str | None = ""
    agreement_less: bool | None = False
    service_versions: list[ServiceVersion] | None = None


class Pattern(Wire):
    """One entry of `patterns`."""

    services: list[PatternService]
    last_updated: str | None = ""


class Patterns(Wire):
    """`GET orgs/{org}/patterns/{name}` (`table/deploymentpattern/` of the Exchange; the recording shows the same services as written)."""

    patterns: dict[str, Pattern]


class AgreementService(Wire):
    """The service an agreement is for; agents write `url` as `org/url`."""

    url: str | None = ""
    orgid: str | None = ""


class Agreement(Wire):
    """One entry of a node's `agreements`."""

    agr_service: AgreementService | None = None
    state: str | None = ""
    last_updated: str | None = ""


class Agreements(Wire):
    """`GET orgs/{org}/nodes/{id}/agreements`."""

    agreements: dict[str, Agreement]


class Container(Wire):
    """One container."""

    state: str | None = ""


class RunningService(Wire):
    """One service that the node reports; one that belongs to no agreement has an empty `agreementId`."""

    agreement_id: str | None = ""
    service_url: str | None = ""
    orgid: str | None = ""
    version: str | None = ""
    container_status: list[Container] | None = None


class NodeStatus(Wire):
    """`GET orgs/{org}/nodes/{id}/status`."""

    services: list[RunningService] | None


class Property(Wire):
    """One property; `value` is a text, a number, a truth or a list of texts."""

    name: str | None = ""
    value: Any = None


class Properties(Wire):
    """The part of a node policy that is for deployment, or for management, alone."""

    properties: list[Property] | None = None


class NodePolicy(Wire):
    """`GET orgs/{org}/nodes/{id}/policy`; `properties` are for both."""

    properties: list[Property] | None
    deployment: Properties | None = None
    management: Properties | None = None


class Orgs(Wire):
    """`GET orgs/{org}`; nothing in an entry is needed."""

    orgs: dict[str, msgspec.Raw]


class Agbots(Wire):
    """`GET orgs/{org}/agbots/{id}`; nothing in an entry is needed."""

    agbots: dict[str, msgspec.Raw]


class Agbot(Wire):
    """One entry of `Agbots`, as far as it tells the Exchange's time."""

    last_heartbeat: str | None = None


class ServedPolicy(Wire):
    """One entry of `businessPols`."""

    business_pol_orgid: str | None = ""
    node_orgid: str | None = ""


class ServedPolicies(Wire):
    """`GET orgs/{org}/agbots/{id}/businesspols`."""

    business_pols: dict[str, msgspec.Raw]


class ServedPattern(Wire):
    """One entry of `patterns`."""

    pattern_orgid: str | None = ""
    node_orgid: str | None = ""


class ServedPatterns(Wire):
    """`GET orgs/{org}/agbots/{id}/patterns`."""

    patterns: dict[str, msgspec.Raw]


class MaxChangeId(Wire):
    """`GET changes/maxchangeid`."""

    max_change_id: int


class ChangeRow(Wire):
    """One row of the change log."""

    change_id: int
    last_updated: str


class ChangeGroup(Wire):
    """The rows of one resource, with the operation of the latest; `id` is the name without the organisation."""

    org_id: str
    resource: str
    id: str
    operation: str
    resource_changes: list[ChangeRow]


class ChangesPage(Wire):
    """The answer of `POST orgs/{org}/changes`."""

    changes: list[msgspec.Raw]
    most_recent_change_id: int
    hit_max_records: bool


class ChangesRequest(Wire, omit_defaults=True):
    """The question of `POST orgs/{org}/changes`. An unknown field would be a 400; a missing `maxRecords` counts as 0 (no rows)."""

    change_id: int
    max_records: int
    org_list: list[str] | None = None
    last_updated: str | None = None
