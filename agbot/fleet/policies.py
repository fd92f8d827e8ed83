"""The policies of the picture: node management policies, deployment policies and patterns."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from agbot.fleet import dating
from agbot.fleet.absence import Absences
from agbot.fleet.changes import Read, What
from agbot.fleet.shelf import Shelf
from agbot.fleet.stamps import Stamps
from agbot.fleet.standstill import Standstill
from agbot.rules import host
from agbot.rules.facts import Policy, Sight
from agbot.rules.ids import PolicyId
from agbot.rules.lease import AGENT, HOST, Kind
from agbot.rules.seen_time import Now, SeenTime


def policy_read(kind: Kind, subject: PolicyId, pattern: str = "") -> Read:
    """Return the read for the subject of an upgrade: its pattern, if it comes from one."""
    if pattern:
        return Read(what=What.PATTERN, id=pattern)
    what = What.MANAGEMENT_POLICY if kind is AGENT else What.DEPLOYMENT_POLICY
    return Read(what=what, id=subject)


class Policies:
    """What is known of policies. `begun` is the picture's mark."""

    def __init__(self, standstill: Standstill, stamps: Stamps, gone: Absences) -> None:
        """Report new revisions that the feed has not announced to `standstill`."""
        self._changed: dict[str, None] = {}
        self._standstill = standstill
        self._stamps = stamps
        self._management: Shelf[Policy] = Shelf()
        self._deployment: Shelf[Policy] = Shelf()
        self._patterns: Shelf[tuple[PolicyId, ...]] = Shelf()
        self._gone = gone
        self.shelves: Mapping[What, Shelf[Any]] = {
            What.MANAGEMENT_POLICY: self._management,
            What.DEPLOYMENT_POLICY: self._deployment,
            What.PATTERN: self._patterns,
        }

    def get(self, kind: Kind, subject: PolicyId) -> Policy | Sight:
        """Return the subject of an upgrade."""
        return host.policy_of(subject) if kind is HOST else self._of(kind).get(subject)

    def names(self) -> tuple[str, ...]:
        """Return the policies that exist, as far as was read: both kinds, without patterns."""
        shelves = (self._management, self._deployment)
        return tuple(key for shelf in shelves for key in shelf if isinstance(shelf.get(key), Policy))

    def to_read(self, read: Read) -> Read:
        """Return the read for this: a pattern's service is read with its pattern."""
        known = self._deployment.get(read.id) if read.what is What.DEPLOYMENT_POLICY else Sight.UNREAD
        return Read(what=What.PATTERN, id=known.pattern) if isinstance(known, Policy) and known.pattern else read

    def read_of(self, kind: Kind, subject: PolicyId) -> Read:
        """Return the read for the subject of an upgrade, by what is known of it."""
        known = self.get(kind, subject)
        return policy_read(kind, subject, known.pattern if isinstance(known, Policy) else "")

    def is_current(self, kind: Kind, subject: PolicyId) -> bool:
        """Whether the subject of an upgrade was read and is not out of date."""
        shelf = self._of(kind)
        known = shelf.get(subject)
        if isinstance(known, Policy) and known.pattern:
            return self._patterns.is_current(known.pattern)
        return shelf.is_current(subject)

    def read_at(self, kind: Kind, subject: PolicyId) -> SeenTime | None:
        """Return when the subject of an upgrade was last read."""
        return self._of(kind).read_at(subject)

    def for_pattern(self, pattern: str) -> tuple[Policy, ...]:
        """Return the policies for the services of a pattern, as far as it was read."""
        known = self._patterns.get(pattern)
        mine = () if isinstance(known, Sight) else [self._deployment.get(key) for key in known]
        return tuple(policy for policy in mine if isinstance(policy, Policy))

    def take_changed(self) -> Collection[str]:
        """Return the policies that have changed since the last call, read or only announced."""
        found = tuple(self._changed)
        self._changed.clear()
        return found

    def announced(self, read: Read) -> None:
        """Note that the feed has a change of a policy, so that it is read where it matters."""
        if read.id in self.shelves[read.what]:
            self._changed[read.id] = None

    def learn(self, read: Read, policy: Policy | Sight, *, begun: int, now: Now) -> None:
        """Learn a policy, or its absence."""
        shelf: Shelf[Policy] = self.shelves[read.what]
        before = shelf.get(read.id)
        if shelf.is_late(read.id, begun):
            return
        if isinstance(policy, Policy):
            self._gone.seen(read, begun=begun)
            policy = dating.of_policy(self._stamps, read, policy, begun=begun, now=now)
            # another revision, although no row has announced a change of it: the feed may stand
            # still
            if shelf.is_unchanged(read.id) and isinstance(before, Policy) and policy.revision > before.revision:
                self._standstill.note_unannounced(
                    f"{read.what} {read.id}", now, policy.revised_at, shelf.read_at(read.id)
                )
        elif self._gone.doubts(read, before, begun=begun, now=now.seen) and isinstance(before, Policy):
            shelf.outdate(read.id, sequence=begun + 1)
            return
        shelf.put(read.id, policy, begun=begun, now=now)
        if policy != before or not isinstance(policy, Policy):
            self._changed[read.id] = None

    def learn_pattern(self, pattern: str, services: tuple[Policy, ...] | Sight, *, begun: int, now: Now) -> None:
        """Learn a pattern's services, or its absence; a service that it no longer has is gone."""
        read = Read(what=What.PATTERN, id=pattern)
        if isinstance(services, Sight):
            before = self._patterns.get(pattern)
            if self._gone.doubts(read, before, begun=begun, now=now.seen) and not isinstance(before, Sight):
                self._patterns.outdate(pattern, sequence=begun + 1)
                return
        else:
            self._gone.seen(read, begun=begun)
        found = {} if isinstance(services, Sight) else {policy.id: policy for policy in services}
        gone = [policy.id for policy in self.for_pattern(pattern) if policy.id not in found]
        is_announced = not self._patterns.is_unchanged(pattern)
        for key in (*found, *gone):
            if is_announced:  # the row of a pattern is about its services too
                self._deployment.outdate(key, sequence=begun)
            # it is gone if the pattern lacks it, or if the pattern's absence is confirmed
            one = Read(what=What.DEPLOYMENT_POLICY, id=key)
            self._gone.announce(one, sequence=begun)
            self.learn(one, found.get(key, Sight.ABSENT), begun=begun, now=now)
        self._patterns.put(pattern, services if isinstance(services, Sight) else tuple(found), begun=begun, now=now)

    def certain(self, kind: Kind, subject: PolicyId) -> Policy | Sight:
        """Return the subject of an upgrade, unread while its absence is not confirmed."""
        known = self.get(kind, subject)
        is_unconfirmed = known is Sight.ABSENT and self._gone.is_unconfirmed(policy_read(kind, subject))
        return Sight.UNREAD if is_unconfirmed else known

    def _of(self, kind: Kind) -> Shelf[Policy]:
        return self._management if kind is AGENT else self._deployment
