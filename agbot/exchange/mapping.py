"""Maps the Exchange's JSON to the values that rules use.

Each function raises `ValueError` if the reply is not what was requested: it is about another node,
or a time is invalid. In a list such an entry is `Garbled`, and the others are valid. An unreadable
heartbeat must not become "has never sent one", nor a status without a time one that counts. Texts
that thousands of nodes share (ids, versions, statuses) are interned: one copy is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from sys import intern

import msgspec

from agbot.exchange import timestamps, wire
from agbot.exchange.entries import entry, needed, only, only_of
from agbot.exchange.timestamps import ExchangeClock
from agbot.fleet.garbled import Garbled
from agbot.rules.facts import Agreement, Node, NodeType
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId, group_id, node_id, org_of
from agbot.rules.statuses import MAY_GO_ON, PHASES, Phase, Status

_FINAL = {"finalized agreement", "finalized"}
_EPOCH = datetime.fromtimestamp(0, UTC)
_LONGEST_TEXT = 200
"""A node's status is journalled and shown; every known one is shorter."""
_LONGEST_INTERVAL_SECONDS = 86_400.0
"""A node may set any interval; with a larger one it would always count as alive."""


def nodes(org: OrgId, reply: wire.Nodes, clock: ExchangeClock) -> dict[NodeId, Node | Garbled]:
    """Map the nodes of an organisation."""
    only_of(org, reply.nodes)
    names = ((NodeId(intern(key)), each) for key, each in reply.nodes.items())
    return {node: _any_node(node, each, clock) for node, each in names}


def one_node(node: NodeId, reply: wire.Nodes, clock: ExchangeClock) -> Node | None:
    """Map a single node; an empty reply means that it does not exist."""
    found = only(node, reply.nodes)
    return None if found is None else needed(_any_node(node, found, clock))


def _any_node(node: NodeId, raw: msgspec.Raw, clock: ExchangeClock) -> Node | Garbled:
    return entry(raw, wire.Node, partial(_node, node, clock=clock))


def _node(node: NodeId, entry: wire.Node, clock: ExchangeClock) -> Node:
    versions = entry.software_versions or {}
    intervals = entry.heartbeat_intervals
    return Node(
        id=node,
        group=group_id(org_of(node), entry.ha_group) if entry.ha_group else None,
        # an empty one is a device to the Exchange, and any new one is gated like a device
        node_type=NodeType.CLUSTER if entry.node_type == NodeType.CLUSTER.value else NodeType.DEVICE,
        heartbeat_at=clock.ours(entry.last_heartbeat) if entry.last_heartbeat else None,
        heartbeat_stamp=entry.last_heartbeat or "",
        heartbeat_interval_seconds=min(
            max((intervals and intervals.max_interval) or 0.0, 0.0), _LONGEST_INTERVAL_SECONDS
        ),
        agent_version=intern(versions.get("horizon") or ""),
        registered=bool(entry.public_key),
        arch=intern(entry.arch or ""),
        pattern=intern(entry.pattern or ""),
    )


def groups(org: OrgId, reply: wire.NodeGroups) -> dict[GroupId, tuple[NodeId, ...] | Garbled]:
    """Map the groups of an organisation to their members."""
    # a group without a readable name could be any, so the whole list is unreadable then (`needed`)
    return {_group_name(org, each): _any_group(org, each) for each in reply.node_groups}


def _group_name(org: OrgId, raw: msgspec.Raw) -> GroupId:
    return needed(entry(raw, wire.GroupName, lambda group: group_id(org, group.name)))


def _any_group(org: OrgId, raw: msgspec.Raw) -> tuple[NodeId, ...] | Garbled:
    return entry(raw, wire.NodeGroup, partial(_members, org))


def one_group(group: GroupId, reply: wire.NodeGroups) -> tuple[NodeId, ...] | None:
    """Map a single group to its members; an empty reply means that it does not exist."""
    org = org_of(group)
    found = only(group, {_group_name(org, each): each for each in reply.node_groups})
    return None if found is None else needed(_any_group(org, found))


def _members(org: OrgId, group: wire.NodeGroup) -> tuple[NodeId, ...]:
    return tuple(node_id(org, name) for name in group.members)


def statuses(reply: wire.ManagementStatuses, clock: ExchangeClock) -> dict[PolicyId, Status]:
    """Map a node's statuses by policy."""
    return {PolicyId(intern(key)): _any_status(each, clock) for key, each in reply.management_status.items()}


def _any_status(raw: msgspec.Raw, clock: ExchangeClock) -> Status:
    """Map one status; an unreadable one is unknown to the rules, not gone (P3)."""
    found = entry(raw, wire.PolicyStatus, lambda each: _status(each.agent_upgrade_policy_status, clock))
    return replace(_no_status(f"(unreadable: {found.why})"), is_garbled=True) if isinstance(found, Garbled) else found


def _no_status(value: str) -> Status:
    return Status(value=value, stamp="", updated_at=_EPOCH, is_dated=False)


def _status(entry: wire.AgentUpgradePolicyStatus | None, clock: ExchangeClock) -> Status:
    """Map one status."""
    if entry is None:
        return _no_status("(no status)")
    stamp, value = (entry.last_updated or "")[:_LONGEST_TEXT], (entry.status or "")[:_LONGEST_TEXT]
    brought, is_dated, is_garbled = entry.upgraded_versions or wire.UpgradedVersions(), True, False
    try:
        moment = clock.ours(stamp)
    except ValueError:
        # Without a time it could be about an earlier upgrade, so its value becomes one that is
        # unknown to the rules. Only one past the gate makes the member unavailable.
        is_garbled = PHASES.get(value, Phase.UNREADABLE) in MAY_GO_ON
        moment, is_dated, value = _EPOCH, False, f"{value} (its time {stamp!r} is unreadable)"
    return Status(
        value=intern(value),
        stamp=stamp,
        updated_at=moment,
        is_dated=is_dated,
        target_version=intern((brought.software_version or "")[:_LONGEST_TEXT]),
        certificate=intern((brought.cert_version or "")[:_LONGEST_TEXT]),
        configuration=intern((brought.config_version or "")[:_LONGEST_TEXT]),
        is_garbled=is_garbled,
    )


def agreements(reply: wire.Agreements, status: wire.NodeStatus | None, clock: ExchangeClock) -> tuple[Agreement, ...]:
    """Merge a node's agreements with the states of their containers, in order of id."""
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
    return Agreement(
        id=key,
        service=service,
        finalized=(entry.state or "").lower() in _FINAL,
        version=_running_version(service, reported),
        containers=tuple(box.state or "" for each in reported for box in each.container_status or ()),
        updated_at=clock.ours_or_none(entry.last_updated),
        stamp=entry.last_updated or "",
    )


def _running_version(service: str, reported: Sequence[wire.RunningService]) -> str:
    """Return the version of the agreement's own service; the others are its dependencies."""
    # a dependency may be reported first, and its version must not count as the upgraded one
    own = next((each for each in reported if _service(each.orgid, each.service_url) == service), None)
    if own is None and len(reported) == 1:
        own = reported[0]
    return (own and own.version) or ""


def properties(reply: wire.NodePolicy) -> dict[str, str]:
    """Map the properties of a node policy to texts."""
    # the later ones win: those for both override those for management or deployment alone
    sections = (each.properties for each in (reply.deployment, reply.management) if each is not None)
    found = [each for listed in (*sections, reply.properties) for each in listed or ()]
    return {each.name: _text(each.value) for each in found if each.name and each.value is not None}


def _text(value: object) -> str:
    """Write a property's value as in `hzn`: true and false, lists with commas."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(_text(each) for each in value) if isinstance(value, list) else str(value)


def _service(org: str | None, url: str | None) -> str:
    """Qualify a service: agents write `org/url` in agreements and only the url in the status."""
    first, slash, _ = (url or "").partition("/")
    # `https://host/path`, an old form of a url, has a slash and no organisation
    if not url or not org or (slash and first and not first.endswith(":")):
        return url or ""
    return f"{org}/{url}"


def served_orgs(policies: wire.ServedPolicies, patterns: wire.ServedPatterns) -> frozenset[OrgId]:
    """Return the organisations that an agbot serves: of policies, of patterns, and of nodes."""
    served = [_served(key, each, wire.ServedPolicy) for key, each in policies.business_pols.items()]
    served += [_served(key, each, wire.ServedPattern) for key, each in patterns.patterns.items()]
    return frozenset(OrgId(org) for orgs in served for org in orgs if org and org != "*")


def _served(key: str, raw: msgspec.Raw, shape: type[wire.ServedPolicy | wire.ServedPattern]) -> set[str | None]:
    """Return the organisations of one entry; an unreadable one has none."""
    found = entry(raw, shape, lambda each: each)
    if isinstance(found, Garbled):
        return set()
    of = found.business_pol_orgid if isinstance(found, wire.ServedPolicy) else found.pattern_orgid
    # Without a nodes' organisation in the request the Exchange stores the policy's name in its
    # place (`exchange-api.md` 4.3); the key ends with the right one.
    return {of, *((found.node_orgid,) if key.endswith(f"_{found.node_orgid}") else ())}


def own_heartbeat(agbot: str, reply: wire.Agbots) -> str | None:
    """Return the last heartbeat of this agbot in the Exchange's notation; None if there is none.

    Raises:
        ValueError: it is not a time.
    """
    found = only(agbot, reply.agbots)
    stamp = None if found is None else msgspec.json.decode(found, type=wire.Agbot).last_heartbeat
    if stamp:
        timestamps.parse(stamp)
    return stamp or None


def has_agbot(agbot: str, reply: wire.Agbots) -> bool:
    """Whether the reply has this agbot; an empty one means that it does not exist."""
    return only(agbot, reply.agbots) is not None
