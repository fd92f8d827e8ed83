"""Counts and lists over all groups, kept up to date with every change, so that none needs a scan.

After any change of a group, `update` counts that group again and corrects the totals by the
difference. The totals are therefore always equal to those of a scan of the ledger.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from agbot.rules.ids import GroupId, NodeId, OrgId, org_of
from agbot.rules.lease import Lease, State
from agbot.rules.records import Brake, Deferral, Waiter


@dataclass(frozen=True, slots=True)
class _Counted:
    """What is counted of one group."""

    state: State = State.FREE
    is_granting: bool = False
    has_ended: bool = False
    """The last end of its lease is known, and no lease was granted after it.

    A lease of an unasked upgrade does not count as granted: the agbot does not wait for the rest.
    """
    waiting: int = 0
    deferred: int = 0
    overlaps: int = 0
    brakes: int = 0
    is_crossing: bool = False
    """Its lease or a waiter of it follows a policy of another organisation."""

    @property
    def is_busy(self) -> bool:
        """Whether it has a lease, or is being granted one."""
        return self.is_granting or self.state is not State.FREE

    @property
    def matters(self) -> bool:
        """Whether it has a lease, a waiter or a deferral."""
        return self.state is not State.FREE or self.waiting > 0 or self.deferred > 0


_NOTHING = _Counted()
_Groups = dict[GroupId, None]
"""A set in order of insertion, so that a repeated run takes the same course."""


class Tally:
    """Counts and lists over the groups of a ledger."""

    def __init__(
        self,
        leases: Mapping[GroupId, Lease],
        granting: Mapping[GroupId, Lease],
        waiters: Mapping[GroupId, Mapping[Any, Waiter]],
        deferrals: Mapping[GroupId, Mapping[NodeId, Deferral]],
        brakes: Mapping[GroupId, Mapping[Any, Brake]],
    ) -> None:
        """Count the contents of these mappings, which the ledger keeps."""
        self._leases, self._granting = leases, granting
        self._waiters, self._deferrals, self._brakes = waiters, deferrals, brakes
        self._known: dict[GroupId, _Counted] = {}
        self._distinct: dict[_Counted, _Counted] = {}
        """Each value that any group has had: few values, which all groups share."""
        self.occupied: _Groups = {}
        """Groups whose lease is held or suspect."""
        self.ended: _Groups = {}
        self.mattering: _Groups = {}
        """Groups with a lease, a waiter or a deferral."""
        self.waited_in: _Groups = {}
        self.deferred_in: _Groups = {}
        self.crossing: _Groups = {}
        """Groups in which a policy of another organisation is followed or waited for."""
        self.braked: defaultdict[OrgId, _Groups] = defaultdict(dict)
        """Groups with a brake, by organisation."""
        self.started: defaultdict[OrgId, _Groups] = defaultdict(dict)
        """Groups that had a lease or are being granted one, by organisation."""
        self.busy: Counter[OrgId] = Counter()
        """How many groups have a lease or are being granted one."""
        self.busy_in_fleet = 0
        self.states: Counter[State] = Counter()
        self.waiting = self.deferred = self.overlaps = self.brakes = 0
        self._changed: _Groups = {}
        self.revisions: Counter[OrgId] = Counter()
        """A number for each organisation that rises with every change in it."""

    def is_busy(self, group: GroupId) -> bool:
        """Whether a group has a lease or is being granted one."""
        return self._known.get(group, _NOTHING).is_busy

    def braked_groups(self) -> Iterator[GroupId]:
        """Yield the groups with a brake."""
        return chain.from_iterable(self.braked.values())

    def take_changed(self) -> Collection[GroupId]:
        """Return the groups that have changed since the last call."""
        found = tuple(self._changed)
        self._changed.clear()
        return found

    def update(self, group: GroupId) -> None:
        """Update the totals after a change of this group."""
        org, before, after = org_of(group), self._known.get(group, _NOTHING), self._counted(group)
        self.revisions[org] += 1
        self._changed[group] = None
        # before the comparison: a first lease that is free again changes none of the counts
        _keep(self.started[org], group, is_in=group in self._leases or after.is_granting)
        if before == after:
            return
        self._known[group] = self._distinct.setdefault(after, after)
        self._count(org, before, after)
        _keep(self.occupied, group, is_in=after.state is not State.FREE)
        _keep(self.ended, group, is_in=after.has_ended)
        _keep(self.mattering, group, is_in=after.matters)
        _keep(self.waited_in, group, is_in=after.waiting > 0)
        _keep(self.deferred_in, group, is_in=after.deferred > 0)
        _keep(self.crossing, group, is_in=after.is_crossing)
        _keep(self.braked[org], group, is_in=after.brakes > 0)

    def update_all(self) -> None:
        """Update the totals after every group may have changed."""
        known = (self._known, self._leases, self._granting, self._waiters, self._deferrals, self._brakes)
        for group in dict.fromkeys(group for each in known for group in each):
            self.update(group)

    def _counted(self, group: GroupId) -> _Counted:
        lease, deferrals = self._leases.get(group), self._deferrals.get(group, {})
        has_ended = lease is not None and lease.last_end is not None
        return _Counted(
            state=State.FREE if lease is None else lease.state,
            is_granting=group in self._granting,
            has_ended=has_ended and lease is not None and (lease.tenure is None or lease.tenure.progress.observed),
            waiting=len(self._waiters.get(group, ())),
            deferred=len(deferrals),
            overlaps=sum(each.is_overlap for each in deferrals.values()),
            brakes=len(self._brakes.get(group, ())),
            is_crossing=self._is_crossing(group, lease),
        )

    def _is_crossing(self, group: GroupId, lease: Lease | None) -> bool:
        subjects = [waiter.ask.claim.subject for waiter in self._waiters.get(group, {}).values()]
        if lease is not None and lease.tenure is not None and lease.tenure.claim.subject:
            subjects.append(lease.tenure.claim.subject)
        return any(org_of(subject) != org_of(group) for subject in subjects)

    def _count(self, org: OrgId, before: _Counted, after: _Counted) -> None:
        self.busy[org] += after.is_busy - before.is_busy
        self.busy_in_fleet += after.is_busy - before.is_busy
        self.states[before.state] -= 1
        self.states[after.state] += 1
        self.waiting += after.waiting - before.waiting
        self.deferred += after.deferred - before.deferred
        self.overlaps += after.overlaps - before.overlaps
        self.brakes += after.brakes - before.brakes


def _keep(groups: _Groups, group: GroupId, *, is_in: bool) -> None:
    if is_in:
        groups[group] = None
    else:
        groups.pop(group, None)
