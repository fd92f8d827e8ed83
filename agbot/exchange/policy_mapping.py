"""From the Exchange's JSON to policies: node management policies, deployment policies, and patterns, which stand for several of those.

The rules are those of `mapping`: what cannot mean what was asked for is a `ValueError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from agbot.exchange import wire
from agbot.exchange.entries import entry, needed, only
from agbot.exchange.timestamps import ExchangeClock
from agbot.rules.facts import Policy
from agbot.rules.ids import PolicyId


def one_management_policy(policy: PolicyId, reply: wire.ManagementPolicies, clock: ExchangeClock) -> Policy | None:
    """Map a single management policy; an empty reply means that it is not there."""
    found = only(policy, reply.management_policy)
    if found is None:
        return None
    return needed(entry(found, wire.ManagementPolicy, partial(_management_policy, policy, clock=clock)))


def _management_policy(policy: PolicyId, entry: wire.ManagementPolicy, clock: ExchangeClock) -> Policy:
    return Policy(
        id=policy,
        enabled=entry.enabled,
        revision=entry.last_updated or "",
        revised_at=clock.ours_or_none(entry.last_updated),
    )


def one_deployment_policy(policy: PolicyId, reply: wire.DeploymentPolicies, clock: ExchangeClock) -> Policy | None:
    """Map a single deployment policy; an empty reply means that it is not there."""
    found = only(policy, reply.business_policy)
    if found is None:
        return None
    return needed(entry(found, wire.DeploymentPolicy, partial(_deployment_policy, policy, clock=clock)))


def _deployment_policy(policy: PolicyId, entry: wire.DeploymentPolicy, clock: ExchangeClock) -> Policy:
    service = f"{entry.service.org}/{entry.service.name}"
    arch, revision = entry.service.arch or "", entry.last_updated or ""
    return _deployment(policy, service, entry.service.service_versions, arch=arch, revision=revision, clock=clock)


def one_pattern(pattern: str, reply: wire.Patterns, clock: ExchangeClock) -> tuple[Policy, ...] | None:
    """Map a pattern to one policy for each of its services, named as the agbot names those that it makes of it (`agbot-ha.md` 4.1).

    With the pattern's organisation before it, which the agbot leaves out (W18). An empty reply means that there is no such pattern.
    """
    found = only(pattern, reply.patterns)
    if found is None:
        return None
    return tuple(
        replace(
            _deployment(
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
    """Give the order in which versions are tried: the lowest priority value first; one without any comes after those that have it."""
    value = choice.priority.priority_value if choice.priority else None
    return (value is None, value or 0)
