"""Watches groups that rest: if the last upgrade has failed after all, it stops the next one."""

from __future__ import annotations

from collections.abc import Iterable

from agbot.coordinator.memory import group_facts
from agbot.coordinator.review import brake_facts
from agbot.coordinator.review.brake_facts import Crashes
from agbot.coordinator.situation import Situation
from agbot.rules.facts import Member
from agbot.rules.ids import GroupId
from agbot.rules.lease import End, Lease
from agbot.rules.rest import Rest, is_waited_for, rest_after, why_crashed, why_failed, why_unproven
from agbot.transitions import ends


class Resting:
    """Watches the members that were upgraded last, while their groups wait for proof of health."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._crashes = Crashes(situation)

    async def watch(self, groups: Iterable[GroupId]) -> list[str]:
        """Stop the upgrades in these groups whose member was healthy at first and no longer is.

        Return what was done, one phrase each.
        """
        done: list[str] = []
        for lease, rest, member in self._unproven(groups):
            why = why_failed(rest, member, self._situation.picture.node_read_at(member.node.id))
            if why is not None:
                done += await self._contradict(lease.group, rest.end, why)
                continue
            why = why_crashed(rest, member)
            stopped = await self._crashes.stop(lease.group, rest.end, why) if why is not None else ""
            done += [stopped] if stopped else []
        return done

    def _unproven(self, groups: Iterable[GroupId]) -> list[tuple[Lease, Rest, Member]]:
        """Return the leases, rests and upgraded members of the groups that wait for the proof."""
        situation, now = self._situation, self._situation.now()
        found: list[tuple[Lease, Rest, Member]] = []
        ended = situation.ledger.tally.ended
        for lease in (situation.ledger.lease(group) for group in groups if group in ended):
            with situation.troubles.guard("rest", lease.group):
                limits = situation.limits_of(lease.group)
                rest = rest_after(lease.last_end, limits)
                member = situation.picture.member(rest.end.claim.holder) if rest is not None else None
                if rest is None or not isinstance(member, Member) or not is_waited_for(rest, member, now):
                    continue
                if why_unproven(rest, member, limits, now) is not None:
                    found.append((lease, rest, member))
        return found

    async def _contradict(self, group: GroupId, end: End, why: str) -> list[str]:
        situation, claim, lease = self._situation, end.claim, self._situation.ledger.lease(group)
        if lease.last_end != end:
            return []  # another upgrade has ended meanwhile
        known = group_facts.upgraded(claim, group, situation.picture, situation.ledger)
        seen = brake_facts.facts_of(situation, group, claim.kind, claim.subject, end.revision)
        change = ends.contradict(lease, known, seen, why, situation.now())
        return [f"takes the success of {claim.holder} for a failure ({why})"] if await situation.commit(change) else []
