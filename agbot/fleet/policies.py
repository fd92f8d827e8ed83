"""The policies of the picture: node management policies and deployment policies, as far as they were read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agbot.fleet import dating
from agbot.fleet.absence import Absences
from agbot.fleet.changes import Read, What
from agbot.fleet.shelf import Shelf
from agbot.fleet.stamps import Stamps
from agbot.fleet.standstill import Standstill
from agbot.rules.facts import Policy, Sight
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Kind
from agbot.rules.seen_time import Now, SeenTime


def policy_read(kind: Kind, subject: PolicyId, pattern: str = "") -> Read:
    """Return how the subject of an upgrade is read: with its pattern, if it comes from one."""
    if pattern:
        return Read(what=What.PATTERN, id=pattern)
    what = What.MANAGEMENT_POLICY if kind is Kind.AGENT else What.DEPLOYMENT_POLICY
    return Read(what=what, id=subject)


class Policies:
    """What the Exchange said of policies. `begun` is the picture's mark, as for everything that is learnt."""

    def __init__(self, standstill: Standstill, stamps: Stamps) -> None:
        """Tell `standstill` what is news and was not announced."""
        self._standstill = standstill
        self._stamps = stamps
        self._management: Shelf[Policy] = Shelf()
        self._deployment: Shelf[Policy] = Shelf()
        self._patterns: Shelf[tuple[PolicyId, ...]] = Shelf()
        self.gone = Absences()
        self.shelves: Mapping[What, Shelf[Any]] = {
            What.MANAGEMENT_POLICY: self._management,
            What.DEPLOYMENT_POLICY: self._deployment,
            What.PATTERN: self._patterns,
        }

    def get(self, kind: Kind, subject: PolicyId) -> Policy | Sight:
        """Return the subject of an upgrade."""
        return self._of(kind).get(subject)

    def to_read(self, read: Read) -> Read:
        """Return how this is read: a service of a pattern with its pattern."""
        known = self._deployment.get(read.id) if read.what is What.DEPLOYMENT_POLICY else Sight.UNREAD
        return Read(what=What.PATTERN, id=known.pattern) if isinstance(known, Policy) and known.pattern else read

    def read_of(self, kind: Kind, subject: PolicyId) -> Read:
        """Return how the subject of an upgrade is read, as far as it is known what it is."""
        known = self.get(kind, subject)
        return policy_read(kind, subject, known.pattern if isinstance(known, Policy) else "")

    def read_at(self, kind: Kind, subject: PolicyId) -> SeenTime | None:
        """Return when the subject of an upgrade was last read."""
        return self._of(kind).read_at(subject)

    def for_pattern(self, pattern: str) -> tuple[Policy, ...]:
        """Return the policies that stand for the services of a pattern, as far as it was read."""
        known = self._patterns.get(pattern)
        mine = () if isinstance(known, Sight) else [self._deployment.get(key) for key in known]
        return tuple(policy for policy in mine if isinstance(policy, Policy))

    def learn(self, read: Read, policy: Policy | Sight, *, begun: int, now: Now) -> None:
        """Take in a policy, or that there is no such policy."""
        shelf = self._management if read.what is What.MANAGEMENT_POLICY else self._deployment
        before = shelf.get(read.id)
        if shelf.is_late(read.id, begun):
            return
        if isinstance(policy, Policy):
            self.gone.seen(read, begun=begun)
            policy = dating.of_policy(self._stamps, read, policy, begun=begun, now=now)
            if shelf.is_untold(read.id) and isinstance(before, Policy) and policy.revision > before.revision:
                self._standstill.found(f"{read.what} {read.id}", now, policy.revised_at, shelf.read_at(read.id))
        elif self._is_open(read, before, begun=begun, now=now) and isinstance(before, Policy):
            shelf.outdate(read.id, sequence=begun + 1)
            return
        shelf.put(read.id, policy, begun=begun, now=now)

    def learn_pattern(self, pattern: str, services: tuple[Policy, ...] | Sight, *, begun: int, now: Now) -> None:
        """Take in a pattern's services, or that there is no such pattern; a service that is not in it any more is gone."""
        read = Read(what=What.PATTERN, id=pattern)
        if isinstance(services, Sight):
            before = self._patterns.get(pattern)
            if self._is_open(read, before, begun=begun, now=now) and not isinstance(before, Sight):
                self._patterns.outdate(pattern, sequence=begun + 1)
                return
        else:
            self.gone.seen(read, begun=begun)
        found = {} if isinstance(services, Sight) else {policy.id: policy for policy in services}
        gone = [policy.id for policy in self.for_pattern(pattern) if policy.id not in found]
        is_told = not self._patterns.is_untold(pattern)
        for key in (*found, *gone):
            if is_told:  # the row of a pattern tells of its services as well
                self._deployment.outdate(key, sequence=begun)
            # a pattern that is read as a whole without one of its services, or is gone, has been looked at twice or announced
            one = Read(what=What.DEPLOYMENT_POLICY, id=key)
            self.gone.announce(one, sequence=begun)
            self.learn(one, found.get(key, Sight.ABSENT), begun=begun, now=now)
        self._patterns.put(pattern, services if isinstance(services, Sight) else tuple(found), begun=begun, now=now)

    def certain(self, kind: Kind, subject: PolicyId) -> Policy | Sight:
        """Return the subject of an upgrade; unread while its absence is not believed."""
        known = self.get(kind, subject)
        what = What.MANAGEMENT_POLICY if kind is Kind.AGENT else What.DEPLOYMENT_POLICY
        return Sight.UNREAD if known is Sight.ABSENT and self.gone.is_open(Read(what=what, id=subject)) else known

    def _is_open(self, read: Read, before: object, *, begun: int, now: Now) -> bool:
        """Take in that something is missing; tell whether that is not believed yet."""
        is_news = before is not Sight.ABSENT or self.gone.is_open(read)
        return is_news and not self.gone.confirms(read, begun=begun, now=now.seen)

    def _of(self, kind: Kind) -> Shelf[Policy]:
        return self._management if kind is Kind.AGENT else self._deployment
