"""An agbot's records of deployment policies, agreements and upgrades. Pure.

Versions are tried in the order of their priority; a version is given up after its retries
(`agbot-ha.md` 4.6).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agbot.sim.node_services import Service

Doc = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A deployment policy: one service and its versions, by descending priority."""

    name: str
    """`org/policy`."""
    org: str
    url: str
    versions: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    retries: int = 2
    """How often a version is tried before the next lower one."""

    @property
    def top(self) -> str:
        """Return the version of highest priority."""
        return self.versions[0]

    def service(self, attempt: int) -> Service:
        """Return what to propose in an attempt, counted from 0."""
        index = min(attempt // self.retries, len(self.versions) - 1)
        return Service(org=self.org, url=self.url, version=self.versions[index])


def deployment(name: str, doc: Doc) -> Deployment:
    """Parse a deployment policy as the Exchange shows it."""
    service = doc["service"]
    ranked = sorted(service["serviceVersions"], key=_priority)
    return Deployment(
        name=name,
        org=service["org"],
        url=service["name"],
        versions=tuple(one["version"] for one in ranked),
        constraints=tuple(doc.get("constraints") or ()),
    )


def _priority(version: Doc) -> int:
    return int((version.get("priority") or {}).get("priority_value", 1))


class Phase(StrEnum):
    """The progress of one member's upgrade."""

    WAITING = "waiting"
    """It waits for its turn; the agreement is still in force."""
    UPGRADING = "upgrading"
    """Permission was given and the agreement was cancelled; a new one is being made."""
    REPORTING = "reporting"
    """It is over, but its end has not been recorded yet."""


@dataclass(slots=True, kw_only=True)
class Upgrade:
    """One member's upgrade in the agbot's database."""

    node: str
    policy: str
    phase: Phase = Phase.WAITING
    attempt: int = 0
    wanted: str = ""
    """The policy's first version when the current agreement was proposed."""
    group: str = ""
    """The group for which the permission was given."""
    succeeded: bool = False
    is_overtaken: bool = False
    """The policy was published again after the node had agreed. A real agbot's row then waits for
    something that never comes (W2)."""
    is_down: bool = False
    """Its service is down: from the cancellation until containers run again."""


@dataclass(slots=True, kw_only=True)
class Agreement:
    """An agreement of the agbot. It is `final` once the node has agreed."""

    id: str
    node: str
    policy: str
    service: Service
    final: bool = False


@dataclass(slots=True)
class Ledger:
    """The agbot's database: it survives a restart."""

    deployments: dict[str, Deployment] = field(default_factory=dict)
    agreements: dict[str, Agreement] = field(default_factory=dict)
    upgrades: dict[tuple[str, str], Upgrade] = field(default_factory=dict)
    """By node and policy, in the order in which they became due."""
    dropped: dict[str, list[str]] = field(default_factory=dict)
    """Node -> the policies whose agreements with it were cancelled while it was offline."""
    crashes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Node, policy, its first version -> how often containers failed after they had run."""

    def current(self, node: str, policy: str) -> Agreement | None:
        """Return the agreement of a node under a policy."""
        return next((one for one in self.agreements.values() if (one.node, one.policy) == (node, policy)), None)

    def by_org(self) -> dict[str, list[str]]:
        """Return the bare names of the known policies, by organisation."""
        found: dict[str, list[str]] = {}
        for name in self.deployments:
            org, _, policy = name.partition("/")
            found.setdefault(org, []).append(policy)
        return found

    def waiting(self) -> list[tuple[str, str]]:
        """Return the members that wait for an upgrade, each with its policy."""
        return [name for name, upgrade in self.upgrades.items() if upgrade.phase is Phase.WAITING]

    def plan(self, policy: str) -> None:
        """Add an upgrade for every final agreement without the policy's first version."""
        top = self.deployments[policy].top
        for one in self.agreements.values():
            due = one.policy == policy and one.final and one.service.version != top
            if not due:
                continue
            upgrade = self.upgrades.setdefault((one.node, policy), Upgrade(node=one.node, policy=policy))
            upgrade.is_overtaken = upgrade.phase is Phase.UPGRADING
