"""Stops upgrades that have failed after all, and lifts the brakes with nothing left to stop."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from agbot.coordinator.memory import group_facts
from agbot.coordinator.situation import Situation
from agbot.fleet.changes import Read, What
from agbot.rules.facts import Member, Policy
from agbot.rules.ids import GroupId, PolicyId
from agbot.rules.lease import End, Kind, Lease
from agbot.rules.rest import Rest, lacks_proof, rest_after, why_crashed, why_failed
from agbot.rules.versions import Versions
from agbot.transitions import braking, ends
from agbot.transitions.braking import BrakeFacts, Upgraded
from agbot.transitions.change import Change


class Brakes:
    """Sets and lifts brakes beside the ends of leases."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._stopped: dict[GroupId, int] = {}
        """The token of the last end that was stopped as a crash, or of the lease of another member
        that gets the same release: each once, since who lifts the brake has seen it."""

    async def watch(self, groups: Iterable[GroupId]) -> list[str]:
        """Stop the upgrades in these groups whose member was healthy at first and no longer is.

        While a group waits for the proof that its last upgraded member is healthy, the success of
        that one may be contradicted, or it may crash. Return what was done, one phrase each.
        """
        done: list[str] = []
        for lease, rest, member in self._unproven(groups):
            why = why_failed(rest, member, self._situation.picture.node_read_at(member.node.id))
            if why is not None:
                done += await self._contradict(lease.group, rest.end, why)
                continue
            why = why_crashed(rest, member)
            if why is not None:
                done += await self.stop(lease.group, rest.end, why)
        return done

    async def stop(self, group: GroupId, end: End, why: str) -> list[str]:
        """Set the brake for a crash after this end; return what was done, one phrase each.

        Nothing is done if there is nothing left to stop, or it was stopped before.
        """
        situation, now, lease = self._situation, self._situation.now(), self._situation.ledger.lease(group)
        if end.is_stopped or self._stopped.get(group) == end.token:
            return []
        brake = braking.after_crash(group, end, self._upgraded(group, end), self._facts_after(group, end), now)
        if brake is None or not await situation.commit(braking.crash(lease, end, brake, why, now)):
            return []
        self._stopped[group] = end.token  # after the commit: a write that fails is tried again
        return [f"stopped {brake.subject} in {group} ({why})"]

    async def lift(self, groups: Iterable[GroupId]) -> None:
        """Lift the brakes of these groups that have nothing left to stop."""
        situation = self._situation
        for group in groups:
            if situation.ledger.brakes.get(group):
                with situation.troubles.guard("brakes", group):
                    if self._over(group):
                        await situation.commit_due(partial(self._over, group))
        situation.troubles.keep("brakes", situation.ledger.brakes)

    def facts_of(self, group: GroupId, kind: Kind, subject: PolicyId, revision: str) -> BrakeFacts:
        """Return the facts on whether a brake on this revision can still stop anything."""
        picture = self._situation.picture
        policy = picture.policies.certain(kind, subject)
        is_replaced = isinstance(policy, Policy) and policy.revision != revision
        return BrakeFacts(
            policy=policy,
            is_group_gone=picture.is_gone(group),
            brought=self._brought(group, subject) if is_replaced and kind is Kind.AGENT else None,
        )

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
                if rest is not None and isinstance(member, Member) and lacks_proof(rest, member, limits, now):
                    found.append((lease, rest, member))
        situation.troubles.keep("rest", ended)
        return found

    async def _contradict(self, group: GroupId, end: End, why: str) -> list[str]:
        situation, lease = self._situation, self._situation.ledger.lease(group)
        if lease.last_end != end:
            return []  # another upgrade has ended meanwhile
        known, facts = self._upgraded(group, end), self._facts_after(group, end)
        is_done = await situation.commit(ends.contradict(lease, known, facts, why, situation.now()))
        return [f"takes the success of {end.claim.holder} for a failure ({why})"] if is_done else []

    def _over(self, group: GroupId) -> Change:
        brakes = self._situation.ledger.brakes.get(group, {}).values()
        facts = ((each, self.facts_of(group, each.kind, each.subject, each.revision)) for each in brakes)
        over = [(brake, why) for brake, seen in facts if (why := braking.why_over(brake, seen)) is not None]
        return braking.lift(over, self._situation.now())

    def _facts_after(self, group: GroupId, end: End) -> BrakeFacts:
        return self.facts_of(group, end.claim.kind, end.claim.subject, end.revision)

    def _upgraded(self, group: GroupId, end: End) -> Upgraded:
        return group_facts.upgraded(end.claim, group, self._situation.picture, self._situation.ledger)

    def _brought(self, group: GroupId, subject: PolicyId) -> tuple[Versions, ...] | None:
        """Return the versions that the members would install under this policy.

        None if not all are known, for example because the group has not been read since the start.
        """
        picture, found = self._situation.picture, list[Versions]()
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
