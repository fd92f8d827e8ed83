"""What ends in the Exchange without a row in its change feed, and in which time it is found where it matters.

A deleted policy takes the nodes' statuses for it, a deleted user all of his nodes and policies, a deleted
organisation everything, and the feed tells of none of that. So what a lease, a waiter or a refusal rests on is
read again after a while although nothing has outdated it, and what was missing once is looked at a second time.
The bounds are in `docs/decisions/0017-when-an-absence-is-believed.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

from agbot.coordinator.situation import Situation, is_older
from agbot.fleet.changes import Read, What
from agbot.fleet.policies import policy_read
from agbot.rules import health
from agbot.rules.ids import GroupId
from agbot.rules.lease import Kind
from agbot.rules.seen_time import Now


class SilentEnds:
    """Knows which reads are due."""

    def __init__(self, situation: Situation, heartbeat: timedelta) -> None:
        """Statuses that keep somebody waiting are read again after `heartbeat`, policies after twice that."""
        self._situation = situation
        self._heartbeat = heartbeat

    def reads(self, groups: Iterable[GroupId], now: Now) -> list[Read]:
        """Return what is due for these groups, in which somebody upgrades or waits, and every second look."""
        found = self._situation.picture.second_looks(now.seen)
        for group in groups:
            with self._situation.troubles.guard("reads", group):
                found += self._subjects(group, now)
                found += self._statuses(group, now)
        return found

    def _subjects(self, group: GroupId, now: Now) -> Iterator[Read]:
        """What the holder and those who wait upgrade to."""
        ledger, picture = self._situation.ledger, self._situation.picture
        claims = [waiter.ask.claim for waiter in ledger.waiters.get(group, {}).values()]
        reads = [policy_read(claim.kind, claim.subject) for claim in claims]
        hold = ledger.lease(group).hold
        if hold is not None and hold.claim.subject:
            reads.append(policy_read(hold.claim.kind, hold.claim.subject, hold.progress.pattern))
        return (read for read in reads if is_older(picture.read_at(read), now.seen - 2 * self._heartbeat))

    def _statuses(self, group: GroupId, now: Now) -> Iterator[Read]:
        """The reports of members that seem to be past the gate: while they stand, their peers are refused."""
        situation = self._situation
        limits = situation.limits_of(group)
        deferred = {node for node, each in situation.ledger.deferrals.get(group, {}).items() if each.kind is Kind.AGENT}
        return (
            Read(what=What.STATUSES, id=node)
            for node, member in situation.picture.read_members(group).items()
            if (node in deferred or health.upgrading(member, limits, now) is not None)
            and is_older(situation.picture.statuses_read_at(node), now.seen - self._heartbeat)
        )
