"""An unasked upgrade takes the group's lease, or is an overlap if another member holds that.

It cannot be stopped, so it is reported, shown and waited for (`lease.observed`,
`lease.overlapped`). The other members are read again before an overlap is recorded: an agbot
continues as soon as containers run, and that is read here some seconds later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from agbot.coordinator.intake.reading import Reader
from agbot.coordinator.review import deferring
from agbot.coordinator.review.reviewing import Reviewing
from agbot.coordinator.situation import Situation
from agbot.fleet import occasions
from agbot.rules.deferral import claim_of
from agbot.rules.group import Group
from agbot.rules.ids import GroupId, NodeId
from agbot.transitions import grants
from agbot.transitions.begun import Begun
from agbot.transitions.change import Change


class Taking:
    """Takes leases for unasked upgrades."""

    def __init__(self, situation: Situation, reader: Reader, reviewing: Reviewing) -> None:
        self._situation = situation
        self._reader = reader
        self._reviewing = reviewing
        self.before: Callable[[Begun], Awaitable[None]] = _nothing
        """Awaited with each upgrade before it takes the lease: shadow mode compares it there."""

    async def take(self, begun: Begun) -> list[str]:
        """Take the lease, or record the overlap; return what was done, one phrase each."""
        situation, node = self._situation, begun.claim.holder
        if situation.ledger.lease(begun.group).is_held_for(begun.claim):
            return []
        was_recorded = node in situation.ledger.deferrals.get(begun.group, {})
        done = await self._end_what_is_over(node, begun.group)
        if was_recorded or node in situation.ledger.deferrals.get(begun.group, {}):
            # it joined in this upgrade, or the overlap is recorded already, or has just ended: what
            # is seen after that decides whether it goes on
            return done
        await self.before(begun)
        if self._can_take(begun):
            return [*done, *await self._take(begun)]
        return [*done, *await self._overlap(begun)]

    async def _end_what_is_over(self, node: NodeId, group: GroupId) -> list[str]:
        situation = self._situation
        lease, deferrals = situation.ledger.lease(group), situation.ledger.deferrals.get(group, {})
        holder = lease.tenure.claim.holder if lease.tenure is not None else None
        busy = {*(each.node for each in deferrals.values() if each.is_overlap), *((holder,) if holder else ())}
        others = sorted(busy - {node})
        if not busy:
            return []
        await self._reader.refresh(occasions.of_takeover(others))
        await deferring.refresh(situation, group)
        done = (
            await self._reviewing.review(lease, another_has_begun=True) if holder is not None and holder != node else ""
        )
        return [done] if done else []

    def _can_take(self, begun: Begun) -> bool:
        return grants.can_observe(begun, self._situation.group(begun.group), self._situation.now())

    async def _take(self, begun: Begun) -> list[str]:
        situation, group = self._situation, self._situation.group(begun.group)
        change = grants.observe(begun, group, situation.now(), self._others(begun, group))
        if not await situation.commit(change):
            return await (self._take(begun) if self._can_take(begun) else self._overlap(begun))
        token = change.after.token if change.after is not None else 0
        return [f"saw {begun.claim.holder} upgrade {begun.claim.what} (token {token})"]

    async def _overlap(self, begun: Begun) -> list[str]:
        others = self._others(begun, self._situation.group(begun.group))
        if not await self._situation.commit_due(lambda: self._overlap_due(begun)):
            return []
        beside = f"while {', '.join(others)} upgrades" if others else "beside the lease"
        return [f"saw {begun.claim.holder} upgrade {begun.claim.what} {beside}"]

    def _overlap_due(self, begun: Begun) -> Change:
        group = self._situation.group(begun.group)
        return grants.overlap(begun, group, self._situation.now(), self._others(begun, group))

    def _others(self, begun: Begun, group: Group) -> Mapping[NodeId, str]:
        tenure = group.lease.tenure
        claims = [*map(claim_of, group.deferrals.values()), *((tenure.claim,) if tenure is not None else ())]
        done = [claim for claim in claims if self._situation.rows.is_done_with(group.id, claim)]
        return grants.others_upgrading(begun.claim.holder, group, done)


async def _nothing(_begun: Begun) -> None:
    """Compare nothing: outside shadow mode the coordinator's decisions count."""
