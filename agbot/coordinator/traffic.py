"""What goes on in other groups, as far as a limit looks at it: how many upgrade now, which releases failed where, how far a release is.

Everything here is derived from the ledger; nothing is remembered but the last derivation, until the ledger changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from agbot.coordinator.ledger import Ledger
from agbot.fleet.picture import Picture
from agbot.rules import ids
from agbot.rules.brakes import is_other_revision
from agbot.rules.facts import Brake, Member, Rollout, Traffic
from agbot.rules.ids import GroupId, OrgId, PolicyId
from agbot.rules.lease import Claim, Kind, Lease, State
from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause
from agbot.rules.rest import rest_after, why_unproven
from agbot.rules.seen_time import Now, SeenTime

Subject = tuple[Kind, PolicyId]

_RESTS_CHANGE = timedelta(seconds=1)
"""A rest ends by the time alone, without a change of the ledger."""
_NOT_COUNTED = Traffic()


class TrafficReport:
    """Answers from the ledger, derived once for each of its states."""

    def __init__(self, picture: Picture, ledger: Ledger, limits_of: Callable[[GroupId], Limits]) -> None:
        self._picture = picture
        self._ledger = ledger
        self._limits_of = limits_of
        self._version = -1
        self._busy: dict[GroupId, OrgId] = {}
        self._brakes: dict[OrgId, tuple[Brake, ...]] = {}
        self._rollouts: dict[tuple[OrgId, Subject, str | None], tuple[SeenTime, Rollout]] = {}

    def traffic(self, group: GroupId, limits: Limits) -> Traffic:
        """Count the other groups that have a lease, where a limit asks for it."""
        if not limits.max_groups_in_org and not limits.max_groups_in_fleet:
            return _NOT_COUNTED
        self._refresh()
        others = [org for each, org in self._busy.items() if each != group]
        return Traffic(busy_in_org=others.count(ids.org_of(group)), busy_in_fleet=len(others))

    def org_brakes(self, group: GroupId) -> tuple[Brake, ...]:
        """Return the brakes of a group's organisation."""
        self._refresh()
        return self._brakes.get(ids.org_of(group), ())

    def rollouts(
        self, group: GroupId, limits: Limits, subjects: Iterable[Subject], now: Now
    ) -> Mapping[Subject, Rollout]:
        """Tell how far releases are in a group's organisation, where a limit asks for it."""
        if not limits.canary_percent and not limits.approval:
            return {}
        self._refresh()
        return {subject: self._rollout(ids.org_of(group), subject, now) for subject in subjects}

    def _refresh(self) -> None:
        if self._version != self._ledger.version:
            self._version = self._ledger.version
            self._rollouts.clear()
            found = [brake for brakes in self._ledger.brakes.values() for brake in brakes.values()]
            orgs = {ids.org_of(brake.group) for brake in found}
            self._brakes = {org: tuple(each for each in found if ids.org_of(each.group) == org) for org in orgs}
            busy = [*(lease.group for lease in self._ledger.occupied()), *self._ledger.granting]
            self._busy = {group: ids.org_of(group) for group in busy}

    def _rollout(self, org: OrgId, subject: Subject, now: Now) -> Rollout:
        revision = self._revision(subject)
        at, known = self._rollouts.get((org, subject, revision), (now.seen, None))
        if known is None or now.seen - at > _RESTS_CHANGE:
            known = self._derived(org, subject, revision, now)
            self._rollouts[org, subject, revision] = (now.seen, known)
        return known

    def _derived(self, org: OrgId, subject: Subject, revision: str | None, now: Now) -> Rollout:
        started = [
            lease
            for lease in {**self._ledger.leases, **self._ledger.granting}.values()
            if ids.org_of(lease.group) == org and has_started(lease, subject, revision)
        ]
        stopped = {lease.group for lease in started if self._is_stopped(lease, subject, revision)}
        unproven = {lease.group for lease in started if lease.group not in stopped and _proves_nothing(lease, subject)}
        why = {
            lease.group: "has stopped it" if lease.group in stopped else self._why_unfinished(lease, subject, now)
            for lease in started
            if lease.group not in unproven
        }
        return Rollout(
            started=frozenset(lease.group for lease in started),
            unfinished={group: text for group, text in why.items() if text is not None},
            unproven=frozenset(unproven),
        )

    def _is_stopped(self, lease: Lease, subject: Subject, revision: str | None) -> bool:
        """Whether this release failed in the group. One that failed in a former revision says nothing about this one."""
        brake = self._ledger.brakes.get(lease.group, {}).get(subject)
        return brake is not None and not is_other_revision(brake, revision)

    def _revision(self, subject: Subject) -> str | None:
        policy = self._picture.policies.get(*subject)
        return getattr(policy, "revision", None)

    def _why_unfinished(self, lease: Lease, subject: Subject, now: Now) -> str | None:
        group, ledger, limits = lease.group, self._ledger, self._limits_of(lease.group)
        hold = lease.hold
        if hold is not None and _subject(hold.claim) == subject:
            return f"upgrades {hold.claim.holder}" if lease.state is State.HELD else "does not know how it ended"
        if any(waiter.ask.subject == subject for waiter in ledger.waiters.get(group, {}).values()):
            return "has members that wait for it"
        rest = rest_after(lease.last_end, limits)
        if rest is None or now.seen >= rest.proof_until:
            return None
        member = self._picture.member(rest.end.claim.holder)
        is_well = (
            now.seen >= rest.until and isinstance(member, Member) and why_unproven(rest, member, limits, now) is None
        )
        return None if is_well else "rests"


def has_started(lease: Lease, subject: Subject, revision: str | None) -> bool:
    """Tell whether a member of the group has held its lease for this release; the last two upgrades of a group are known.

    A former revision is another release: one that hangs, or whose end nobody knows, neither stands for the repaired one nor keeps it back.
    """
    hold, end = lease.hold, lease.last_end
    holds = hold is not None and _is_of(hold.claim, hold.progress.revision, subject, revision)
    return holds or (end is not None and _is_of(end.claim, end.revision, subject, revision))


def _is_of(claim: Claim, carried_out: str, subject: Subject, revision: str | None) -> bool:
    return _subject(claim) == subject and revision in {None, carried_out}


def _subject(claim: Claim) -> Subject:
    return claim.kind, claim.subject


def _proves_nothing(lease: Lease, subject: Subject) -> bool:
    """Whether the group has done with this release without success. Where it has failed the release is to blame, and keeps its place."""
    hold, end = lease.hold, lease.last_end
    is_busy = hold is not None and _subject(hold.claim) == subject
    return end is not None and not is_busy and end.cause is not Cause.SUCCEEDED
