"""What members run, as far as somebody's agent upgrade hangs on it: when that is looked at.

The feed shows an agbot neither a container nor a new agreement, so it is read again after a while; two requests a member. It is advice
and no condition: what cannot be read stops nobody, and is not tried again in every cycle. Where it decides nothing it is not read: in a
group whose limits ask for nobody, for a cluster node, of members that are known to be missing anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from agbot.coordinator.situation import Situation, is_older
from agbot.fleet.changes import Read, What
from agbot.rules import health
from agbot.rules.facts import Ask, Member, NodeType
from agbot.rules.ids import GroupId
from agbot.rules.reasons import Code
from agbot.rules.seen_time import Now, SeenTime

_KEEPS_WAITING = frozenset({Code.PEERS_UNAVAILABLE, Code.SOAKING})
_AHEAD = 0.8
"""For those who wait it is read when this share of its time is over, so that no question has to wait for it."""


class Serving:
    """Knows which reports of services are due."""

    def __init__(self, situation: Situation, again: timedelta) -> None:
        """What could not be read, or was bad news, is looked at again after `again`."""
        self._situation = situation
        self._again = again
        self._failed_at: dict[Read, SeenTime] = {}

    def for_question(self, ask: Ask, now: Now) -> Sequence[Read]:
        """Return what should be read before this question is decided."""
        max_age = self._situation.services_max_age
        if self._situation.picture.services_read_at(ask.group) > now.seen - max_age or not self._matters(ask):
            return ()  # the first is what nearly every question meets, and costs it nothing
        return self._due(ask.group, now, max_age)

    def for_waiters(self, group: GroupId, now: Now) -> list[Read]:
        """Return what is read for those who wait: ahead of their next question, and soon where it keeps them waiting."""
        waiters = [each for each in self._situation.ledger.waiters.get(group, {}).values() if self._matters(each.ask)]
        if not waiters:
            return []
        found = self._due(group, now, self._situation.services_max_age * _AHEAD)
        if any(reason.code in _KEEPS_WAITING for waiter in waiters for reason in waiter.reasons):
            found += self.down(group, now.seen - self._again)
        return found

    def down(self, group: GroupId, read_before: SeenTime) -> list[Read]:
        """Return how to look again at members whose services alone make them missing, unless that was read later."""
        limits, now = self._situation.limits_of(group), self._situation.now()
        members = self._situation.picture.read_members(group)
        at_stake = {service for member in members.values() for service in health.served_by(member) or ()}

        def is_down(member: Member) -> bool:
            is_there = member.node.registered and health.why_offline(member.node, limits, now) is None
            return is_there and any(health.why_not_serving(member, limits, now, each) for each in (None, at_stake))

        old = [
            node
            for node, member in members.items()
            if is_older(member.agreements_read_at, read_before) and is_down(member)
        ]
        return self.but_failed([Read(what=What.AGREEMENTS, id=node) for node in old], now)

    def but_failed(self, reads: Iterable[Read], now: Now) -> list[Read]:
        """Return these without what could not be read a moment ago."""
        return [read for read in reads if is_older(self._failed_at.get(read), now.seen - self._again)]

    def note(self, tried: Iterable[Read], failed: Iterable[Read]) -> None:
        """Take down what was read, and what of it could not be."""
        now = self._situation.now().seen
        for read in tried:
            self._failed_at.pop(read, None)
        self._failed_at.update((read, now) for read in failed if read.what is What.AGREEMENTS)

    def _matters(self, ask: Ask) -> bool:
        """Whether what members run can keep this asker waiting."""
        limits, members = self._situation.limits_of(ask.group), self._situation.picture.read_members(ask.group)
        if not ask.is_agent or not limits.services_must_run or not health.required_of_others(limits, len(members)):
            return False
        asker = members.get(ask.node)
        return asker is None or asker.node.node_type is not NodeType.CLUSTER

    def _due(self, group: GroupId, now: Now, max_age: timedelta) -> list[Read]:
        picture = self._situation.picture
        reads = [
            Read(what=What.AGREEMENTS, id=node)
            for node, member in picture.read_members(group).items()
            if member.node.node_type is not NodeType.CLUSTER
        ]
        stale = [
            read
            for read in reads
            if not picture.is_current(read) or is_older(picture.read_at(read), now.seen - max_age)
        ]
        return self.but_failed(stale, now)
