"""Maps the Exchange's JSON to node management policies, deployment policies and patterns.

A pattern stands for several deployment policies. As in `mapping`, a reply that is not what was
requested is a `ValueError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from agbot.exchange import wire
from agbot.exchange.entries import entry, needed, only, only_of
from agbot.exchange.timestamps import ExchangeClock
from agbot.fleet.garbled import Garbled
from agbot.rules.facts import Policy
from agbot.rules.ids import OrgId, PolicyId


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A node management policy with the nodes that it is for, and from when on."""

    policy: Policy
    constraints: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    """`org/name`. Constraints and patterns exclude each other (`exchange-api.md` 2.12)."""
    start: datetime | None = None
    """On the coordinator's clock; None: now."""
    window_seconds: float = 0.0
    """Each node begins at a random time within so many seconds after the start."""


def one_management_policy(policy: PolicyId, reply: wire.ManagementPolicies, clock: ExchangeClock) -> Policy | None:
    """Map a single management policy; an empty reply means that it does not exist."""
    found = only(policy, reply.management_policy)
    if found is None:
        return None
    return needed(entry(found, wire.ManagementPolicy, partial(_management_policy, policy, clock=clock)))


def aims(org: OrgId, reply: wire.ManagementPolicies, clock: ExchangeClock) -> dict[PolicyId, Aim | Garbled]:
    """Map all management policies of an organisation, with the nodes that they are for."""
    only_of(org, reply.management_policy)
    found = {PolicyId(key): each for key, each in reply.management_policy.items()}
    return {key: entry(raw, wire.ManagementPolicy, partial(_aim, key, clock=clock)) for key, raw in found.items()}


def _aim(policy: PolicyId, entry: wire.ManagementPolicy, clock: ExchangeClock) -> Aim:
    return Aim(
        policy=_management_policy(policy, entry, clock),
        constraints=tuple(entry.constraints or ()),
        patterns=tuple(entry.patterns or ()),
        start=clock.ours_or_none(entry.start),
        window_seconds=max(entry.start_window or 0.0, 0.0),
    )


def _management_policy(policy: PolicyId, entry: wire.ManagementPolicy, clock: ExchangeClock) -> Policy:
    return Policy(
        id=policy,
        enabled=entry.enabled,
        revision=entry.last_updated or "",
        revised_at=clock.ours_or_none(entry.last_updated),
    )


def one_deployment_policy(policy: PolicyId, reply: wire.DeploymentPolicies, clock: ExchangeClock) -> Policy | None:
    """Map a single deployment policy; an empty reply means that it does not exist."""
    found = only(policy, reply.business_policy)
    if found is None:
        return None
    return needed(entry(found, wire.DeploymentPolicy, partial(_deployment_policy, policy, clock=clock)))


def deployment_policies(
    org: OrgId, reply: wire.DeploymentPolicies, clock: ExchangeClock
) -> dict[PolicyId, Policy | Garbled]:
    """Map all deployment policies of an organisation."""
    found = {
        PolicyId(key if key.startswith(f"{org}/") else f"{org}/{key}"): each
        for key, each in reply.business_policy.items()
    }
    return {
        key: entry(raw, wire.DeploymentPolicy, partial(_deployment_policy, key, clock=clock))
        for key, raw in found.items()
    }


def _deployment_policy(policy: PolicyId, entry: wire.DeploymentPolicy, clock: ExchangeClock) -> Policy:
    service = f"{entry.service.org}/{entry.service.name}"
    arch, revision = entry.service.arch or "", entry.last_updated or ""
    return _deployment(policy, service, entry.service.service_versions, arch=arch, revision=revision, clock=clock)


def one_pattern(pattern: str, reply: wire.Patterns, clock: ExchangeClock) -> tuple[Policy, ...] | None:
    """Map a pattern to a policy for each of its services, named as by the agbot.

    An empty reply means that there is no such pattern.
    """
    found = only(pattern, reply.patterns)
    if found is None:
        return None
    return tuple(
        replace(
            _deployment(
                # with the pattern's organisation, which the agbot omits (W18)
                PolicyId(f"{pattern}_{_as_in_names(each.service_url)}_{each.service_orgid}_{each.service_arch or ''}"),
                f"{each.service_orgid}/{each.service_url}",
                each.service_versions,
                arch=each.service_arch or "",
                revision=found.last_updated or "",
                clock=clock,
            ),
            pattern=pattern,
        )
        for each in found.services
        # a dependency: it gets no agreement, and is upgraded with the service that needs it
        if not each.agreement_less
    )


def _as_in_names(url: str) -> str:
    """Write a service's URL as in the agbot's names: without `scheme://`, `-` for each slash."""
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
    revised_at = clock.ours_or_none(revision)
    return Policy(
        id=policy,
        revision=revision,
        revised_at=revised_at,
        service=service,
        arch=arch,
        top_version=versions[0] if versions else "",
        versions=versions,
    )


def _rank(choice: wire.ServiceVersion) -> tuple[bool, int]:
    """Return the order in which versions are tried: by priority value; those without one last."""
    value = choice.priority.priority_value if choice.priority else None
    return (value is None, value or 0)
