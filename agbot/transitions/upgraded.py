"""What is known about a node and its upgrade when that upgrade has ended."""

from __future__ import annotations

from dataclasses import dataclass

from agbot.rules.facts import Node, Policy, Sight
from agbot.rules.lease import Claim, Kind
from agbot.rules.records import Brake
from agbot.rules.statuses import Status
from agbot.rules.versions import Versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded:
    """The node, its own report, and the brake that already stops this upgrade in the group."""

    node: Node | Sight = Sight.UNREAD
    status: Status | Sight = Sight.UNREAD
    """The node's report of the upgrade; a service upgrade has none."""
    brake: Brake | None = None

    def brought(self, claim: Claim, known: Versions) -> Versions:
        """Return the installed versions: for an agent those of its own report, if it names any."""
        if claim.kind is Kind.SERVICE or isinstance(self.status, Sight):
            return known
        return self.status.versions or known


@dataclass(frozen=True, slots=True, kw_only=True)
class BrakeFacts:
    """What shows whether a brake has anything left to stop."""

    policy: Policy | Sight
    is_group_gone: bool = False
    """Two reads, some time apart, have found no such group."""
    brought: tuple[Versions, ...] | None = None
    """The versions that the members report under a node management policy; None while those of some
    members are not known."""
