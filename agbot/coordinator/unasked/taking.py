"""An unasked upgrade takes the group's lease, or is an overlap if another member holds that.

It cannot be stopped, so it is reported, shown and waited for (`lease.observed`,
`lease.overlapped`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

from agbot.coordinator.intake.reading import Reader
from agbot.coordinator.review import deferring
from agbot.coordinator.review.reviewing import Reviewing
from agbot.coordinator.situation import Situation
from agbot.events import leases as lease_events
from agbot.fleet import occasions
from agbot.rules.deferral import claim_of
from agbot.rules.group import Group
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.seen_time import SeenTime
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
        self._unreported: dict[tuple[GroupId, NodeId], Begun] = {}
        """Upgrades beside one whose node could not be read."""

    async def take(self, begun: Begun) -> list[str]:
        """Take the lease, or record the overlap; return what was done, one phrase each."""
        situation, node = self._situation, begun.claim.holder
        if situation.ledger.lease(begun.group).is_held_for(begun.claim):
            return []
        was_recorded = node in situation.ledger.deferrals.get(begun.group, {})
        done, unread = await self._end_what_is_over(node, begun.group)
        if was_recorded or node in situation.ledger.deferrals.get(begun.group, {}):
            # it joined in this upgrade, or the overlap is recorded already, or has just ended: what
            # is seen after that decides whether it goes on
            return done
        await self.before(begun)
        if self._can_take(begun):
            return [*done, *await self._take(begun, unread)]
        return [*done, *await self._overlap(begun, unread)]

    async def follow(self) -> list[str]:
        """Report the overlaps that were not reported, if they go on; return what was done."""
        done: list[str] = []
        for begun in tuple(self._unreported.values()):
            with self._situation.troubles.guard("overlaps", begun.group):
                done += await self._report(begun)
        self._situation.troubles.keep("overlaps", {group for group, _ in self._unreported})
        return done

    async def _report(self, begun: Begun) -> list[str]:
        situation, node, group = self._situation, begun.claim.holder, begun.group
        asked_at = situation.now().seen
        await self._reader.follow(occasions.of_takeover([node]))
        done, unread = await self._end_what_is_over(node, group, is_repeated=True)
        is_holder = situation.ledger.lease(group).is_held_for(begun.claim)
        goes_on = is_holder or node in situation.ledger.deferrals.get(group, {})
        others = self._others(begun, situation.group(group)) if goes_on else {}
        if others and (self._unread([node], asked_at) or unread & others.keys()):
            return done
        if others:
            now = situation.now()
            event = lease_events.overlapped(begun.as_overlap(), others)
            await situation.commit(Change(events=[event], at=now.wall))
        self._unreported.pop((group, node), None)
        return done

    async def _end_what_is_over(
        self, node: NodeId, group: GroupId, *, is_repeated: bool = False
    ) -> tuple[list[str], set[NodeId]]:
        """Read the other members that upgrade again, and end what is over.

        Return what was done, and the nodes that could not be read. A read that `is_repeated` leaves
        out what was just unreadable.
        """
        situation = self._situation
        lease, deferrals = situation.ledger.lease(group), situation.ledger.deferrals.get(group, {})
        busy = {each.node for each in deferrals.values() if each.is_overlap}
        if lease.holder is not None:
            busy.add(lease.holder)
        if not busy:
            return [], set()
        others = sorted(busy - {node})
        # An agbot continues as soon as containers run, which is read here some seconds later:
        # without this read each of its upgrades would overlap with the one before.
        asked_at, reads = situation.now().seen, occasions.of_takeover(others)
        await (self._reader.follow(reads) if is_repeated else self._reader.refresh(reads))
        unread = self._unread(others, asked_at)
        await deferring.refresh(situation, group)
        if lease.holder in {None, node}:
            return [], unread
        return await self._reviewing.review_beside_another(lease), unread

    def _unread(self, nodes: Iterable[NodeId], since: SeenTime) -> set[NodeId]:
        """Return the nodes of which not everything that shows an upgrade was read since then."""
        picture = self._situation.picture
        reads = [each.read for each in occasions.of_takeover(nodes)]
        # an old answer, too, does not show whether the upgrade is over
        old = (NodeId(read.id) for read in reads if picture.unshown_report(NodeId(read.id)) is not None)
        return {NodeId(read.id) for read in reads if (at := picture.read_at(read)) is None or at < since}.union(old)

    def _can_take(self, begun: Begun) -> bool:
        return grants.can_observe(begun, self._situation.group(begun.group), self._situation.now())

    async def _take(self, begun: Begun, unread: Collection[NodeId]) -> list[str]:
        situation, group = self._situation, self._situation.group(begun.group)
        change = grants.observe(begun, group, situation.now(), self._certain_others(begun, group, unread))
        if not await situation.commit(change):
            # another has got the lease meanwhile, by a question or the guard
            return await (self._take(begun, unread) if self._can_take(begun) else self._overlap(begun, unread))
        token = change.after.token if change.after is not None else 0
        return [f"saw {begun.claim.holder} upgrade {begun.claim.what} (token {token})"]

    async def _overlap(self, begun: Begun, unread: Collection[NodeId]) -> list[str]:
        others = self._certain_others(begun, self._situation.group(begun.group), unread)
        if not await self._situation.commit_due(lambda: self._overlap_due(begun, unread)):
            return []
        beside = f"while {', '.join(others)} upgrades" if others else "beside the lease"
        return [f"saw {begun.claim.holder} upgrade {begun.claim.what} {beside}"]

    def _overlap_due(self, begun: Begun, unread: Collection[NodeId]) -> Change:
        group = self._situation.group(begun.group)
        return grants.overlap(begun, group, self._situation.now(), self._certain_others(begun, group, unread))

    def _certain_others(self, begun: Begun, group: Group, unread: Collection[NodeId]) -> Mapping[NodeId, str]:
        """Return the other members that upgrade.

        None if one of them could not be read: the overlap is reported later.
        """
        others = self._others(begun, group)
        if others.keys().isdisjoint(unread):
            return others
        # The upgrade of one that could not be read may be over. The overlap is recorded all the
        # same, so that no other member is let go.
        self._unreported[begun.group, begun.claim.holder] = begun
        return {}

    def _others(self, begun: Begun, group: Group) -> Mapping[NodeId, str]:
        tenure = group.lease.tenure
        claims = [*map(claim_of, group.deferrals.values()), *((tenure.claim,) if tenure is not None else ())]
        done = [claim for claim in claims if self._situation.rows.is_done_with(group.id, claim)]
        return grants.others_upgrading(begun.claim.holder, group, done)


async def _nothing(_begun: Begun) -> None:
    """Compare nothing: outside shadow mode the coordinator's decisions count."""
