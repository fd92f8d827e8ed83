"""Every occupied lease is looked at in every cycle, against what the Exchange says of its holder (`agbot.rules.review`).

The facts of a review are written down where it ends a lease or makes it suspect, and put together for nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from agbot.coordinator import dossier, entries, group_facts, stopping
from agbot.coordinator.dossier import Review
from agbot.coordinator.entries import Ending
from agbot.coordinator.situation import Situation
from agbot.rules import lease as leases
from agbot.rules.deferral import left_behind
from agbot.rules.facts import Brake, Member, Served
from agbot.rules.ids import GroupId
from agbot.rules.lease import Lease, State
from agbot.rules.reasons import Cause
from agbot.rules.rest import Rest, why_contradicted, why_crashed
from agbot.rules.review import review
from agbot.rules.seen_time import Now
from agbot.rules.verdict import Keep, Release, Renew, Suspect
from agbot.store.contract import Lost, Writes
from agbot.store.records import Record


def release_writes(lease: Lease, ending: Ending, now: Now, brake: Brake | None) -> Writes:
    """Return what is written together with the release of this lease: who was served, the brake of a failure, the entries."""
    if lease.hold is None:
        return Writes()
    served = Served(group=lease.group, node=lease.hold.claim.holder, until=now.seen, cause=ending.cause)
    put: list[Record] = [served]
    told = [entries.released(lease, ending, now)]
    if brake is not None:
        put.append(brake)
        told.append(entries.brake_set(brake, now))
    return Writes(put=put, entries=told)


class Reviewing:
    """Carries out the verdicts."""

    def __init__(self, situation: Situation, blind_after: timedelta) -> None:
        """A holder that was not read for `blind_after` is not judged by its heartbeat."""
        self._situation = situation
        self._blind_after = blind_after
        self.notes: dict[str, str] = {}
        """Group -> what is odd about its lease, for people."""
        self._stopped: dict[GroupId, int] = {}
        """Group -> the token of the last end that was stopped afterwards: whoever lifts that brake has seen the crash."""

    async def review_all(self) -> list[str]:
        """Review every occupied lease; return what was done, one phrase each.

        Raises:
            StoreUnavailableError: the ledger is not trusted any more; the rest is reviewed when it is.
        """
        done: list[str] = []
        occupied = list(self._situation.ledger.occupied())
        self.notes = {group: note for group, note in self.notes.items() if group in {lease.group for lease in occupied}}
        for lease in occupied:
            with self._situation.troubles.guard("review", lease.group):
                phrase = await self.review(lease)
                if phrase:
                    done.append(phrase)
        self._situation.troubles.keep("review", {lease.group for lease in occupied})
        return done

    async def watch_rests(self) -> list[str]:
        """Stop an upgrade whose member was well at first and is not any more; return what was stopped, one phrase each.

        Raises:
            StoreUnavailableError: the ledger is not trusted any more.
        """
        done: list[str] = []
        for group, rest, member in self._situation.unproven_rests():
            contradiction = self._lasting_contradiction(rest, member)
            if contradiction:
                done += await self._take_for_failed(group, rest, member, contradiction)
                continue
            why, now = why_crashed(rest, member), self._situation.now()
            if why is None or self._stopped.get(group) == rest.end.token:
                continue
            brake = stopping.of_crash(self._situation, self._situation.ledger.lease(group), rest.end, now)
            if brake is None:
                continue
            await self._situation.write(Writes(put=[brake], entries=[entries.brake_set(brake, now, why)]))
            self._stopped[group] = rest.end.token
            done.append(f"stopped {brake.subject} in {group} ({why})")
        return done

    def _lasting_contradiction(self, rest: Rest, member: Member) -> str:
        """Say how the member contradicts its own report, where a look at it after the time that it had for that says so."""
        read_at, until = self._situation.picture.node_read_at(member.node.id), rest.version_until
        is_late = until is not None and read_at is not None and read_at >= until
        return (is_late and why_contradicted(rest, member)) or ""

    async def _take_for_failed(self, group: GroupId, rest: Rest, member: Member, why: str) -> list[str]:
        """Turn an end that was reported as a success into a failure: the next member does not begin the same.

        That is told also where it stops nothing, such as behind a new revision: the last that was told of it is a success.
        """
        situation, now, end = self._situation, self._situation.now(), rest.end
        lease = situation.ledger.lease(group)
        brake = stopping.of_crash(situation, lease, end, now)
        after = replace(lease, last_end=replace(end, cause=Cause.FAILED, detail=why))
        served = Served(group=group, node=end.claim.holder, until=end.since, cause=Cause.FAILED)
        put: list[Record] = [served] if brake is None else [served, brake]
        told = [entries.contradicted(group, end, member.node.agent_version, why, now)]
        told += [] if brake is None else [entries.brake_set(brake, now, why)]
        outcome = await situation.swap(lease, after, Writes(put=put, entries=told))
        return [] if isinstance(outcome, Lost) else [f"takes the success of {end.claim.holder} for a failure ({why})"]

    async def review(self, lease: Lease, *, another_has_begun: bool = False) -> str:
        """Review one occupied lease; return what was done, empty when nothing was.

        That the agbot has begun with another member shows that it is done with this one, as far as it can be.

        Raises:
            StoreUnavailableError: the ledger is not trusted any more.
        """
        situation = self._situation
        now, limits = situation.now(), situation.limits_of(lease.group)
        if situation.why_times_unknown():
            return ""
        is_listed = situation.rows.is_listed(lease.group, lease.hold.claim) if lease.hold is not None else None
        seen = group_facts.seen_holder(
            lease,
            situation.picture,
            not_before=now.seen - self._blind_after,
            is_listed=False if another_has_begun and is_listed is None else is_listed,
        )
        verdict = review(lease, seen, limits, now)
        ttl = timedelta(seconds=limits.lease_seconds)
        match verdict:
            case Release(cause=cause, why=why, ended_at=ended_at):
                kept = dossier.kept(Review(at=now, lease=lease, seen=seen, limits=limits))
                return await self.release(lease, Ending(cause=cause, why=why, ended_at=ended_at, kept=kept))
            case Renew(progress=progress, why=why, evidence_at=evidence_at):
                after = leases.renew(lease, evidence_at or now.seen, ttl, progress)
                told = () if evidence_at else (entries.renewed(after, why, now),)
                self.notes.pop(lease.group, None)
                await situation.swap(lease, after, Writes(entries=told))
                return ""
            case Suspect(why=why):
                return await self._suspect(Review(at=now, lease=lease, seen=seen, limits=limits), why)
            case Keep(progress=progress, note=note):
                self._note(lease, note)
                if lease.hold is not None and progress != lease.hold.progress:
                    await situation.swap(lease, leases.take_down(lease, progress), Writes())
                return ""

    async def release(self, lease: Lease, ending: Ending) -> str:
        """Free a lease with everything that belongs to it; an empty phrase when somebody else changed it first.

        Raises:
            StoreUnavailableError: nobody knows whether it happened.
        """
        now = self._situation.now()
        holder = lease.hold.claim.holder if lease.hold else "nobody"
        after = leases.release(lease, ending.cause, now, ending.why)
        version = stopping.installed(self._situation, lease, ending.cause)
        after = replace(after, last_end=after.last_end and replace(after.last_end, version=version))
        brake = stopping.of_release(self._situation, lease, ending.cause, now)
        writes = release_writes(lease, ending, now, brake)
        left = None
        if lease.hold is not None:
            left = left_behind(lease, ending.cause, self._situation.picture.node(lease.hold.claim.holder), now)
        if left is not None:
            told = (*writes.entries, entries.deferral_begun(left, now))
            writes = replace(writes, put=(*writes.put, left), entries=told)
        outcome = await self._situation.swap(lease, after, writes)
        self.notes.pop(lease.group, None)
        return "" if isinstance(outcome, Lost) else f"released {lease.group} ({ending.cause}: {holder})"

    async def _suspect(self, made: Review, why: str) -> str:
        lease, after = made.lease, leases.suspect(made.lease)
        told = entries.suspected(after, why, made.at, dossier.kept(made))
        outcome = await self._situation.swap(lease, after, Writes(entries=(told,)))
        self.notes[lease.group] = why
        return "" if isinstance(outcome, Lost) else f"suspects {lease.group} ({why})"

    def _note(self, lease: Lease, note: str) -> None:
        if note:
            self.notes[lease.group] = note
        elif lease.state is not State.SUSPECT:
            self.notes.pop(lease.group, None)
