"""Agent upgrades that have failed on a member, by its own report, and that nothing takes up again.

A brake stops an upgrade in its group. Once it is resumed, the other members go on, and the one on
which it failed stays as it is: its agent does not begin the same revision again by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from agbot.coordinator.contract import FailedView, Overview
from agbot.coordinator.operators.views import NAMED
from agbot.coordinator.situation import Situation
from agbot.rules.facts import Member, Policy, Sight
from agbot.rules.ids import NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.statuses import Phase, Status
from agbot.rules.words import clock

_MANY: Final = 500
_SHOWN_AGAIN_SECONDS: Final = 5.0
"""How old the list may be where there are many: to look for 20,000 delays questions by 0.15 s."""


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
    """Keeps for some seconds which members have failed: every view and each probe needs it.

    A release that fails everywhere has failed on one member of each group.
    """

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._looked_seconds = float("-inf")
        self._members: list[NodeId] = []
        self._by_policy: list[FailedView] = []

    def shown(self, seen: Overview) -> Overview:
        """Add them to an overview."""
        situation, now = self._situation, self._situation.clock.monotonic_seconds()
        is_old = now - self._looked_seconds > _SHOWN_AGAIN_SECONDS
        if is_old or len(situation.picture.with_failures()) < _MANY:
            found = _members(situation)
            self._members = sorted({node for nodes in found.values() for node in nodes})
            self._by_policy = [
                FailedView(subject=policy, members=len(nodes), named=nodes[:NAMED]) for policy, nodes in found.items()
            ]
            self._looked_seconds = now
        named, by_policy = self._members[:NAMED], self._by_policy
        return replace(seen, failed=len(self._members), failed_named=named, failed_by_policy=by_policy)


def _members(situation: Situation) -> dict[PolicyId, list[NodeId]]:
    """Return the members whose upgrade has failed, which no brake stops and which do not ask."""
    found: dict[PolicyId, list[NodeId]] = {}
    for node in sorted(situation.picture.with_failures()):
        member = situation.picture.member(node)
        if not isinstance(member, Member):
            continue
        for policy, _ in _of_member(member, situation):
            if not _is_taken_up(member, policy, situation):
                found.setdefault(policy, []).append(node)
    return found


def _is_taken_up(member: Member, policy: PolicyId, situation: Situation) -> bool:
    """Whether a brake stops it, which is shown as such, or the node asks for it or upgrades."""
    ledger, node, group, subject = situation.ledger, member.node.id, member.node.group, (Kind.AGENT, policy)
    if group is None:
        return True  # it may upgrade without asking, and no rollout shows it
    is_holder, waiters = ledger.lease(group).holder == node, ledger.waiters.get(group) or {}
    asks = any((each.ask.node, each.ask.subject) == (node, subject) for each in waiters.values())
    return is_holder or asks or subject in (ledger.brakes.get(group) or {})
