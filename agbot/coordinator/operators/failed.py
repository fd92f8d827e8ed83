"""Agent upgrades that have failed on a member, by its own report, and that nothing takes up again.

A brake stops an upgrade in its group. Once it is resumed, the other members go on, and the one on
which it failed stays as it is: its agent does not begin the same revision again by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from agbot.coordinator.contract import FailedView, Overview
from agbot.coordinator.event_loop import Slices
from agbot.coordinator.operators.views import NAMED
from agbot.coordinator.situation import Situation
from agbot.rules.facts import Member, Policy, Sight
from agbot.rules.ids import NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.statuses import Phase, Status
from agbot.rules.words import clock

_MANY: Final = 500
_LOOKED_EVERY_SECONDS: Final = 5.0
"""How often so many are looked for: 20,000 take 0.15 s of processor."""


def _of_member(member: Member, situation: Situation) -> Iterator[tuple[PolicyId, Status]]:
    """Yield the failed upgrades that a member reports of policies that are in force."""
    for policy, status in sorted(member.statuses.items()):
        known = situation.picture.policies.get(Kind.AGENT, policy)
        is_over = known is Sight.ABSENT or (isinstance(known, Policy) and not known.enabled)
        if status.phase is Phase.ENDED_BADLY and not is_over:
            yield policy, status


def in_words(member: Member, situation: Situation) -> str:
    """State what has failed on a member, when, and what to do; empty if nothing has."""
    return " ".join(
        f"Its last upgrade by {policy} has failed: it reports {status.value!r} since {clock(status.updated_at)}. "
        f"Its agent does not begin it again by itself: publish another revision of {policy}."
        for policy, status in _of_member(member, situation)
    )


class Failures:
    """Finds which members have failed: every view and each probe shows it.

    A release that fails everywhere has failed on one member of each group. So many are looked for
    beside the questions, in the cycle, and what it has found last is shown.
    """

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._looked_seconds = float("-inf")
        self._found: dict[str, Any] = {}
        """The fields of an overview."""

    def shown(self, seen: Overview) -> Overview:
        """Add them to an overview."""
        nodes = self._situation.picture.with_failures()
        if len(nodes) < _MANY:
            found: dict[PolicyId, list[NodeId]] = {}
            for node in sorted(nodes):
                self._add(found, node)
            self._found = _in_overview(found)
        return replace(seen, **self._found)

    async def look(self) -> None:
        """Look for them again where there are many, if the last look is old; for each cycle."""
        nodes, now = self._situation.picture.with_failures(), self._situation.clock.monotonic_seconds()
        if len(nodes) < _MANY or now - self._looked_seconds < _LOOKED_EVERY_SECONDS:
            return
        found, slices = dict[PolicyId, list[NodeId]](), Slices()
        for node in sorted(nodes):
            self._add(found, node)
            await slices.end()
        self._found, self._looked_seconds = _in_overview(found), now

    def _add(self, found: dict[PolicyId, list[NodeId]], node: NodeId) -> None:
        """Add a member's failed upgrades that no brake stops and for which it does not ask."""
        member = self._situation.picture.member(node)
        if isinstance(member, Member):
            for policy, _ in _of_member(member, self._situation):
                if not _is_taken_up(member, policy, self._situation):
                    found.setdefault(policy, []).append(node)


def _in_overview(found: Mapping[PolicyId, Sequence[NodeId]]) -> dict[str, Any]:
    members = sorted({node for nodes in found.values() for node in nodes})
    by_policy = [FailedView(subject=policy, members=len(nodes), named=nodes[:NAMED]) for policy, nodes in found.items()]
    return {"failed": len(members), "failed_named": members[:NAMED], "failed_by_policy": by_policy}


def _is_taken_up(member: Member, policy: PolicyId, situation: Situation) -> bool:
    """Whether a brake stops it, which is shown as such, or the node asks for it or upgrades."""
    ledger, node, group, subject = situation.ledger, member.node.id, member.node.group, (Kind.AGENT, policy)
    if group is None:
        return True  # it may upgrade without asking, and no rollout shows it
    is_holder, waiters = ledger.lease(group).holder == node, ledger.waiters.get(group) or {}
    asks = any((each.ask.node, each.ask.subject) == (node, subject) for each in waiters.values())
    return is_holder or asks or subject in (ledger.brakes.get(group) or {})
