"""Which groups a cycle handles: those with a change, and those that are due by time.

What is read about a group and the verdict about it depend on what is known of it and on the time.
So a group is due when it has changed in the picture, in the ledger, in a policy or in the agbot's
lists; when its lease expires or its next read is due; and, since other rules depend on the time
too, at the latest a while after it was last handled. When the context of all groups has changed,
such as the clock, the limits or the trust in the store, all are due. So the cost of a cycle follows
the changes and not the size of the fleet.
"""

from __future__ import annotations

from collections.abc import Collection, Container
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from zlib import crc32

from agbot.coordinator.schedule import Schedule
from agbot.coordinator.situation import Situation
from agbot.fleet.reads import NEVER
from agbot.rules.ids import GroupId, org_of
from agbot.rules.lease import Lease, State
from agbot.rules.limits import Limits
from agbot.rules.rest import is_under_way, rest_after
from agbot.rules.seen_time import SeenTime

_SOON: Final = timedelta(seconds=5)
"""When a group is handled again that rests or has a deferral, or a lease that is suspect, expired,
not confirmed yet, or about to end after a grace period.

Several limits of time apply to these.
"""
_AT_THE_LATEST: Final = timedelta(seconds=30)
"""When any other group is handled again at the latest. Heartbeats have this pace; one that follows
another is no change."""
_MOST_GROUPS_PER_SECOND: Final = 250
"""How many groups are handled in a second by time alone.

It keeps a cycle under half a second of processor. With 20,000 groups that upgrade, each is handled
every 80 s: a heartbeat may be several times as old before its node counts as silent.
"""
_PARTS: Final = 16
"""Groups of one part share their times: a few values for thousands of groups."""


def _part(name: str) -> int:
    """Return to which of a few equal parts a name belongs, the same in every run."""
    return crc32(name.encode()) % _PARTS


@dataclass(frozen=True, slots=True)
class _Context:
    """What is relevant to every group: when it changes, all are due."""

    clear_since: SeenTime | None
    gaps: Any
    is_steady: bool
    is_in_doubt: bool
    limits_of: Any
    agbot: Any


class Attention:
    """Schedules the groups with changes: for reads, for the judges of leases, and for waiters."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self.reading = Schedule()
        self.judging = Schedule()
        self.waiting = Schedule()
        self._context: _Context | None = None
        self._listed: Collection[GroupId] = ()
        self._latest_now: SeenTime | None = None
        self._latest: dict[int, SeenTime] = {}

    def gather(self) -> None:
        """Schedule what has changed since the last call."""
        situation = self._situation
        changed, everywhere = situation.picture.take_changed()
        self._due((*changed, *situation.ledger.tally.take_changed(), *self._of_policies(), *self._of_rows()))
        now, limits_of = situation.now(), situation.limits_of
        in_doubt = bool(situation.doubts(now) or situation.dates.why_unknown())
        rows = situation.rows.source
        context = _Context(now.clear_since, now.gaps, now.is_steady, in_doubt, limits_of, rows)
        if everywhere or context != self._context:
            self.everything()
        self._context = context

    def everything(self) -> None:
        """Make every group due that has a lease, a waiter, a deferral or a brake, or may rest."""
        tally = self._situation.ledger.tally
        self._due((*tally.mattering, *tally.ended, *tally.braked_groups()))

    def pace(self, name: str) -> timedelta:
        """Return after how long the group or organisation of this name is handled by time alone.

        On average it is the time for every group that matters at the highest rate. It differs by up
        to a quarter, so that what was once handled in the same moment does not stay together.
        """
        seconds = len(self._situation.ledger.tally.mattering) / _MOST_GROUPS_PER_SECOND
        return timedelta(seconds=seconds * (0.75 + 0.5 * _part(name) / _PARTS))

    def read_again(self, group: GroupId, due_at: SeenTime, now: SeenTime, *, is_watched: bool) -> None:
        """Schedule a group for its next read at `due_at`.

        If it `is_watched`, what must be read may change with time alone, so its plan is made again
        before that.
        """
        if self._has_many_limits(group, now):
            due_at = min(due_at, now + _SOON)
        elif is_watched:
            # with the other groups of its organisation, whose nodes are read in one list
            due_at = min(due_at, self._at_the_latest(org_of(group), now))
        if due_at != NEVER:
            self.reading.at(group, due_at)

    def judge_again(self, group: GroupId, now: SeenTime) -> None:
        """Schedule a group that was just judged for when it is next due by time alone."""
        tally, lease = self._situation.ledger.tally, self._situation.ledger.lease(group)
        if self._has_many_limits(group, now):
            self.judging.at(group, now + _SOON)
        elif lease.tenure is not None:
            expires_at = lease.tenure.expiry(self._situation.limits_of(group).lease_seconds)
            latest = self._at_the_latest(group, now)
            self.judging.at(group, min(expires_at, latest) if expires_at > now else latest)
        elif group in tally.mattering:
            self.judging.at(group, self._at_the_latest(group, now))

    def _at_the_latest(self, name: str, now: SeenTime) -> SeenTime:
        """Return one of a few values, because there are thousands of groups in a cycle."""
        if self._latest_now != now:
            self._latest_now = now
            self._latest.clear()
        part = _part(name)
        known = self._latest.get(part)
        if known is None:
            known = self._latest[part] = now + max(_AT_THE_LATEST, self.pace(name))
        return known

    def _has_many_limits(self, group: GroupId, now: SeenTime) -> bool:
        ledger, limits = self._situation.ledger, self._situation.limits_of(group)
        lease = ledger.lease(group)
        if lease.state is State.SUSPECT or group in ledger.tally.deferred_in:
            return True
        tenure = lease.tenure
        if tenure is not None and (
            not tenure.progress.confirmed
            or tenure.progress.pending_since is not None
            or tenure.expiry(limits.lease_seconds) <= now
        ):
            return True
        return self._waits_for_proof(lease, limits)

    def _waits_for_proof(self, lease: Lease, limits: Limits) -> bool:
        """Whether the last upgraded member has not been seen healthy since, and that is waited for.

        A grant means that the rest is over. What ends a proof is a change, or the time in which a
        heartbeat grows old, as in any other group.
        """
        if lease.group not in self._situation.ledger.tally.ended:
            return False
        rest = rest_after(lease.last_end, limits)
        if rest is None:
            return False
        member = self._situation.picture.member(rest.end.claim.holder)
        return is_under_way(rest, member, limits, self._situation.now())

    def _due(self, groups: Collection[GroupId]) -> None:
        self.reading.at_once(groups)
        self.judging.at_once(groups)
        self.waiting.at_once(groups)

    def _of_policies(self) -> Collection[GroupId]:
        """Return the groups that changed policies concern.

        A pattern may be of another organisation.
        """
        changed = set(self._situation.picture.policies.take_changed())
        if not changed:
            return ()
        orgs, tally = {org_of(policy) for policy in changed}, self._situation.ledger.tally
        found = [group for group in tally.mattering if org_of(group) in orgs or self._holds_for(group, changed)]
        return [
            *found,
            *(group for group in tally.braked_groups() if org_of(group) in orgs or self._stops(group, changed)),
        ]

    def _stops(self, group: GroupId, policies: Container[str]) -> bool:
        brakes = self._situation.ledger.brakes.get(group, {})
        return any(brake.subject in policies for brake in brakes.values())

    def _holds_for(self, group: GroupId, policies: Container[str]) -> bool:
        tenure = self._situation.ledger.lease(group).tenure
        return tenure is not None and (tenure.claim.subject in policies or tenure.progress.pattern in policies)

    def _of_rows(self) -> Collection[GroupId]:
        """Return the groups of which the agbot lists an upgrade, now or at the last call."""
        before, self._listed = self._listed, tuple(self._situation.rows.states)
        return (*before, *self._listed)  # that a row has gone is a change too
