"""Reviews each occupied lease when it is due, against what the Exchange shows of its holder.

`attention` decides when it is due, `agbot.rules.review` gives the verdict. The facts of a review
are collected and journalled only if it ends a lease or makes it suspect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from agbot.coordinator import decision_record
from agbot.coordinator.event_loop import Slices
from agbot.coordinator.memory import group_facts
from agbot.coordinator.situation import Situation
from agbot.events.leases import Ending
from agbot.rules.facts import Node
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Kind, Lease, State
from agbot.rules.review import review
from agbot.rules.seen_time import Now
from agbot.rules.verdict import Keep, Release, Renew, Suspect, Verdict
from agbot.store.contract import StoreUnavailableError
from agbot.transitions import ends, reviews
from agbot.transitions.braking import Upgraded
from agbot.transitions.change import NO_CHANGE, Change

_RENEWED_TOGETHER = 200
"""How many leases are renewed in one transaction: some milliseconds, in which no grant is
written."""
_COMMITTED_TOGETHER = 64
"""How many other changes are committed side by side, each in a transaction of its own or with
others: one after the other, a thousand reports in a minute take longer than the minute."""

_NOT_UPGRADED = Upgraded()


@dataclass(frozen=True, slots=True)
class _Reviewed:
    lease: Lease
    verdict: Verdict | None = None
    """None if times are not known, so that nothing can be judged."""
    change: Change = NO_CHANGE


class Reviewing:
    """Carries out the verdicts."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._done_beside: list[str] = []

    async def review_each(self, groups: Iterable[GroupId]) -> list[str]:
        """Review the occupied leases of these groups; return what was done, one phrase each.

        Raises:
            StoreUnavailableError: the ledger is no longer trusted; the rest is reviewed when it is.
        """
        done, slices = list[str](), Slices()
        ledger, renewals, changed = self._situation.ledger, list[_Reviewed](), list[_Reviewed]()
        now = self._now()
        for group in groups:
            if group not in ledger.tally.occupied:
                self._situation.notes.pop(group, None)
                continue
            with self._situation.troubles.guard("review", group):
                reviewed = self._review(ledger.lease(group), now)
                if not reviewed.change:
                    self._note(reviewed)
                elif isinstance(reviewed.verdict, Renew) and not reviewed.change.events:
                    renewals.append(reviewed)
                else:
                    changed.append(reviewed)
            if len(changed) == _COMMITTED_TOGETHER:
                done += await self._commit_each(changed)
                changed.clear()
                now = self._now()
            if await slices.end():
                now = self._now()
        done += await self._commit_each(changed)
        # Last, because an end lets another member go and a renewal none. A heartbeat renews
        # thousands of leases in the same minute.
        for first in range(0, len(renewals), _RENEWED_TOGETHER):
            await self._renew(renewals[first : first + _RENEWED_TOGETHER])
        self._situation.troubles.keep("review", ledger.tally.occupied)
        return done

    async def review_reported(self, nodes: Iterable[NodeId]) -> None:
        """Review the leases that these nodes hold, whose statuses have just been read.

        One of them may have ended its upgrade, and other members wait for that, so this does not
        wait for the cycle. The cycle judges the group again with everything else: a deferral, a
        rest, and an upgrade of which the agbot's lists show more than the report.
        """
        situation = self._situation
        if not (situation.ledger.is_trusted and situation.is_view_fresh()):
            return  # the cycle waits for both
        held = dict.fromkeys(group for node in nodes if (group := self._held_by(node)) is not None)
        with suppress(StoreUnavailableError):  # the ledger keeps it, and the cycle reports it
            done = await self.review_each(held)
            self._done_beside += done  # not of an await: the cycle may have taken the list meanwhile

    def take_done_beside(self) -> list[str]:
        """Return what was done beside the cycle since the last call, one phrase each."""
        done, self._done_beside = self._done_beside, []
        return done

    def _held_by(self, node: NodeId) -> GroupId | None:
        """Return the group in which this node was granted the lease for its agent's upgrade."""
        known = self._situation.picture.node(node)
        group = known.group if isinstance(known, Node) else None
        tenure = self._situation.ledger.lease(group).tenure if group is not None else None
        if tenure is None or tenure.claim.holder != node or tenure.claim.kind is not Kind.AGENT:
            return None
        # of an unasked upgrade the agbot's lists are read first, which the cycle does
        return None if tenure.progress.observed else group

    async def _commit_each(self, changed: Sequence[_Reviewed]) -> list[str]:
        """Commit changes of different groups side by side: the store writes them together."""
        done = list[str]()

        async def commit(reviewed: _Reviewed) -> None:
            with self._situation.troubles.guard("review", reviewed.lease.group):
                done.extend(await self._commit(reviewed))

        for failed in await asyncio.gather(*map(commit, changed), return_exceptions=True):
            if failed is not None:
                raise failed
        return done

    async def _renew(self, renewals: Sequence[_Reviewed]) -> None:
        """Commit changes that only renew leases; one that has changed meanwhile stays as it is."""
        renewed = [(each.lease, each.change.after) for each in renewals if each.change.after is not None]
        for each in renewals:
            self._note(each)
        await self._situation.commit_renewals(renewed)

    async def review_beside_another(self, lease: Lease) -> list[str]:
        """Review an occupied lease when the agbot has begun an upgrade of another member.

        So it is done with this one, unless its lists show otherwise. Return what was done, one
        phrase each.
        """
        return await self._commit(self._review(lease, self._now(), another_has_begun=True))

    def _now(self) -> Now | None:
        """Return the present moment, once for each slice; None if times are not known."""
        return None if self._situation.dates.why_unknown() else self._situation.now()

    def _review(self, lease: Lease, now: Now | None, *, another_has_begun: bool = False) -> _Reviewed:
        if now is None:
            return _Reviewed(lease)
        made = self._situation.review(lease, now, another_has_begun=another_has_begun)
        verdict, upgraded, record = review(made), _NOT_UPGRADED, None
        if isinstance(verdict, Release | Suspect):  # most reviews change nothing and must be cheap
            upgraded, record = self._upgraded(lease), decision_record.write_review(made)
        change = reviews.carry_out(made, verdict, upgraded=upgraded, decision_record=record)
        return _Reviewed(lease, verdict, change)

    async def _commit(self, reviewed: _Reviewed) -> list[str]:
        is_done = bool(reviewed.change) and await self._situation.commit(reviewed.change)
        self._note(reviewed)
        return _phrases(reviewed) if is_done else []

    async def release(self, lease: Lease, ending: Ending) -> bool:
        """Free a lease with everything that belongs to it; return whether the race was won."""
        change = ends.release(lease, self._upgraded(lease), ending, self._situation.now())
        is_done = await self._situation.commit(change)
        self._situation.notes.pop(lease.group, None)
        return is_done

    def _upgraded(self, lease: Lease) -> Upgraded:
        picture, ledger = self._situation.picture, self._situation.ledger
        return group_facts.upgraded(lease.tenure.claim, lease.group, picture, ledger) if lease.tenure else Upgraded()

    def _note(self, reviewed: _Reviewed) -> None:
        """Note what is unusual about a lease, for operators."""
        lease = reviewed.lease
        match reviewed.verdict:
            case None:
                pass
            case Suspect(why=note) | Keep(note=note) if note:
                self._situation.notes[lease.group] = note
            case Keep() if lease.state is State.SUSPECT:
                pass
            case _:
                self._situation.notes.pop(lease.group, None)


def _phrases(reviewed: _Reviewed) -> list[str]:
    match reviewed.verdict:
        case Release(cause=cause):
            lease = reviewed.lease
            return [f"released {lease.group} ({cause}: {lease.holder or 'no holder'})"]
        case Suspect(why=why):
            return [f"suspects {reviewed.lease.group} ({why})"]
        case _:
            return []
