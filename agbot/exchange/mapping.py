"""From the Exchange's JSON to the values that rules decide on.

Each function raises `ValueError` when the reply cannot mean what was asked for: another node than the one named, or a time that is not
one. A heartbeat that cannot be read must not become "has never sent one", nor a status without a time one that counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from agbot.exchange import wire
from agbot.exchange.timestamps import ExchangeClock
from agbot.fleet.changes import Change
from agbot.rules.facts import Agreement, Node, NodeType, Policy
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId, group_id, node_id, org_of
from agbot.rules.statuses import Status

Entry = TypeVar("Entry")

_FINAL = {"finalized agreement", "finalized"}
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """One answer of the change feed."""

    changes: tuple[Change, ...]
    most_recent: int
    """The last id that was given out at all or, with `hit_max`, the last row of this page (which may be lower than the id asked for)."""
    hit_max: bool


def nodes(org: OrgId, reply: wire.Nodes, clock: ExchangeClock) -> dict[NodeId, Node]:
    """Map the nodes of an organisation."""
    _only_of(org, reply.nodes)
    return {NodeId(key): _node(NodeId(key), each, clock) for key, each in reply.nodes.items()}


def one_node(node: NodeId, reply: wire.Nodes, clock: ExchangeClock) -> Node | None:
    """Map a single node; an empty reply means that it is not there."""
    entry = _only(node, reply.nodes)
    return None if entry is None else _node(node, entry, clock)


def _node(node: NodeId, entry: wire.Node, clock: ExchangeClock) -> Node:
    versions = entry.software_versions or {}
    intervals = entry.heartbeat_intervals
    return Node(
        id=node,
        group=group_id(org_of(node), entry.ha_group) if entry.ha_group else None,
        node_type=NodeType.CLUSTER if entry.node_type == NodeType.CLUSTER.value else NodeType.DEVICE,
        heartbeat_at=clock.ours(entry.last_heartbeat) if entry.last_heartbeat else None,
        heartbeat_interval_seconds=float((intervals and intervals.max_interval) or 0),
        agent_version=versions.get("horizon") or "",
        registered=bool(entry.public_key),
        arch=entry.arch or "",
        pattern=entry.pattern or "",
    )


def groups(org: OrgId, reply: wire.NodeGroups) -> dict[GroupId, tuple[NodeId, ...]]:
    """Map the groups of an organisation to their members."""
    return {group_id(org, each.name): _members(org, each) for each in reply.node_groups}


def one_group(group: GroupId, reply: wire.NodeGroups) -> tuple[NodeId, ...] | None:
    """Map a single group to its members; an empty reply means that it is not there."""
    org = org_of(group)
    entry = _only(group, {group_id(org, each.name): each for each in reply.node_groups})
    return None if entry is None else _members(org, entry)


def _members(org: OrgId, group: wire.NodeGroup) -> tuple[NodeId, ...]:
    return tuple(node_id(org, name) for name in group.members)


def statuses(reply: wire.ManagementStatuses, clock: ExchangeClock) -> dict[PolicyId, Status]:
    """Map a node's statuses by policy."""
    return {
        PolicyId(key): _status(each.agent_upgrade_policy_status, clock) for key, each in reply.management_status.items()
    }


def _status(entry: wire.AgentUpgradePolicyStatus | None, clock: ExchangeClock) -> Status:
    """Map one status. Without a readable time it could be about an earlier upgrade: its value becomes one that rules do not know."""
    if entry is None:
        return Status(value="(no status)", stamp="", updated_at=_EPOCH)
    stamp = entry.last_updated or ""
    versions = entry.upgraded_versions
    target = (versions and versions.software_version) or ""
    try:
        moment = clock.ours(stamp)
    except ValueError:
        value = f"{entry.status or ''} (its time {stamp!r} is unreadable)"
        return Status(value=value, stamp=stamp, updated_at=_EPOCH, target_version=target)
    return Status(value=entry.status or "", stamp=stamp, updated_at=moment, target_version=target)


def management_policies(org: OrgId, reply: wire.ManagementPolicies, clock: ExchangeClock) -> dict[PolicyId, Policy]:
    """Map the management policies of an organisation."""
    _only_of(org, reply.management_policy)
    return {
        PolicyId(key): _management_policy(PolicyId(key), each, clock) for key, each in reply.management_policy.items()
    }


def one_management_policy(policy: PolicyId, reply: wire.ManagementPolicies, clock: ExchangeClock) -> Policy | None:
    """Map a single management policy; an empty reply means that it is not there."""
    entry = _only(policy, reply.management_policy)
    return None if entry is None else _management_policy(policy, entry, clock)


def _management_policy(policy: PolicyId, entry: wire.ManagementPolicy, clock: ExchangeClock) -> Policy:
    return Policy(
        id=policy,
        enabled=entry.enabled,
        revision=entry.last_updated or "",
        revised_at=_moment(entry.last_updated, clock),
    )


def one_deployment_policy(policy: PolicyId, reply: wire.DeploymentPolicies, clock: ExchangeClock) -> Policy | None:
    """Map a single deployment policy; an empty reply means that it is not there."""
    entry = _only(policy, reply.business_policy)
    return None if entry is None else _deployment_policy(policy, entry, clock)


def deployment_policies(org: OrgId, reply: wire.DeploymentPolicies, clock: ExchangeClock) -> dict[PolicyId, Policy]:
    """Map the deployment policies of an organisation."""
    _only_of(org, reply.business_policy)
    return {
        PolicyId(key): _deployment_policy(PolicyId(key), each, clock) for key, each in reply.business_policy.items()
    }


def _deployment_policy(policy: PolicyId, entry: wire.DeploymentPolicy, clock: ExchangeClock) -> Policy:
    service = f"{entry.service.org}/{entry.service.name}"
    arch, revision = entry.service.arch or "", entry.last_updated or ""
    return _deployment(policy, service, entry.service.service_versions, arch=arch, revision=revision, clock=clock)


def one_pattern(pattern: str, reply: wire.Patterns, clock: ExchangeClock) -> tuple[Policy, ...] | None:
    """Map a pattern to one policy for each of its services, named as the agbot names those that it makes of it (`agbot-ha.md` 4.1).

    With the pattern's organisation before it, which the agbot leaves out (W18). An empty reply means that there is no such pattern.
    """
    entry = _only(pattern, reply.patterns)
    if entry is None:
        return None
    return tuple(
        replace(
            _deployment(
                PolicyId(f"{pattern}_{_as_in_names(each.service_url)}_{each.service_orgid}_{each.service_arch or ''}"),
                f"{each.service_orgid}/{each.service_url}",
                each.service_versions,
                arch=each.service_arch or "",
                revision=entry.last_updated or "",
                clock=clock,
            ),
            pattern=pattern,
        )
        for each in entry.services
        if not each.agreement_less
    )


def _as_in_names(url: str) -> str:
    """Write a service's URL as the agbot does in the names of policies: what comes after `scheme://`, with `-` for each slash."""
    pieces = url.split("/", 2)
    whole = pieces[2].removesuffix("/") if len(pieces) > 2 else url  # noqa: PLR2004 - scheme, nothing, the rest
    return whole.replace("/", "-")


def _deployment(
    policy: PolicyId,
    service: str,
    choices: Iterable[wire.ServiceVersion] | None,
    *,
    arch: str,
    revision: str,
    clock: ExchangeClock,
) -> Policy:
    versions = tuple(choice.version for choice in sorted(choices or (), key=_rank))
    revised_at = _moment(revision, clock)
    return Policy(
        id=policy,
        revision=revision,
        revised_at=revised_at,
        service=service,
        arch=arch,
        top_version=versions[0] if versions else "",
        versions=versions,
        versions_at=revised_at,
    )


def _rank(choice: wire.ServiceVersion) -> tuple[bool, int]:
    """Give the order in which versions are tried: the lowest priority value first; one without any comes after those that have it."""
    value = choice.priority.priority_value if choice.priority else None
    return (value is None, value or 0)


def agreements(reply: wire.Agreements, status: wire.NodeStatus | None, clock: ExchangeClock) -> tuple[Agreement, ...]:
    """Merge a node's agreements with what its status says of their containers, in order of id."""
    running: dict[str, list[wire.RunningService]] = {}
    for each in (status and status.services) or ():
        running.setdefault(each.agreement_id or "", []).append(each)
    return tuple(_agreement(key, entry, running.get(key, ()), clock) for key, entry in sorted(reply.agreements.items()))


def _agreement(
    key: str, entry: wire.Agreement, running: Iterable[wire.RunningService], clock: ExchangeClock
) -> Agreement:
    reported = list(running)
    service = _service(entry.agr_service.orgid, entry.agr_service.url) if entry.agr_service else ""
    if not service and reported:
        service = _service(reported[0].orgid, reported[0].service_url)
    matching = [each for each in reported if _service(each.orgid, each.service_url) == service]
    own = matching[0] if matching else reported[0] if len(reported) == 1 else None
    return Agreement(
        id=key,
        service=service,
        finalized=(entry.state or "").lower() in _FINAL,
        version=(own and own.version) or "",
        containers=tuple(box.state or "" for each in reported for box in each.container_status or ()),
        updated_at=_moment(entry.last_updated, clock),
    )


def properties(reply: wire.NodePolicy) -> dict[str, str]:
    """Map the properties of a node policy to texts. Those for everything win over those for management or deployment alone."""
    sections = (each.properties for each in (reply.deployment, reply.management) if each is not None)
    found = [each for listed in (*sections, reply.properties) for each in listed or ()]
    return {each.name: _text(each.value) for each in found if each.name and each.value is not None}


def _text(value: object) -> str:
    """Write a property's value as `hzn` takes it: truths as true and false, lists with commas."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(_text(each) for each in value) if isinstance(value, list) else str(value)


def _moment(stamp: str | None, clock: ExchangeClock) -> datetime | None:
    """Read a time on which little hangs: without one, an agreement is never taken for a new one, nor a policy for a changed one."""
    try:
        return clock.ours(stamp or "")
    except ValueError:
        return None


def _service(org: str | None, url: str | None) -> str:
    """Qualify a service: agents write `org/url` into agreements and the bare url into the status. An old url may begin `https://`."""
    first, slash, _ = (url or "").partition("/")
    if not url or not org or (slash and first and not first.endswith(":")):
        return url or ""
    return f"{org}/{url}"


def served_orgs(policies: wire.ServedPolicies, patterns: wire.ServedPatterns) -> frozenset[OrgId]:
    """Return the organisations an agbot serves: those of the policies and patterns, and those of the nodes.

    An Exchange that was not told the nodes' organisation stores the policy's name in its place (`exchange-api.md` 4.3); the key, which
    ends in the right one, tells.
    """
    found = {each.business_pol_orgid for each in policies.business_pols.values()}
    found |= {each.pattern_orgid for each in patterns.patterns.values()}
    found |= {each.node_orgid for key, each in policies.business_pols.items() if key.endswith(f"_{each.node_orgid}")}
    found |= {each.node_orgid for key, each in patterns.patterns.items() if key.endswith(f"_{each.node_orgid}")}
    return frozenset(OrgId(org) for org in found if org and org != "*")


def has_agbot(agbot: str, reply: wire.Agbots) -> bool:
    """Tell whether the reply holds this agbot; an empty one means that it is not there."""
    return _only(agbot, reply.agbots) is not None


def page(reply: wire.ChangesPage, clock: ExchangeClock) -> FeedPage:
    """Map one page of the change feed. `at` of a change is when its latest row was written, on the coordinator's clock."""
    changes = tuple(_change(each, clock) for each in reply.changes)
    return FeedPage(changes=changes, most_recent=reply.most_recent_change_id, hit_max=reply.hit_max_records)


def _change(group: wire.ChangeGroup, clock: ExchangeClock) -> Change:
    if not group.resource_changes:
        message = f"the change of {group.resource} {group.org_id}/{group.id} has no rows"
        raise ValueError(message)
    rows = sorted(group.resource_changes, key=lambda row: row.change_id)
    return Change(
        org=OrgId(group.org_id),
        resource=group.resource,
        id=group.id,
        operation=group.operation,
        change_ids=tuple(row.change_id for row in rows),
        at=clock.ours(rows[-1].last_updated),
    )


def _only(wanted: str, found: Mapping[str, Entry]) -> Entry | None:
    """Return the one entry that was asked for, None from an empty reply."""
    if found and wanted not in found:
        message = f"it is about {', '.join(sorted(found)[:3])}, not about {wanted}"
        raise ValueError(message)
    return found.get(wanted)


def _only_of(org: OrgId, found: Iterable[str]) -> None:
    strange = next((key for key in found if org_of(key) != org), None)
    if strange is not None:
        message = f"it is about {strange}, which is not in organisation {org}"
        raise ValueError(message)
