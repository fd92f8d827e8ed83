"""The facts about a brake: its policy, its group, and the versions that members install.

An upgrade that crashed soon after its success gets its brake here.
"""

from __future__ import annotations

from agbot.coordinator.memory.group_facts import upgraded
from agbot.coordinator.situation import Situation
from agbot.fleet.absence import CONFIRM_AFTER
from agbot.fleet.changes import Read, What
from agbot.rules.facts import Member, Policy
from agbot.rules.ids import GroupId, PolicyId, org_of
from agbot.rules.lease import End, Kind
from agbot.rules.versions import Versions
from agbot.transitions import braking
from agbot.transitions.upgraded import BrakeFacts


class Crashes:
    """Stops upgrades that have crashed, each once: an operator that lifts the brake has seen it."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._stopped: dict[GroupId, int] = {}
        """Group -> the token of the last end that was stopped."""

    async def stop(self, group: GroupId, end: End, why: str) -> str:
        """Set the brake for a crash after this end (`braking`); return what was done.

        Empty if there is nothing left to stop, or it was stopped before.
        """
        situation, claim = self._situation, end.claim
        known = upgraded(claim, group, situation.picture, situation.ledger)
        facts = facts_of(situation, group, claim.kind, claim.subject, end.revision)
        brake = braking.after_crash(group, end, known, facts, situation.now())
        if brake is None or self._stopped.get(group) == end.token:
            return ""
        await situation.commit(braking.crash(brake, why, situation.now()))
        self._stopped[group] = end.token
        return f"stopped {brake.subject} in {group} ({why})"


def facts_of(situation: Situation, group: GroupId, kind: Kind, subject: PolicyId, revision: str) -> BrakeFacts:
    """Return the facts on whether a brake on this revision can still stop anything in the group."""
    policy = situation.picture.policies.certain(kind, subject)
    is_replaced = isinstance(policy, Policy) and policy.revision != revision
    return BrakeFacts(
        policy=policy,
        is_group_gone=_is_group_gone(situation, group),
        brought=_brought(situation, group, subject) if is_replaced and kind is Kind.AGENT else None,
    )


def _is_group_gone(situation: Situation, group: GroupId) -> bool:
    """Whether two reads, a while apart, have found no such group: one answer is no evidence."""
    picture, read = situation.picture, Read(what=What.GROUP, id=group)
    read_at = picture.read_at(read) if picture.is_missing(group) else None
    if read_at is None or picture.is_wary(org_of(group)):
        situation.missing_groups.pop(group, None)
        return False
    return read_at - situation.missing_groups.setdefault(group, read_at) >= CONFIRM_AFTER


def _brought(situation: Situation, group: GroupId, subject: PolicyId) -> tuple[Versions, ...] | None:
    """Return the versions that the members would install under this policy.

    None if not all are known, for example because the group has not been read since the start.
    """
    picture, found = situation.picture, list[Versions]()
    if picture.why_missing(group) is not None:
        return None
    for node in picture.members(group):
        member = picture.member(node)
        if not isinstance(member, Member) or not picture.is_current(Read(what=What.STATUSES, id=node)):
            return None
        status = member.statuses.get(subject)
        if status is not None:
            found.append(status.versions)
    return tuple(found)
