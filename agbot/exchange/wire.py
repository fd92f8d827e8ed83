"""The Exchange's JSON, as far as it is used here (`exchange-api.md` 1 to 4).

Unknown fields are ignored, and optional ones may be missing or null. What could turn "missing" into
"gone" is an error: a reply without its collection, or a node without the keys that every Exchange
writes (`ha_group`, `lastHeartbeat`, `publicKey`, null if unset). Entries of collections stay
undecoded: an unreadable one must not hide the others (`entries`). Only `mapping` and
`policy_mapping` convert these to values of the domain.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Wire(msgspec.Struct, rename="camel"):
    """The base of all wire types: field names in camel case."""


class ApiResponse(Wire):
    """A result that is not a collection; `code` is localised, so nothing depends on it."""

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
    """The part of an entry that names its HA group."""

    name: str


class NodeGroup(Wire):
    """One HA group; `members` are names without the organisation."""

    name: str
    members: list[str]


class NodeGroups(Wire):
    """`GET orgs/{org}/hagroups` and `…/hagroups/{name}`: both a list."""

    node_groups: list[msgspec.Raw]


class UpgradedVersions(Wire):
    """The content of the policy's manifest that the agent has read."""

    software_version: str | None = ""
    cert_version: str | None = ""
    config_version: str | None = ""


class AgentUpgradePolicyStatus(Wire):
    """The progress of an agent upgrade."""

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
    constraints: list[str] | None = None
    patterns: list[str] | None = None
    start: str | None = ""
    start_window: float | None = 0.0


class ManagementPolicies(Wire):
    """`GET orgs/{org}/managementpolicies` and `…/managementpolicies/{name}`."""

    management_policy: dict[str, msgspec.Raw]


class Priority(msgspec.Struct):
    """The rollback order; snake case on the wire, 1 is the highest."""

    priority_value: int | None = None


class ServiceVersion(Wire):
    """One version choice."""

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
    """One service of a pattern; one without agreements is not upgraded by itself."""

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
    """`GET orgs/{org}/patterns/{name}` (`table/deploymentpattern/` of the Exchange; recorded)."""

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
    """One service that the node reports; without an agreement its `agreementId` is empty."""

    agreement_id: str | None = ""
    service_url: str | None = ""
    orgid: str | None = ""
    version: str | None = ""
    container_status: list[Container] | None = None


class NodeStatus(Wire):
    """`GET orgs/{org}/nodes/{id}/status`."""

    services: list[RunningService] | None


class Property(Wire):
    """One property; `value` is a text, a number, a boolean or a list of texts."""

    name: str | None = ""
    value: Any = None


class Properties(Wire):
    """The part of a node policy for deployment or management alone."""

    properties: list[Property] | None = None


class NodePolicy(Wire):
    """`GET orgs/{org}/nodes/{id}/policy`; `properties` are for both."""

    properties: list[Property] | None
    deployment: Properties | None = None
    management: Properties | None = None


class Orgs(Wire):
    """`GET orgs/{org}`; no field of an entry is used."""

    orgs: dict[str, msgspec.Raw]


class Agbots(Wire):
    """`GET orgs/{org}/agbots/{id}`; no field of an entry is used."""

    agbots: dict[str, msgspec.Raw]


class Agbot(Wire):
    """One entry of `Agbots`: only the time of its heartbeat."""

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
