"""An upgrade that was begun without asking here: it takes the group's lease, or is kept as an overlap when somebody else holds that.

Nobody can stop it, so it is told, shown and waited for (`lease.observed`, `lease.overlapped`). Before two members are called an overlap the
others are looked at anew: an agbot goes on as soon as containers run, which is read here some seconds later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agbot.coordinator import entries
from agbot.coordinator.deferring import Deferring
from agbot.coordinator.reading import Reader
from agbot.coordinator.reviewing import Reviewing
from agbot.coordinator.rows_seen import RowsSeen
from agbot.coordinator.situation import Situation
from agbot.fleet.changes import Read, What
from agbot.rules import decide
from agbot.rules import lease as leases
from agbot.rules.deferral import claim_of
from agbot.rules.facts import Ask, Deferral, Group
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Claim, Kind, Progress, State
from agbot.rules.statuses import Phase
from agbot.store.contract import Lost, Writes


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """An upgrade that was seen."""

    group: GroupId
    claim: Claim
    since: datetime
    """When it was begun, as far as is known."""
    progress: Progress
    status: str
    """What was seen of it."""
    service: str = ""
    """`org/url` of the service that is upgraded, if it is known."""

    def as_overlap(self) -> Deferral:
        """Return how it is kept beside the upgrade that holds the lease."""
        return Deferral(
            group=self.group,
            node=self.claim.holder,
            subject=self.claim.subject,
            since=self.since,
            status=self.status,
            kind=self.claim.kind,
            service=self.service,
            overlaps=True,
        )


class Taking:
    """Takes leases for what nobody asked for."""

    def __init__(self, situation: Situation, reader: Reader, reviewing: Reviewing, deferring: Deferring) -> None:
        self._situation = situation
        self._reader = reader
        self._reviewing = reviewing
        self._deferring = deferring

    async def take(self, begun: Begun) -> list[str]:
        """Take the lease, or keep the overlap; return what was done, one phrase each.

        Raises:
            StoreUnavailableError: nobody knows what was written.
        """
        situation, node = self._situation, begun.claim.holder
        if situation.ledger.lease(begun.group).is_held_for(begun.claim):
            return []
        done = await self._end_what_is_over(node, begun.group)
        if node in situation.ledger.deferrals.get(begun.group, {}):
            return done  # it came with it, or is kept already
        if self._is_free_for(begun):
            return [*done, *await self._take(begun)]
        return [*done, *await self._overlap(begun)]

    async def _end_what_is_over(self, node: NodeId, group: GroupId) -> list[str]:
        situation = self._situation
        lease, deferrals = situation.ledger.lease(group), situation.ledger.deferrals.get(group, {})
        holder = lease.hold.claim.holder if lease.hold is not None else None
        busy = {*(each.node for each in deferrals.values() if each.is_overlap), *((holder,) if holder else ())}
        others = sorted(busy - {node})
        if not busy:
            return []
        whats = (What.NODE, What.STATUSES, What.AGREEMENTS)
        await self._reader.refresh(Read(what=what, id=each) for each in others for what in whats)
        await self._deferring.refresh(group)
        done = (
            await self._reviewing.review(lease, another_has_begun=True) if holder is not None and holder != node else ""
        )
        return [done] if done else []

    def _is_free_for(self, begun: Begun) -> bool:
        """Tell whether the lease can be taken: free, or suspect with a holder that was offline when it was read just now."""
        lease = self._situation.ledger.lease(begun.group)
        if lease.state is not State.SUSPECT:
            return lease.state is State.FREE
        ask = Ask(group=begun.group, claim=begun.claim, agreement_bound=begun.claim.kind is Kind.SERVICE)
        return decide.lease_suspect(ask, self._situation.group(begun.group), self._situation.now()) is None

    async def _take(self, begun: Begun) -> list[str]:
        situation, now = self._situation, self._situation.now()
        group = situation.group(begun.group)
        before, ttl = group.lease, timedelta(seconds=group.limits.lease_seconds)
        after = leases.grant(before, begun.claim, now, ttl, begun.progress, token_floor=group.token_floor)
        told = [*entries.superseded(before, after, now), entries.observed(after, begun.since, now)]
        others = _others(begun.claim.holder, group, situation.rows)
        if others:
            told.append(entries.overlapped(begun.as_overlap(), others, now))
        outcome = await situation.swap(before, after, Writes(entries=told))
        if isinstance(outcome, Lost):
            return await (self._take(begun) if self._is_free_for(begun) else self._overlap(begun))
        return [f"saw {begun.claim.holder} upgrade {begun.claim.what} (token {after.token})"]

    async def _overlap(self, begun: Begun) -> list[str]:
        situation, node = self._situation, begun.claim.holder
        others = _others(node, situation.group(begun.group), situation.rows)
        written = await situation.write_due(lambda: self._overlap_due(begun))
        if not written.put:
            return []
        beside = f"while {', '.join(others)} upgrades" if others else "beside the lease"
        return [f"saw {node} upgrade {begun.claim.what} {beside}"]

    def _overlap_due(self, begun: Begun) -> Writes:
        group, now, node = self._situation.group(begun.group), self._situation.now(), begun.claim.holder
        if node in group.deferrals or group.lease.is_held_for(begun.claim):
            return Writes()
        deferral, others = begun.as_overlap(), _others(node, group, self._situation.rows)
        told = [entries.deferral_begun(deferral, now)]
        if others:
            told.insert(0, entries.overlapped(deferral, others, now))
        return Writes(put=[deferral], entries=told)


def _others(node: NodeId, group: Group, rows: RowsSeen) -> Mapping[NodeId, str]:
    """Return who else is known to upgrade in the group, and what.

    Who only may do so is waited for, and not told to overlap.
    """
    beside = (each for each in group.deferrals.values() if each.is_overlap)
    found = {each.node: each.what for each in beside if _goes_on(each, group, rows)}
    hold = group.lease.hold
    if hold is not None and not (hold.progress.observed and rows.is_done_with(group.id, hold.claim)):
        found[hold.claim.holder] = hold.claim.what
    found.pop(node, None)
    return found


def _goes_on(deferral: Deferral, group: Group, rows: RowsSeen) -> bool:
    if not deferral.cut_off:
        return not rows.is_done_with(group.id, claim_of(deferral))
    # its report has gone, and may have told of its end where nobody could read it: known is what is reported anew
    member = group.members.get(deferral.node)
    status = member.statuses.get(deferral.subject) if member is not None else None
    return status is not None and status.phase is Phase.UNDER_WAY
