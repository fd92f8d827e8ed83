"""How long members waited, and the time from the end of one upgrade to the next grant.

These are figures, not judgements. The next grant depends on how often agents ask; how soon the
lease is free is a separate figure (`handoffs`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agbot.sim.actions import Action
from agbot.sim.figures import summary
from agbot.sim.links import Kind
from agbot.sim.membership import Membership


class Turns:
    """Questions and answers of all groups."""

    def __init__(self, members: Membership, offline_after_seconds: float) -> None:
        """Take the membership, and the silence in seconds after which a node is offline."""
        self._members = members
        self._offline_after = offline_after_seconds
        self.grants: Counter[Kind] = Counter()
        self.refusals: Counter[Kind] = Counter()
        self.unanswered = 0
        self.service_grants_with_peers_offline = 0
        self.longest_wait_seconds = 0.0
        self.longest_block_by_offline_peers_seconds = 0.0
        """P6: how long a service upgrade was refused while every peer was offline and no live
        member was upgrading."""
        self.handoff_to_grant_seconds: list[float] = []
        self._waiting: dict[tuple[str, str], datetime] = {}
        self._blocked: dict[tuple[str, str], datetime] = {}
        self._ended: dict[str, tuple[str, datetime]] = {}
        self._granted: dict[str, tuple[str, str]] = {}

    def asked(self, action: Action, *, holder_is_live: bool) -> None:
        """Record an answer to a question."""
        if not action.status:
            self.unanswered += 1
            return
        key = (action.node, action.subject)
        if action.granted:
            self._grant(action, key)
        else:
            self.refusals[action.kind] += 1
            self._waiting.setdefault(key, action.at)
        self._block(action, key, holder_is_live=holder_is_live)

    def ended(self, group: str, node: str, at: datetime) -> None:
        """Record that the upgrade of a group's holder is over."""
        self._ended[group] = (node, at)
        self._granted.pop(group, None)

    def report(self) -> Mapping[str, Any]:
        """Return the figures as JSON."""
        return {
            "grants": {kind.value: count for kind, count in sorted(self.grants.items())},
            "refusals": {kind.value: count for kind, count in sorted(self.refusals.items())},
            "unanswered": self.unanswered,
            "service_grants_with_peers_offline": self.service_grants_with_peers_offline,
            "longest_wait_seconds": round(self.longest_wait_seconds, 3),
            "longest_block_by_offline_peers_seconds": round(self.longest_block_by_offline_peers_seconds, 3),
            "handoff_to_grant_seconds": summary(self.handoff_to_grant_seconds),
        }

    def _grant(self, action: Action, key: tuple[str, str]) -> None:
        group = self._members.group_of(action.node)
        since = self._waiting.pop(key, action.at)
        self.longest_wait_seconds = max(self.longest_wait_seconds, (action.at - since).total_seconds())
        if self._granted.get(group) == key:
            return  # the same grant, repeated
        self._granted[group] = key
        self.grants[action.kind] += 1
        if action.kind is Kind.SERVICE and self._peers_are_offline(action):
            self.service_grants_with_peers_offline += 1
        before = self._ended.pop(group, None)
        if before is not None and before[0] != action.node:
            self.handoff_to_grant_seconds.append((action.at - before[1]).total_seconds())

    def _block(self, action: Action, key: tuple[str, str], *, holder_is_live: bool) -> None:
        if action.kind is not Kind.SERVICE:
            return
        if action.granted or holder_is_live or not self._peers_are_offline(action):
            self._blocked.pop(key, None)
            return
        lasted = (action.at - self._blocked.setdefault(key, action.at)).total_seconds()
        self.longest_block_by_offline_peers_seconds = max(self.longest_block_by_offline_peers_seconds, lasted)

    def _peers_are_offline(self, action: Action) -> bool:
        peers = self._members.peers(action.node)
        silent = (self._members.silent_seconds(peer, action.at) for peer in peers)
        return bool(peers) and all(seconds >= self._offline_after for seconds in silent)
