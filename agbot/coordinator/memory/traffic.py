"""Facts about other groups, for the limits: how many upgrade, which brakes are set, the rollouts.

All of it is derived from the ledger. Only the last result is kept, until the organisation changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from agbot.coordinator.memory.ledger import Ledger
from agbot.fleet.picture import Picture
from agbot.rules import ids
from agbot.rules.group import Rollout, Traffic
from agbot.rules.ids import GroupId, OrgId
from agbot.rules.lease import Lease
from agbot.rules.limits import Limits
from agbot.rules.records import Brake
from agbot.rules.rollout import Started, Subject, has_started, proving, rollout
from agbot.rules.seen_time import Now, SeenTime

_RESTS_CHANGE = timedelta(seconds=1)
"""How long a result is reused: a rest ends with time, without a change of the ledger."""
_NOT_COUNTED = Traffic()


class TrafficReport:
    """Answers from the ledger's tally.

    A rollout is derived once per revision of its organisation.
    """

    def __init__(self, picture: Picture, ledger: Ledger, limits_of: Callable[[GroupId], Limits]) -> None:
        self._picture = picture
        self._ledger = ledger
        self._limits_of = limits_of
        self._rollouts: dict[tuple[OrgId, Subject], tuple[str | None, int, SeenTime, Rollout]] = {}
        """The last result, with the policy's revision, the organisation's revision and the time of
        it."""

    def traffic(self, group: GroupId, limits: Limits) -> Traffic:
        """Count the other groups that have a lease, if a limit depends on it."""
        if not limits.max_groups_in_org and not limits.max_groups_in_fleet:
            return _NOT_COUNTED
        tally = self._ledger.tally
        itself = tally.is_busy(group)
        return Traffic(busy_in_org=tally.busy[ids.org_of(group)] - itself, busy_in_fleet=tally.busy_in_fleet - itself)

    def org_brakes(self, org: OrgId) -> tuple[Brake, ...]:
        """Return the brakes of an organisation."""
        braked = self._ledger.tally.braked.get(org)
        return tuple(brake for each in braked for brake in self._ledger.brakes[each].values()) if braked else ()

    def rollouts(
        self, group: GroupId, limits: Limits, subjects: Iterable[Subject], now: Now
    ) -> Mapping[Subject, Rollout]:
        """Return the rollouts in a group's organisation, if a limit depends on them."""
        if not limits.canary_percent and not limits.approval:
            return {}
        return {subject: self._rollout(ids.org_of(group), subject, now) for subject in subjects}

    def _rollout(self, org: OrgId, subject: Subject, now: Now) -> Rollout:
        revision, org_revision = self._revision(subject), self._ledger.tally.revisions[org]
        known = self._rollouts.get((org, subject))
        if known is not None and known[:2] == (revision, org_revision) and now.seen - known[2] <= _RESTS_CHANGE:
            return known[3]
        derived = self._derived(org, subject, revision, now)
        self._rollouts[org, subject] = (revision, org_revision, now.seen, derived)
        return derived

    def _derived(self, org: OrgId, subject: Subject, revision: str | None, now: Now) -> Rollout:
        ledger = self._ledger
        leases = (ledger.granting.get(group) or ledger.leases[group] for group in ledger.tally.started[org])
        started = [self._started(each, subject, now) for each in leases if has_started(each, subject, revision)]
        return rollout(started, subject, revision, now)

    def _started(self, lease: Lease, subject: Subject, now: Now) -> Started:
        ledger, limits = self._ledger, self._limits_of(lease.group)
        node = proving(lease, limits, now)
        return Started(
            lease=lease,
            limits=limits,
            brake=ledger.brakes.get(lease.group, {}).get(subject),
            has_waiters=any(each.ask.subject == subject for each in ledger.waiters.get(lease.group, {}).values()),
            proving=None if node is None else self._picture.member(node),
        )

    def _revision(self, subject: Subject) -> str | None:
        policy = self._picture.policies.get(*subject)
        return getattr(policy, "revision", None)
