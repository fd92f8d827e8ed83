"""Brakes as they are set and lifted: what failed is written down with them, and they go when nobody is left whom they hold.

A brake that a new revision has outdated stays while a member still brings what failed (`agbot.rules.brakes`). It goes when no member of its
group reports that any more, when its policy is gone, and with it every status that could report it, when two looks have found its group
gone, and when a person says so.
"""

from __future__ import annotations

from agbot.coordinator import entries
from agbot.coordinator.situation import Situation
from agbot.fleet.absence import CONFIRM_AFTER
from agbot.fleet.changes import Read, What
from agbot.rules import brakes
from agbot.rules.facts import Brake, Member, Policy, Sight
from agbot.rules.ids import GroupId, org_of
from agbot.rules.lease import Claim, End, Kind, Lease
from agbot.rules.reasons import Cause
from agbot.rules.seen_time import Now
from agbot.rules.statuses import Status
from agbot.rules.versions import Versions
from agbot.store.contract import Entry, Writes
from agbot.store.records import key_of


def of_release(situation: Situation, lease: Lease, cause: Cause, now: Now) -> Brake | None:
    """Return the brake that is set when this lease ends like this, None for none."""
    if lease.hold is None or not brakes.stops(lease, cause):
        return None
    claim, progress = lease.hold.claim, lease.hold.progress
    failed = _reported(situation, claim, progress.versions)
    return _brake(situation, lease, claim, failed, revision=progress.revision, cause=cause, token=lease.token, now=now)


def of_crash(situation: Situation, lease: Lease, end: End, now: Now) -> Brake | None:
    """Return the brake for an upgrade that ended well and crashed soon after; None when it is set, or nobody is left to be held.

    None as well where only a service was known to be down: without its policy there is nothing to stop.
    """
    claim = end.claim
    if not claim.subject:
        return None
    failed = _reported(situation, claim, Versions(software=end.top_version))
    if end.version and failed.software != end.version:
        # what the node reports by now is its next download, which has not failed
        failed = Versions(software=end.version)
    brake = _brake(situation, lease, claim, failed, revision=end.revision, cause=Cause.FAILED, token=end.token, now=now)
    before = situation.ledger.brakes[lease.group].get((claim.kind, claim.subject))
    if before is not None and before.revision == brake.revision:
        return None
    return None if _is_over(situation, brake) else brake


def installed(situation: Situation, lease: Lease, cause: Cause) -> str:
    """Return the agent version that the holder reports to have installed, where its upgrade ends well; empty where there is none."""
    if lease.hold is None or cause is not Cause.SUCCEEDED or lease.hold.claim.kind is not Kind.AGENT:
        return ""
    return _reported(situation, lease.hold.claim, lease.hold.progress.versions).software


def _reported(situation: Situation, claim: Claim, known: Versions) -> Versions:
    """Return what an upgrade brought: of an agent what its own status says, if it says anything."""
    status = situation.picture.status(claim.holder, claim.subject) if claim.kind is Kind.AGENT else Sight.ABSENT
    return (status.versions or known) if isinstance(status, Status) else known


def _brake(
    situation: Situation,
    lease: Lease,
    claim: Claim,
    failed: Versions,
    *,
    revision: str,
    cause: Cause,
    token: int,
    now: Now,
) -> Brake:
    before = situation.ledger.brakes[lease.group].get((claim.kind, claim.subject))
    return Brake(
        group=lease.group,
        kind=claim.kind,
        subject=claim.subject,
        revision=revision,
        since=now.wall,
        cause=cause,
        node=claim.holder,
        token=token,
        failed=brakes.added(before, failed),
    )


async def lift(situation: Situation) -> None:
    """Drop the brakes that have nothing left to hold.

    Raises:
        StoreUnavailableError: the ledger is not trusted any more.
    """
    if _over(situation).drop:
        await situation.write_due(lambda: _over(situation))


def _over(situation: Situation) -> Writes:
    now = situation.now()
    over = [
        brake
        for of_group in situation.ledger.brakes.values()
        for brake in of_group.values()
        if _is_over(situation, brake)
    ]
    drop = [key_of(brake) for brake in over]
    told: list[Entry] = [entries.brake_lifted(brake, _why_over(situation, brake), now) for brake in over]
    return Writes(drop=drop, entries=told)


def reads(situation: Situation) -> list[Read]:
    """Return what tells whether something is still to be stopped: policies that may be new or gone, groups that may be gone."""
    picture = situation.picture
    braked = {group: of_group for group, of_group in situation.ledger.brakes.items() if of_group}
    subjects = {subject for of_group in braked.values() for subject in of_group}
    policies = [picture.policies.read_of(*subject) for subject in sorted(subjects)]
    found = [read for read in policies if not picture.is_current(read)]
    situation.missing_groups = {group: at for group, at in situation.missing_groups.items() if group in braked}
    unknown = (Read(what=What.GROUP, id=group) for group in sorted(braked) if picture.lacks(group) is not None)
    return found + [read for read in unknown if _is_to_be_looked_at(situation, read)]


def _is_to_be_looked_at(situation: Situation, read: Read) -> bool:
    first = situation.missing_groups.get(GroupId(read.id))
    is_due = first is not None and situation.now().seen - first >= CONFIRM_AFTER
    return not situation.picture.is_current(read) or (is_due and situation.picture.read_at(read) == first)


def _is_group_gone(situation: Situation, group: GroupId) -> bool:
    """Tell whether two looks, a while apart, have found no such group: one answer is no evidence."""
    picture, read = situation.picture, Read(what=What.GROUP, id=group)
    read_at = picture.read_at(read) if picture.is_missing(group) else None
    if read_at is None or picture.is_wary(org_of(group)):
        situation.missing_groups.pop(group, None)
        return False
    return read_at - situation.missing_groups.setdefault(group, read_at) >= CONFIRM_AFTER


def _why_over(situation: Situation, brake: Brake) -> str:
    if _is_group_gone(situation, brake.group):
        return "the group was deleted"
    if situation.picture.policies.get(brake.kind, brake.subject) is Sight.ABSENT:
        return "the policy was deleted"
    return "the policy has a new revision" + (", and no member brings what failed" if brake.failed else "")


def _is_over(situation: Situation, brake: Brake) -> bool:
    if _is_group_gone(situation, brake.group):
        return True
    policy = situation.picture.policies.get(brake.kind, brake.subject)
    if not isinstance(policy, Policy):
        return policy is Sight.ABSENT
    if not brakes.is_other_revision(brake, policy.revision):
        return False
    brought = _brought(situation, brake, policy)
    return brought is not None and not any(brakes.names_failed(brake, each) for each in brought)


def _brought(situation: Situation, brake: Brake, policy: Policy) -> list[Versions] | None:
    """Return what the members of the group would install under this policy; None while that is not known of all of them."""
    if brake.kind is Kind.SERVICE:
        return [Versions(software=policy.top_version)]
    picture, found = situation.picture, list[Versions]()
    for node in picture.members(brake.group) if brake.failed else ():
        member = picture.member(node)
        if not isinstance(member, Member) or not picture.is_current(Read(what=What.STATUSES, id=node)):
            return None
        status = member.statuses.get(brake.subject)
        if status is not None:
            found.append(status.versions)
    return found
