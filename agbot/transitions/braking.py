"""Sets and lifts brakes, by what is known about a node and its upgrade when that has ended.

A brake names the failed version. A new revision of its policy does not lift it while a member still
installs that version (`rules.brakes`). It is lifted when no member of its group reports that
version any more, when its policy is gone (and with it all statuses), when its group is gone, or by
an operator.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from agbot.events import outcomes
from agbot.rules import brakes
from agbot.rules.facts import Node, Policy, Sight
from agbot.rules.ids import GroupId
from agbot.rules.lease import Claim, End, Kind, Lease
from agbot.rules.reasons import Cause
from agbot.rules.records import Brake
from agbot.rules.seen_time import Now
from agbot.rules.statuses import Status
from agbot.rules.versions import Versions
from agbot.store.records import key_of
from agbot.transitions.change import NO_CHANGE, Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded:
    """The node, its own report, and the brake that already stops this upgrade in the group."""

    node: Node | Sight = Sight.UNREAD
    status: Status | Sight = Sight.UNREAD
    """The node's report of the upgrade; a service upgrade has none."""
    brake: Brake | None = None

    def brought(self, claim: Claim, known: Versions) -> Versions:
        """Return the installed versions: for an agent those of its own report, if it names any."""
        if claim.kind is Kind.SERVICE or isinstance(self.status, Sight):
            return known
        return self.status.versions or known


@dataclass(frozen=True, slots=True, kw_only=True)
class BrakeFacts:
    """What shows whether a brake has anything left to stop."""

    policy: Policy | Sight
    is_group_gone: bool = False
    """Its absence is confirmed."""
    brought: tuple[Versions, ...] | None = None
    """The versions that the members report under a node management policy; None while those of some
    members are not known."""


def after_end(lease: Lease, end: End, upgraded: Upgraded, now: Now) -> Brake | None:
    """Return the brake that this end of the lease sets, or None."""
    if lease.tenure is None or not brakes.stops(lease, end.cause):
        return None
    failed = upgraded.brought(end.claim, lease.tenure.progress.versions)
    return _brake(lease.group, end, failed, upgraded.brake, now)


def after_crash(group: GroupId, end: End, upgraded: Upgraded, facts: BrakeFacts, now: Now) -> Brake | None:
    """Return the brake for an upgrade that succeeded and failed soon after.

    None if it is already set or has nothing left to stop, or if the upgrade was of a service whose
    policy is not known.
    """
    known = upgraded.brake
    if not end.claim.subject or (known is not None and known.revision == end.revision):
        return None
    failed = upgraded.brought(end.claim, Versions(software=end.top_version))
    if end.version and failed.software != end.version:
        # what the node reports now is its next download, which has not failed
        failed = Versions(software=end.version)
    brake = _brake(group, end, failed, known, now)
    return None if why_over(brake, facts) is not None else brake


def _brake(group: GroupId, end: End, failed: Versions, known: Brake | None, now: Now) -> Brake:
    """Return the brake for this end. A success that is contradicted later has failed."""
    return Brake(
        group=group,
        kind=end.claim.kind,
        subject=end.claim.subject,
        revision=end.revision,
        since=now.wall,
        cause=Cause.FAILED if end.cause is Cause.SUCCEEDED else end.cause,
        node=end.claim.holder,
        token=end.token,
        failed=brakes.added(known, failed),
    )


def crash(lease: Lease, end: End, brake: Brake, why: str, now: Now) -> Change:
    """Stop an upgrade whose member was healthy at first and no longer is."""
    change = Change(put=[brake], events=[outcomes.brake_set(brake, why)], at=now.wall)
    if lease.last_end != end:  # it crashes where no lease was held for it
        return change
    return replace(change, before=lease, after=replace(lease, last_end=replace(end, is_stopped=True)))


def lift(over: Iterable[tuple[Brake, str]], now: Now, who: str = "coordinator") -> Change:
    """Lift brakes, each with the reason."""
    lifted = tuple(over)
    if not lifted:
        return NO_CHANGE
    events = [outcomes.brake_lifted(brake, why, who) for brake, why in lifted]
    return Change(drop=[key_of(brake) for brake, _ in lifted], events=events, at=now.wall)


def why_over(brake: Brake, facts: BrakeFacts) -> str | None:
    """Return why a brake has nothing left to stop; None if it has, or if that is not known."""
    policy = facts.policy
    if facts.is_group_gone:
        return "the group was deleted"
    if policy is Sight.ABSENT:
        return "the policy was deleted"
    if not isinstance(policy, Policy) or not brakes.is_other_revision(brake, policy.revision):
        return None
    # a member may go on with its old download under the new revision (decision 18)
    if brake.kind is Kind.SERVICE:
        comes: tuple[Versions, ...] | None = (Versions(software=policy.top_version),)
    else:
        comes = facts.brought if brake.failed else ()
    if comes is None or any(brakes.names_failed(brake, each) for each in comes):
        return None
    return "the policy has a new revision" + (", and no member installs the failed version" if brake.failed else "")
